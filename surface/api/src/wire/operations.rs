//! Signals, series and breakers on the wire.

use oag_ops::{BackfillReport, SeriesView};
use oag_types::{Labels, Sample, SeriesKey, ServiceName, Signal, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "request_rate", "labels": {"service": "order-service"},
    "at": "2026-11-21T08:00:00Z", "value": 117.5}))]
pub struct SignalRequest {
    /// Metric name.
    pub name: String,
    /// Labels; `service` joins the series to a service of the catalogue.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub labels: Labels,
    /// When it was observed, RFC 3339 or milliseconds; now when left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// What was observed; finite.
    pub value: f64,
}

impl SignalRequest {
    /// As the domain has it.
    #[must_use]
    pub fn signal(self, now: Timestamp) -> Signal {
        Signal {
            key: SeriesKey { name: self.name, labels: self.labels },
            sample: Sample { at: self.at.unwrap_or(now), value: self.value },
        }
    }
}

/// What became of a batch of signals. Every one of them is counted in exactly one of `accepted`,
/// `duplicates`, `late` and `rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalsTaken {
    /// Taken in.
    pub accepted: usize,
    /// Of a moment that was there already; the first value stays.
    pub duplicates: usize,
    /// Older than what is kept in memory: only for long-term storage.
    pub late: usize,
    /// Refused; see `errors`.
    pub rejected: usize,
    /// Series seen for the first time.
    pub new_series: usize,
    /// Why, at most 1,000.
    pub errors: Vec<SignalError>,
    /// Refusals beyond those in `errors`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errors_left_out: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Why one signal was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalError {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// The code.
    pub code: String,
    /// The field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// The past of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillRequest {
    /// Metric name.
    pub name: String,
    /// Labels.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub labels: Labels,
    /// Samples in any order.
    #[schema(value_type = Vec<SampleView>)]
    pub samples: Vec<Sample>,
}

/// One value at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What.
    pub value: f64,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillDone {
    /// Taken in.
    pub accepted: usize,
    /// Not finite, out of range, or of a moment given twice.
    pub rejected: usize,
    /// Taken by long-term storage.
    pub stored: usize,
    /// Whether a forecaster was taught.
    pub taught: bool,
}

impl From<BackfillReport> for BackfillDone {
    fn from(report: BackfillReport) -> Self {
        let BackfillReport { accepted, rejected, stored, taught } = report;
        Self { accepted, rejected, stored, taught }
    }
}

/// The identity of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesKeyView {
    /// Metric name.
    pub name: String,
    /// Labels.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub labels: Labels,
}

impl From<SeriesKey> for SeriesKeyView {
    fn from(key: SeriesKey) -> Self {
        Self { name: key.name, labels: key.labels }
    }
}

/// The series there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesList {
    /// By name.
    pub items: Vec<SeriesKeyView>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// Samples of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesWindow {
    /// Which series.
    pub series: SeriesKeyView,
    /// In order of time.
    #[schema(value_type = Vec<SampleView>)]
    pub samples: Vec<Sample>,
    /// Where to go on when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_from: Option<Timestamp>,
}

/// The newest anomaly score of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesScoreView {
    /// Which series.
    pub series: SeriesKeyView,
    /// The newest sample.
    #[schema(value_type = Option<SampleView>)]
    pub latest: Option<Sample>,
    /// How rare it is, 0 to 1; absent until enough was seen.
    pub score: Option<f64>,
    /// Whether somebody should look.
    pub alert: bool,
    /// The expected value.
    pub expected: Option<f64>,
    /// Lower edge of the 3-sigma band.
    pub low: Option<f64>,
    /// Upper edge of the 3-sigma band.
    pub high: Option<f64>,
}

/// The recent load of a service, and what is expected next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadView {
    /// The service.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// The metric.
    pub metric: String,
    /// Metrics there are for this service.
    pub metrics: Vec<String>,
    /// Length of one step in milliseconds.
    pub step_ms: i64,
    /// One value per step, oldest first; null where none came.
    pub values: Vec<Option<f64>>,
    /// When the last step begins.
    #[schema(value_type = String, format = DateTime)]
    pub last_step_at: Timestamp,
    /// When the newest sample was observed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub newest_at: Option<Timestamp>,
    /// Expected values of the steps to come; absent when there is too little to go by.
    pub forecast: Option<Vec<f64>>,
    /// Lower edge of their band.
    pub forecast_low: Option<Vec<f64>>,
    /// Upper edge of their band.
    pub forecast_high: Option<Vec<f64>>,
}

impl LoadView {
    /// Of a view, without a forecast.
    #[must_use]
    pub fn of(
        service: ServiceName,
        metric: String,
        metrics: Vec<String>,
        view: SeriesView,
    ) -> Self {
        Self {
            service,
            metric,
            metrics,
            step_ms: view.step_ms,
            values: view.values,
            last_step_at: view.last_step_at,
            newest_at: view.newest_at,
            forecast: None,
            forecast_low: None,
            forecast_high: None,
        }
    }
}

/// The circuit breaker of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakerView {
    /// The service.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// `closed`, `open` or `half_open`; `none` without a breaker, `unknown` when its executor is
    /// away.
    pub state: String,
    /// Other facts of the breaker, as its executor reports them.
    pub facts: std::collections::BTreeMap<String, serde_json::Value>,
}
