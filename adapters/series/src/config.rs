//! Limits, all of them explicit.

use std::ops::Range;

use oag_types::Timestamp;
use serde::{Deserialize, Serialize};

/// One value per this many milliseconds is kept.
pub(crate) const STEP_MS: i64 = 60_000;
/// Minutes in the day that one file covers.
pub(crate) const DAY: u32 = 1_440;

/// Which value stands for a minute with several samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downsample {
    /// Their mean: sums over longer times stay right.
    #[default]
    Mean,
    /// The last to come, as it was given: for counters.
    Last,
    /// The greatest: for peaks.
    Max,
}

/// Limits of a `SeriesStore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesConfig {
    /// Which value stands for a minute.
    pub downsample: Downsample,
    /// Significant decimal digits kept of a fraction when a day is sealed; digits before the point
    /// all stay, so counters are exact. `None`, and 17 in a file, keep every bit. What is still buffered is exact.
    pub digits: Option<u8>,
    /// Most series of all tenants together.
    pub series_max: usize,
    /// Most values in memory, 16 bytes each; sealing begins at three quarters.
    pub buffered_max: usize,
    /// How long a whole day is kept after its end, in days.
    pub retention_days: u32,
    /// What a crash may lose, in milliseconds.
    pub flush_ms: u64,
    /// How often ended days are sealed and old ones removed, in milliseconds.
    pub seal_every_ms: i64,
    /// How long after its end a day waits for stragglers, in milliseconds.
    pub lateness_ms: i64,
    /// How far ahead of the clock a sample may be, in milliseconds.
    pub ahead_max_ms: i64,
}

impl Default for SeriesConfig {
    fn default() -> Self {
        Self {
            downsample: Downsample::Mean,
            digits: Some(5),
            series_max: 20_000,
            buffered_max: 1_000_000,
            retention_days: 90,
            flush_ms: 10_000,
            seal_every_ms: 600_000,
            lateness_ms: 600_000,
            ahead_max_ms: 300_000,
        }
    }
}

/// The minute a moment is in, since 1970.
pub(crate) fn minute(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis().div_euclid(STEP_MS)).unwrap_or(0)
}

/// The minutes that begin within a range.
pub(crate) fn minutes(from: Timestamp, to: Timestamp) -> Range<u32> {
    let first = |at: Timestamp| {
        let minute =
            at.as_millis().div_euclid(STEP_MS) + i64::from(at.as_millis().rem_euclid(STEP_MS) != 0);
        u32::try_from(minute.max(0)).unwrap_or(u32::MAX)
    };
    first(from)..first(to)
}
