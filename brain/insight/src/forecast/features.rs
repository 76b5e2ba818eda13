//! Regressors: recent lags, exponential means and harmonics of the day.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

/// Values looked back at one by one.
const LAGS: usize = 6;
/// Memory of the level everything is measured from, in steps.
const LEVEL_STEPS: f64 = 4.0;
/// Memories of the exponential means, in steps; octaves cover all time scales alike.
const MEAN_STEPS: [f64; 6] = [8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// Harmonics of the day.
const HARMONICS: usize = 6;

/// Running state from which a row of regressors is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Features {
    season_ms: Option<f64>,
    seen: u64,
    level: f64,
    means: [f64; MEAN_STEPS.len()],
    /// Newest first.
    lags: [f64; LAGS],
}

impl Features {
    pub(super) fn new(season_ms: Option<f64>) -> Self {
        Self { season_ms, seen: 0, level: 0.0, means: Default::default(), lags: [0.0; LAGS] }
    }

    /// Regressors per row; the first is the constant, harmonics come last.
    pub(super) fn width(&self) -> usize {
        1 + LAGS + MEAN_STEPS.len() + harmonics(self.season_ms)
    }

    /// Takes the next transformed value; in a gap the last one is carried.
    pub(super) fn push(&mut self, y: Option<f64>) {
        let y = match y {
            Some(y) => y,
            None if self.seen == 0 => return,
            None => self.lags[0],
        };
        if self.seen == 0 {
            self.level = y;
            self.means = [y; MEAN_STEPS.len()];
            self.lags = [y; LAGS];
        }
        self.seen += 1;
        // A plain mean until the memory is full: the first value has no special weight.
        let young = 1.0 / self.seen as f64;
        self.level += gain(LEVEL_STEPS).max(young) * (y - self.level);
        for (mean, steps) in self.means.iter_mut().zip(MEAN_STEPS) {
            *mean += gain(steps).max(young) * (y - *mean);
        }
        self.lags.rotate_right(1);
        self.lags[0] = y;
    }

    /// The level rows are measured from; none before the first value.
    pub(super) fn level(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.level)
    }

    /// The row of regressors at `ts_ms`.
    pub(super) fn row(&self, ts_ms: i64) -> Vec<f32> {
        let mut x = Vec::with_capacity(self.width());
        x.push(1.0);
        x.extend(self.lags.iter().chain(&self.means).map(|v| (v - self.level) as f32));
        if let Some(season_ms) = self.season_ms {
            let angle = TAU * (ts_ms as f64).rem_euclid(season_ms) / season_ms;
            let (s1, c1) = angle.sin_cos();
            let (mut s, mut c) = (s1, c1);
            for _ in 0..HARMONICS {
                x.extend([s as f32, c as f32]);
                (s, c) = (s * c1 + c * s1, c * c1 - s * s1);
            }
        }
        x
    }
}

/// Trailing columns that are harmonics.
pub(super) fn harmonics(season: Option<f64>) -> usize {
    if season.is_some() { 2 * HARMONICS } else { 0 }
}

fn gain(steps: f64) -> f64 {
    1.0 - (-1.0 / steps).exp()
}
