//! Load forecast of one series, with bands and a load to provision for.
//!
//! Model: one ridge regression (Hoerl & Kennard 1970) per step ahead, all sharing one exponentially
//! forgetting Gram matrix, on a variance-stabilised scale (Anscombe 1948). The regressors are
//! recent lags and exponential means at several time scales, all relative to the current level
//! (the heterogeneous autoregression of Corsi 2009), and harmonics of the day. Residuals are
//! clipped before they enter the normal equations, a one-step Huber M-estimate (Huber 1964). Bands
//! are empirical quantiles of out-of-sample residuals, scaled by recent volatility. Until enough
//! rows have been seen, [`short_forecast`] answers.

mod bands;
mod features;
mod ridge;
mod short;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use bands::Bands;
use features::Features;
use ridge::Ridge;
pub use short::short_forecast;

/// Furthest step ahead that has a regression of its own; later steps repeat it.
const REACH_MAX: usize = 120;
/// Most regressions per series; the steps between them are interpolated.
const KNOTS_MAX: usize = 16;
/// Values kept for the short forecast.
const RECENT_MAX: usize = 10;
/// Steps of silence that are filled one by one; what lies further back has faded anyway.
const FILL_MAX: i64 = 256;
/// Points running backwards in a row after which the series' clock is believed to have moved.
const STALE_MAX: u32 = 10;
/// Largest magnitude taken: beyond it squares of sums would lose all precision.
const VALUE_MAX: f64 = 1e15;
/// Bounds of [`ForecastConfig::plan_quantile`].
const PLAN_QUANTILES: std::ops::RangeInclusive<f64> = 0.5..=0.9999;
/// Share of a unit's capacity that provisioning fills; `plan` counts on the rest as headroom.
const PLAN_UTILISATION: f64 = 0.85;
/// Each tail of the two-sided 3-sigma band.
const TAIL: f64 = 0.001_35;

/// How a [`Forecaster`] sees its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastConfig {
    /// Distance between two points, in milliseconds (at least 1).
    pub step_ms: i64,
    /// Steps in one season (a day), where the series has one.
    pub season_steps: Option<usize>,
    /// Steps ahead to forecast.
    pub horizon: usize,
    /// Quantile of the load that must fit into the capacity provisioned, 0.5 to 0.9999 (others are
    /// taken as the nearest of these). It depends on how often capacity is decided on: whoever
    /// decides once in ten steps needs nearly all of the distribution each time, whoever decides at
    /// every step provisions for the highest of many overlapping forecasts and needs less of each.
    pub plan_quantile: f64,
}

impl ForecastConfig {
    /// The quantile where capacity is decided on once per horizon.
    pub const PLAN_ONCE: f64 = 0.995;
    /// The quantile where capacity is decided on at every step.
    pub const PLAN_EVERY_STEP: f64 = 0.98;
}

/// The next steps of a series: one entry per step ahead, all vectors of the same length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Most likely value (the conditional median, which minimises the absolute error).
    pub mean: Vec<f64>,
    /// Lower edge of the two-sided 99.73 % band.
    pub lo: Vec<f64>,
    /// Upper edge of the two-sided 99.73 % band.
    pub hi: Vec<f64>,
    /// The load to provision for, at least `mean`. It is meant to be divided by the capacity of a
    /// unit run at 85 %, so it is that share of the load's quantile in question: noisy hours get
    /// more room, calm ones live on the headroom that is there anyway.
    pub plan: Vec<f64>,
    /// Which model answered: `ridge`, `damped_trend` (too little history yet) or `none` (no value).
    pub method: &'static str,
}

/// Streaming forecaster of one series; bounded memory, a few microseconds per point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Forecaster {
    cfg: ForecastConfig,
    /// Steps ahead with a regression of their own, ascending.
    knots: Vec<usize>,
    last_ts_ms: Option<i64>,
    stale: u32,
    recent: VecDeque<f64>,
    /// No value below zero has been seen, so none is forecast.
    nonnegative: bool,
    features: Features,
    /// Rows whose targets are not all known yet, oldest first.
    pending: VecDeque<Row>,
    ridge: Ridge,
    bands: Bands,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    x: Vec<f32>,
    level: f64,
    /// Transformed value at this row; none in a gap.
    y: Option<f64>,
    /// Volatility as known at this row.
    scale: f64,
}

impl Forecaster {
    /// A forecaster that has seen nothing.
    pub fn new(cfg: ForecastConfig) -> Self {
        let cfg = ForecastConfig {
            step_ms: cfg.step_ms.max(1),
            plan_quantile: in_bounds(cfg.plan_quantile),
            ..cfg
        };
        let knots = knots(cfg.horizon);
        let season = cfg.season_steps.filter(|&s| s >= 8);
        let features = Features::new(season.map(|s| s as f64 * cfg.step_ms as f64));
        let ridge = Ridge::new(features.width(), knots.len(), season);
        let bands = Bands::new(knots.len());
        Self {
            cfg,
            knots,
            last_ts_ms: None,
            stale: 0,
            recent: VecDeque::new(),
            nonnegative: true,
            features,
            pending: VecDeque::new(),
            ridge,
            bands,
        }
    }

    /// Takes one point; `None` or a non-finite value is a gap. Points that are not later than the
    /// last one are ignored, until ten of them in a row show that the clock has moved.
    pub fn push(&mut self, ts_ms: i64, value: Option<f64>) {
        if let Some(last) = self.last_ts_ms {
            // Half a step of jitter must not eat a point.
            let steps = steps_between(last, ts_ms, self.cfg.step_ms);
            if ts_ms <= last {
                self.stale += 1;
                if self.stale < STALE_MAX {
                    return;
                }
            } else {
                for missing in 1..steps.min(FILL_MAX) {
                    let ts_ms = last.saturating_add(missing.saturating_mul(self.cfg.step_ms));
                    self.step(ts_ms, None);
                }
            }
        }
        self.stale = 0;
        self.last_ts_ms = Some(ts_ms);
        let value = value.filter(|v| v.is_finite()).map(|v| v.clamp(-VALUE_MAX, VALUE_MAX));
        if let Some(v) = value {
            self.nonnegative &= v >= 0.0;
            if self.recent.len() >= RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(v);
        }
        self.step(ts_ms, value);
    }

    /// Takes the whole past at once; surplus entries of the longer slice are ignored.
    pub fn push_history(&mut self, ts_ms: &[i64], values: &[Option<f64>]) {
        for (&t, &v) in ts_ms.iter().zip(values) {
            self.push(t, v);
        }
    }

    /// The next `horizon` steps, or none before the first value.
    pub fn forecast(&self) -> Option<Forecast> {
        if self.recent.is_empty() {
            return None;
        }
        let row = self.pending.back().filter(|_| self.ridge.is_ready());
        let Some(row) = row else {
            let recent: Vec<f64> = self.recent.iter().copied().collect();
            return Some(short_forecast(&recent, self.cfg.horizon));
        };
        Some(self.regression_forecast(row))
    }

    /// Bytes held by this forecaster, heap included.
    pub fn memory_bytes(&self) -> usize {
        let row = size_of::<Row>() + self.features.width() * size_of::<f32>();
        size_of::<Self>()
            + self.knots.capacity() * size_of::<usize>()
            + self.recent.capacity() * size_of::<f64>()
            + self.pending.len() * row
            + (self.pending.capacity() - self.pending.len()) * size_of::<Row>()
            + self.ridge.heap_bytes()
            + self.bands.heap_bytes()
    }

    /// One step of the regular grid.
    fn step(&mut self, ts_ms: i64, value: Option<f64>) {
        let y = value.map(stabilise);
        self.features.push(y);
        let Some(level) = self.features.level() else { return };
        let x = self.features.row(ts_ms);
        self.pending.push_back(Row { x, level, y, scale: self.bands.scale() });
        let reach = self.knots.last().copied().unwrap_or(1);
        if self.pending.len() > reach {
            self.learn();
        }
    }

    /// Learns from the oldest pending row, whose targets are all known now.
    fn learn(&mut self) {
        let Some(row) = self.pending.pop_front() else { return };
        let target = |k: &usize| self.pending.get(k - 1).and_then(|r| r.y).map(|y| y - row.level);
        let targets: Vec<Option<f64>> = self.knots.iter().map(target).collect();
        let residuals = self.ridge.learn(&row.x, &targets);
        if let Some(residuals) = residuals {
            self.bands.learn(&residuals, row.scale);
        }
    }

    fn regression_forecast(&self, row: &Row) -> Forecast {
        let centre = self.ridge.predict(&row.x);
        let scale = self.bands.scale();
        let mut out = Forecast {
            mean: Vec::with_capacity(self.cfg.horizon),
            lo: Vec::with_capacity(self.cfg.horizon),
            hi: Vec::with_capacity(self.cfg.horizon),
            plan: Vec::with_capacity(self.cfg.horizon),
            method: "ridge",
        };
        let at: Vec<[f64; 4]> = (0..self.knots.len())
            .map(|k| {
                let c = row.level + centre.get(k).copied().unwrap_or(0.0);
                let q = |p| c + scale * self.bands.quantile(k, p);
                [c, q(TAIL), q(1.0 - TAIL), q(self.cfg.plan_quantile)]
            })
            .collect();
        for h in 1..=self.cfg.horizon {
            let [c, lo, hi, plan] = interpolate(&self.knots, &at, h).map(|z| self.load(z));
            out.mean.push(c);
            out.lo.push(lo.min(c));
            out.hi.push(hi.max(c));
            out.plan.push((PLAN_UTILISATION * plan).max(c));
        }
        out
    }

    /// Back from the variance-stabilised scale.
    fn load(&self, z: f64) -> f64 {
        let x = unstabilise(z).clamp(-10.0 * VALUE_MAX, 10.0 * VALUE_MAX);
        if self.nonnegative { x.max(0.0) } else { x }
    }
}

/// The nearest quantile that is allowed; not a number is the highest default.
fn in_bounds(quantile: f64) -> f64 {
    let quantile = if quantile.is_nan() { ForecastConfig::PLAN_ONCE } else { quantile };
    quantile.clamp(*PLAN_QUANTILES.start(), *PLAN_QUANTILES.end())
}

/// Whole steps from one time to another, rounded; safe for any pair of times.
fn steps_between(from_ms: i64, to_ms: i64, step_ms: i64) -> i64 {
    let distance = to_ms.saturating_sub(from_ms);
    distance.saturating_add(step_ms / 2) / step_ms
}

/// Every step up to `KNOTS_MAX`; beyond that, ever wider apart up to the reach.
fn knots(horizon: usize) -> Vec<usize> {
    let reach = horizon.clamp(1, REACH_MAX);
    if reach <= KNOTS_MAX {
        return (1..=reach).collect();
    }
    let ratio = (reach as f64).powf(1.0 / (KNOTS_MAX - 1) as f64);
    let mut knots: Vec<usize> =
        (0..KNOTS_MAX).map(|i| ratio.powi(i as i32).round() as usize).collect();
    knots.dedup();
    knots
}

/// Linear between knots, constant after the last.
fn interpolate(knots: &[usize], at: &[[f64; 4]], h: usize) -> [f64; 4] {
    let above = knots.partition_point(|&k| k < h);
    let right = at.get(above).or(at.last()).copied().unwrap_or_default();
    let (Some(&k1), Some(k0)) = (knots.get(above), above.checked_sub(1)) else { return right };
    let (Some(&k0), Some(left)) = (knots.get(k0), at.get(k0)) else { return right };
    let w = (h - k0) as f64 / (k1 - k0) as f64;
    std::array::from_fn(|i| left[i] + w * (right[i] - left[i]))
}

/// Anscombe's square root, made odd so that negative loads keep their order.
fn stabilise(x: f64) -> f64 {
    ((x.abs() + 0.375).sqrt() - 0.375_f64.sqrt()).copysign(x)
}

fn unstabilise(z: f64) -> f64 {
    let root = z.abs() + 0.375_f64.sqrt();
    (root * root - 0.375).copysign(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_are_ascending_and_reach_the_horizon() {
        for horizon in [0, 1, 2, 16, 17, 40, 120, 5_000] {
            let knots = knots(horizon);
            assert!(knots.len() <= KNOTS_MAX && knots.windows(2).all(|w| w[0] < w[1]), "{knots:?}");
            assert_eq!(knots.last().copied(), Some(horizon.clamp(1, REACH_MAX)));
        }
    }

    #[test]
    fn interpolation_meets_the_knots_and_holds_the_last() {
        let at = [[1.0; 4], [3.0; 4]];
        let value = |h| interpolate(&[1, 3], &at, h)[0];
        assert_eq!([value(1), value(2), value(3), value(9)], [1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn stabilising_can_be_undone() {
        for x in [-5e6, -1.0, 0.0, 0.3, 7.0, 1e12] {
            assert!((unstabilise(stabilise(x)) - x).abs() <= 1e-9 * (1.0 + x.abs()), "{x}");
        }
    }
}
