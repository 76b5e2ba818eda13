//! A rolling count of requests and failures in buckets of time.

use oag_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Counts of the last `buckets.len() * bucket_ms` milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollingWindow {
    bucket_ms: i64,
    /// The newest slot seen; a clock that goes back keeps counting there.
    newest: i64,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    slot: i64,
    requests: u32,
    failures: u32,
}

const EMPTY: Bucket = Bucket { slot: i64::MIN, requests: 0, failures: 0 };

impl RollingWindow {
    pub(crate) fn new(window_ms: i64, buckets: u32) -> Self {
        let buckets = buckets.max(1);
        let bucket_ms = (window_ms / i64::from(buckets)).max(1);
        let len = usize::try_from(buckets).unwrap_or(1);
        Self { bucket_ms, newest: i64::MIN, buckets: vec![EMPTY; len] }
    }

    pub(crate) fn record(&mut self, now: Timestamp, success: bool) {
        let slot = now.as_millis().div_euclid(self.bucket_ms).max(self.newest);
        self.newest = slot;
        let index = self.index(slot);
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        if bucket.slot != slot {
            *bucket = Bucket { slot, ..EMPTY };
        }
        bucket.requests = bucket.requests.saturating_add(1);
        bucket.failures = bucket.failures.saturating_add(u32::from(!success));
    }

    /// Requests and failures of the window that ends now.
    pub(crate) fn totals(&self, now: Timestamp) -> (u32, u32) {
        let last = now.as_millis().div_euclid(self.bucket_ms).max(self.newest);
        let len = i64::try_from(self.buckets.len()).unwrap_or(1);
        let oldest = last.saturating_sub(len);
        let live = self.buckets.iter().filter(|bucket| bucket.slot > oldest);
        live.fold((0_u32, 0_u32), |(requests, failures), bucket| {
            (requests.saturating_add(bucket.requests), failures.saturating_add(bucket.failures))
        })
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.fill(EMPTY);
        self.newest = i64::MIN;
    }

    fn index(&self, slot: i64) -> usize {
        let len = i64::try_from(self.buckets.len()).unwrap_or(1).max(1);
        usize::try_from(slot.rem_euclid(len)).unwrap_or(0)
    }
}
