//! Streaming anomaly score of one series.

use serde::{Deserialize, Serialize};

/// How a [`Detector`] sees its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorConfig {
    /// Expected distance between two points, in milliseconds (at least 1).
    pub step_ms: i64,
}

impl DetectorConfig {
    /// The defaults for a series with this step (milliseconds).
    pub fn for_step(step_ms: i64) -> Self {
        Self { step_ms: step_ms.max(1) }
    }
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self::for_step(60_000)
    }
}

/// What a [`Detector`] says about one point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How unlikely the point is, 0..=1; comparable across series.
    pub score: f64,
    /// Whether an operator should look now.
    pub alert: bool,
    /// Expected value, in the unit of the series; none while warming up.
    pub mean: Option<f64>,
    /// Lower edge of the 3-sigma band.
    pub lo: Option<f64>,
    /// Upper edge of the 3-sigma band.
    pub hi: Option<f64>,
}

/// Streaming detector of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detector {
    cfg: DetectorConfig,
    seen: u64,
    mean: f64,
    var: f64,
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(cfg: DetectorConfig) -> Self {
        Self { cfg, seen: 0, mean: 0.0, var: 0.0 }
    }

    /// Takes one point (`None` or a non-finite value is a gap) and scores it.
    pub fn update(&mut self, _ts_ms: i64, value: Option<f64>) -> Score {
        let Some(x) = value.filter(|v| v.is_finite()).map(|v| v.clamp(-1e150, 1e150)) else {
            return Score { score: 0.0, alert: false, mean: None, lo: None, hi: None };
        };
        let sd = self.var.sqrt().max(1e-9);
        let z = (x - self.mean).abs() / sd;
        let warm = self.seen >= 30;
        let out = Score {
            score: if warm { z / (z + 3.0) } else { 0.0 },
            alert: warm && z > 6.0,
            mean: warm.then_some(self.mean),
            lo: warm.then_some(self.mean - 3.0 * sd),
            hi: warm.then_some(self.mean + 3.0 * sd),
        };
        self.seen += 1;
        let a = (1.0 / self.seen as f64).max(1.0 / 288.0);
        let d = x - self.mean;
        self.mean += a * d;
        self.var = (1.0 - a) * (self.var + a * d * d);
        out
    }

    /// Bytes held by this detector, heap included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
    }
}
