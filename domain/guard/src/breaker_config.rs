//! How a circuit breaker behaves, in the form configuration files and the API write it.

use serde::{Deserialize, Serialize};

use crate::GuardError;

/// How a breaker behaves. The first four keys are always written; the others only where they
/// differ from their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Whether it opens by itself. A breaker tripped by hand is open in any case.
    pub enabled: bool,
    /// Percent of requests in the window that must fail for it to open, 1 to 100.
    #[serde(rename = "failureThreshold")]
    pub failure_threshold: u32,
    /// How long it stays open before it lets probes through.
    #[serde(rename = "sleepWindowInMs")]
    pub sleep_window_ms: i64,
    /// Fewest requests in the window for it to open.
    #[serde(rename = "requestVolumeThreshold")]
    pub request_volume_threshold: u32,
    /// Length of the window that is counted.
    #[serde(rename = "rollingWindowInMs", skip_serializing_if = "is_default_window")]
    pub rolling_window_ms: i64,
    /// Buckets the window is divided into.
    #[serde(rename = "rollingWindowBuckets", skip_serializing_if = "is_default_buckets")]
    pub rolling_window_buckets: u32,
    /// Most probes in flight at once while half open, and how many must succeed to close.
    #[serde(rename = "halfOpenProbes", skip_serializing_if = "is_default_probes")]
    pub half_open_probes: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            failure_threshold: 50,
            sleep_window_ms: 30_000,
            request_volume_threshold: 20,
            rolling_window_ms: WINDOW_MS,
            rolling_window_buckets: BUCKETS,
            half_open_probes: PROBES,
        }
    }
}

const WINDOW_MS: i64 = 10_000;
const BUCKETS: u32 = 10;
const PROBES: u32 = 1;

impl BreakerConfig {
    /// Checks that the numbers can mean something.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), GuardError> {
        let check = |holds: bool, field: &str, problem: &str| {
            if holds { Ok(()) } else { Err(GuardError::invalid(field, problem)) }
        };
        let percent = (1..=100).contains(&self.failure_threshold);
        check(percent, "failureThreshold", "must be a percentage, 1 to 100")?;
        check(self.sleep_window_ms > 0, "sleepWindowInMs", "must be above 0")?;
        check(self.request_volume_threshold > 0, "requestVolumeThreshold", "must be above 0")?;
        let buckets = (1..=1_000).contains(&self.rolling_window_buckets);
        check(buckets, "rollingWindowBuckets", "must be between 1 and 1000")?;
        let long = self.rolling_window_ms >= i64::from(self.rolling_window_buckets);
        check(long, "rollingWindowInMs", "must be at least 1 ms per bucket")?;
        check(self.half_open_probes > 0, "halfOpenProbes", "must be above 0")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_default_window(ms: &i64) -> bool {
    *ms == WINDOW_MS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_default_buckets(buckets: &u32) -> bool {
    *buckets == BUCKETS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_default_probes(probes: &u32) -> bool {
    *probes == PROBES
}
