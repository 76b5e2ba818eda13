//! What the balancer measured since it was last asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Values below this have a bucket each; above, each doubling has `SUB` buckets, so that a value
/// is off by at most 1.6 %.
const LINEAR: u64 = 64;
const SUB: u64 = 32;
/// Longest time told apart: 19 hours in microseconds.
const LONGEST_US: u64 = (1 << 36) - 1;
const BUCKETS: usize = 32 * 32;

/// Counts of times in buckets that grow with the time.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Box<[u32]>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into(), count: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, time: Duration) {
        let bucket = bucket(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
            self.count += 1;
        }
    }

    /// The time in milliseconds that `share` of all stay below; nothing without any.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of one interval are small and not negative"
    )]
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        })?;
        Some(middle_us(bucket as u64) / 1_000.0)
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min(LONGEST_US);
    if us < LINEAR {
        return usize::try_from(us).unwrap_or(0);
    }
    let shift = u64::from(us.ilog2()) - 5;
    usize::try_from(shift * SUB + (us >> shift)).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "at most 36 bits")]
fn middle_us(bucket: u64) -> f64 {
    if bucket < LINEAR {
        return bucket as f64;
    }
    let shift = bucket / SUB - 1;
    let low = (bucket - shift * SUB) << shift;
    low as f64 + (1_u64 << shift) as f64 / 2.0
}

/// Everything counted in one interval.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// Requests that came, also those that were refused: the demand.
    pub(crate) arrived: u64,
    /// Requests that were answered or given up.
    pub(crate) finished: u64,
    /// Of those, the ones answered by 5xx, other than shed ones.
    pub(crate) errors: u64,
    /// Requests refused by the balancer: overload, open breaker, shed feature, no replica.
    pub(crate) rejected: u64,
    /// Times of those that a replica answered, waiting included.
    pub(crate) latency: Histogram,
}

/// Counts requests.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    window: Mutex<Window>,
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arrived(&self) {
        self.lock().arrived += 1;
    }

    /// A replica answered, after this time.
    pub(crate) fn answered(&self, time: Duration, error: bool) {
        let mut window = self.lock();
        window.finished += 1;
        window.errors += u64::from(error);
        window.latency.record(time);
    }

    /// No replica answered: the connection failed or took too long.
    pub(crate) fn failed(&self) {
        let mut window = self.lock();
        window.finished += 1;
        window.errors += 1;
    }

    /// The balancer refused it. A shed feature is no error: it is off on purpose.
    pub(crate) fn rejected(&self, error: bool) {
        let mut window = self.lock();
        window.finished += 1;
        window.errors += u64::from(error);
        window.rejected += 1;
    }

    /// Everything since the last time.
    pub(crate) fn take(&self) -> Window {
        std::mem::take(&mut *self.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        for ms in 1..=1_000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = histogram.quantile_ms(share).unwrap();
            assert!((found / expected - 1.0).abs() < 0.02, "{share}: {found}");
        }
    }

    #[test]
    fn every_time_has_a_bucket_that_contains_it() {
        for us in (0..40).flat_map(|bit| [1_u64 << bit, (1_u64 << bit) + 1, (2_u64 << bit) - 1]) {
            let middle = middle_us(bucket(us) as u64);
            let us = us.min(LONGEST_US) as f64;
            assert!((middle - us).abs() <= us / 32.0 + 1.0, "{us}: {middle}");
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }
}
