//! Limits of the hub and what it counts.

use oag_insight::ForecastConfig;
use oag_types::Problem;
use serde::{Deserialize, Serialize};

/// Limits of a [`SignalHub`](crate::SignalHub). Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HubConfig {
    /// Most series a tenant may have at once.
    pub series_max: usize,
    /// Most tenants.
    pub tenants_max: usize,
    /// Newest samples kept in memory for each series.
    pub ring_samples: usize,
    /// How far in the past a sample may lie.
    pub past_max_ms: i64,
    /// How far in the future a sample may lie.
    pub future_max_ms: i64,
    /// A series without a sample for this long makes room for a new one at the limit.
    pub idle_ms: i64,
    /// Step of series whose step is not known yet.
    pub step_ms: i64,
    /// Past that a new forecaster is taught from long-term storage.
    pub history_ms: i64,
    /// Season of services that state none; none: no season.
    pub season_ms: Option<i64>,
    /// Steps ahead to forecast.
    pub horizon: usize,
    /// Quantile of the load that must fit into the capacity provisioned, 0.5 to 0.9999: higher is
    /// safer and dearer.
    pub plan_quantile: f64,
    /// Most forecasters of a tenant.
    pub forecasters_max: usize,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            series_max: 50_000,
            tenants_max: 100,
            ring_samples: 240,
            past_max_ms: 400 * 86_400_000,
            future_max_ms: 300_000,
            idle_ms: 86_400_000,
            step_ms: 30_000,
            history_ms: 14 * 86_400_000,
            season_ms: Some(86_400_000),
            horizon: 10,
            plan_quantile: ForecastConfig::PLAN_EVERY_STEP,
            forecasters_max: 5_000,
        }
    }
}

/// What a hub has counted since it was made; `series` and `forecasters` are present numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HubCounters {
    /// Samples taken in.
    pub accepted: u64,
    /// Samples of a moment that was there already.
    pub duplicates: u64,
    /// Samples older than the window kept in memory; forwarded to long-term storage.
    pub late: u64,
    /// Samples refused because they lie in the future.
    pub future: u64,
    /// Samples refused for any reason.
    pub rejected: u64,
    /// Samples refused because of the limit of series.
    pub too_many_series: u64,
    /// Samples imported as history.
    pub backfilled: u64,
    /// Samples that long-term storage did not take, and reads it did not answer.
    pub long_term_errors: u64,
    /// Series that made room for others.
    pub evicted: u64,
    /// Points scored.
    pub scored: u64,
    /// Points scored as alerts.
    pub alerts: u64,
    /// Series at present.
    pub series: u64,
    /// Forecasters at present.
    pub forecasters: u64,
}

/// What became of a batch: `accepted + duplicates + late + rejected.len()` is its length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IngestReport {
    /// Taken in, in order or put in their place.
    pub accepted: usize,
    /// Of a moment that was there already; the first value stays.
    pub duplicates: usize,
    /// Older than the window kept in memory: only forwarded to long-term storage.
    pub late: usize,
    /// Refused because they lie in the future; they are among the rejected.
    pub future: usize,
    /// Refused: index in the batch and why.
    pub rejected: Vec<(usize, Problem)>,
    /// Series seen for the first time.
    pub new_series: usize,
}

/// What became of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackfillReport {
    /// Samples taken in.
    pub accepted: usize,
    /// Samples refused: not finite, out of range, or of a moment given twice.
    pub rejected: usize,
    /// Samples that long-term storage took.
    pub stored: usize,
    /// Whether a forecaster was taught.
    pub taught: bool,
}
