//! Samples laid on the regular grid of a service's steps, counted from the epoch.

use oag_types::{Sample, Timestamp};
use serde::{Deserialize, Serialize};

/// Recent values of a metric of a service, one per step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SeriesView {
    /// Length of one step, in milliseconds.
    pub step_ms: i64,
    /// Oldest first; none where no sample came. The last entry is the present step, or the one
    /// before while the present one has no sample yet.
    pub values: Vec<Option<f64>>,
    /// When the last entry begins.
    pub last_step_at: Timestamp,
    /// When the newest sample was observed; none when there is none at all.
    pub newest_at: Option<Timestamp>,
    /// Series that were joined.
    pub series: usize,
    /// The newest score, when the point it was made of is fresh and one was made.
    pub score: Option<SeriesScore>,
}

/// The anomaly score of a metric, in the unit of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeriesScore {
    /// When the point was observed.
    pub at: Timestamp,
    /// How unlikely it is, 0 to 1.
    pub score: f64,
    /// Whether somebody should look.
    pub alert: bool,
    /// The expected value.
    pub mean: Option<f64>,
    /// Lower edge of the 3-sigma band.
    pub lo: Option<f64>,
    /// Upper edge of the 3-sigma band.
    pub hi: Option<f64>,
}

impl SeriesView {
    /// The newest value there is.
    #[must_use]
    pub fn newest(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }

    /// Whether the newest sample is no older than two steps.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.newest_at.is_some_and(|at| now.millis_since(at) <= self.step_ms.saturating_mul(2))
    }

    /// The newest value, when it is fresh.
    #[must_use]
    pub fn fresh(&self, now: Timestamp) -> Option<f64> {
        if self.is_fresh(now) { self.newest() } else { None }
    }

    /// The same values, each changed.
    #[must_use]
    pub fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        for value in self.values.iter_mut().flatten() {
            *value = change(*value);
        }
        if let Some(score) = &mut self.score {
            for value in [&mut score.mean, &mut score.lo, &mut score.hi].into_iter().flatten() {
                *value = change(*value);
            }
        }
        self
    }

    /// The values of the last `steps` steps, when every one of them is there.
    #[must_use]
    pub fn last_complete(&self, steps: usize) -> Option<Vec<f64>> {
        let start = self.values.len().checked_sub(steps)?;
        self.values.get(start..)?.iter().copied().collect()
    }
}

/// How several series of one metric are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    Sum,
    Mean,
    Max,
}

impl Join {
    /// By the name of the metric: rates and counts add up, latencies take the worst, shares and
    /// everything else the mean.
    pub(super) fn of(metric: &str) -> Self {
        if metric.starts_with("latency") {
            Self::Max
        } else if metric == "error_rate" {
            Self::Mean
        } else if metric.ends_with("_rate") || matches!(metric, "in_flight" | "replicas") {
            Self::Sum
        } else {
            Self::Mean
        }
    }

    pub(super) fn join(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        let (mut sum, mut count, mut max) = (0.0, 0u32, f64::NEG_INFINITY);
        for value in values {
            sum += value;
            count += 1;
            max = max.max(value);
        }
        if count == 0 {
            return None;
        }
        let joined = match self {
            Self::Sum => sum,
            Self::Mean => sum / f64::from(count),
            Self::Max => max,
        };
        joined.is_finite().then_some(joined)
    }
}

/// The step a moment lies in.
pub(super) fn step_of(at: Timestamp, step_ms: i64) -> i64 {
    at.as_millis().div_euclid(step_ms.max(1))
}

/// When a step begins.
pub(super) fn start_of(step: i64, step_ms: i64) -> Timestamp {
    Timestamp::from_millis(step.saturating_mul(step_ms.max(1)))
}

/// The mean of the samples of each step from `first` on, for `count` steps.
pub(super) fn means(
    samples: &[Sample],
    step_ms: i64,
    first: i64,
    count: usize,
) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0u32); count];
    for sample in samples {
        let place = step_of(sample.at, step_ms) - first;
        let slot = usize::try_from(place).ok().and_then(|place| sums.get_mut(place));
        if let Some((sum, seen)) = slot {
            *sum += sample.value;
            *seen += 1;
        }
    }
    let mean = |(sum, seen): (f64, u32)| (seen > 0).then(|| sum / f64::from(seen));
    sums.into_iter().map(mean).map(|mean| mean.filter(|value| value.is_finite())).collect()
}
