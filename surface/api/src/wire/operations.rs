//! Signals, series and breakers on the wire.

use oag_ops::{BackfillReport, SeriesView};
use oag_types::{Labels, Sample, SeriesKey, ServiceName, Signal, Timestamp};
use serde::{Deserialize, Serialize};

wire! {
    /// One observation.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"name": "request_rate", "labels": {"service": "order-service"},
        "at": "2026-11-21T08:00:00Z", "value": 117.5})]
    pub(crate) struct SignalRequest {
        /// Metric name.
        pub(crate) name: String,
        /// Labels; `service` joins the series to a service of the catalogue.
        #[serde(default)]
        pub(crate) labels: Labels,
        /// When it was observed, RFC 3339 or milliseconds; now when left out.
        #[serde(default)]
        pub(crate) at: Option<Timestamp>,
        /// What was observed; finite.
        pub(crate) value: f64,
    }
}

impl SignalRequest {
    /// As the domain has it.
    #[must_use]
    pub(crate) fn signal(self, now: Timestamp) -> Signal {
        Signal {
            key: SeriesKey { name: self.name, labels: self.labels },
            sample: Sample { at: self.at.unwrap_or(now), value: self.value },
        }
    }
}

wire! {
    /// What became of a batch of signals. Every one of them is counted in exactly one of `accepted`,
    /// `duplicates`, `late` and `rejected`.
    #[derive(Serialize)]
    pub(crate) struct SignalsTaken {
        /// Taken in.
        pub(crate) accepted: usize,
        /// Of a moment that was there already; the first value stays.
        pub(crate) duplicates: usize,
        /// Older than what is kept in memory: only for long-term storage.
        pub(crate) late: usize,
        /// Refused; see `errors`.
        pub(crate) rejected: usize,
        /// Series seen for the first time.
        pub(crate) new_series: usize,
        /// Why, at most 1,000.
        pub(crate) errors: Vec<SignalError>,
        /// Refusals beyond those in `errors`.
        #[serde(skip_serializing_if = "is_zero")]
        pub(crate) errors_left_out: usize,
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

wire! {
    /// Why one signal was refused.
    #[derive(Serialize)]
    pub(crate) struct SignalError {
        /// Its place in the batch, from 0.
        pub(crate) index: usize,
        /// The code.
        pub(crate) code: String,
        /// The field that is wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) field: Option<String>,
        /// What is wrong.
        pub(crate) message: String,
    }

    /// The past of one series.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct BackfillRequest {
        /// Metric name.
        pub(crate) name: String,
        /// Labels.
        #[serde(default)]
        pub(crate) labels: Labels,
        /// Samples in any order.
        pub(crate) samples: Vec<Sample>,
    }

    /// What became of an import.
    #[derive(Serialize)]
    pub(crate) struct BackfillDone {
        /// Taken in.
        pub(crate) accepted: usize,
        /// Not finite, out of range, or of a moment given twice.
        pub(crate) rejected: usize,
        /// Taken by long-term storage.
        pub(crate) stored: usize,
        /// Whether a forecaster was taught.
        pub(crate) taught: bool,
    }
}

impl From<BackfillReport> for BackfillDone {
    fn from(report: BackfillReport) -> Self {
        let BackfillReport { accepted, rejected, stored, taught } = report;
        Self { accepted, rejected, stored, taught }
    }
}

wire! {
    /// The identity of a series.
    #[derive(Serialize)]
    pub(crate) struct SeriesKeyView {
        /// Metric name.
        pub(crate) name: String,
        /// Labels.
        pub(crate) labels: Labels,
    }
}

impl From<SeriesKey> for SeriesKeyView {
    fn from(key: SeriesKey) -> Self {
        Self { name: key.name, labels: key.labels }
    }
}

wire! {
    /// The series there are.
    #[derive(Serialize)]
    pub(crate) struct SeriesList {
        /// By name.
        pub(crate) items: Vec<SeriesKeyView>,
        /// Whether there are more than were asked for.
        pub(crate) more: bool,
    }

    /// Samples of a series.
    #[derive(Serialize)]
    pub(crate) struct SeriesWindow {
        /// Which series.
        pub(crate) series: SeriesKeyView,
        /// In order of time.
        pub(crate) samples: Vec<Sample>,
        /// Where to go on when there are more.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) next_from: Option<Timestamp>,
    }

    /// The newest anomaly score of a series.
    #[derive(Serialize)]
    pub(crate) struct SeriesScoreView {
        /// Which series.
        pub(crate) series: SeriesKeyView,
        /// The newest sample.
        pub(crate) latest: Option<Sample>,
        /// How rare it is, 0 to 1; absent until enough was seen.
        pub(crate) score: Option<f64>,
        /// Whether somebody should look.
        pub(crate) alert: bool,
        /// The expected value.
        pub(crate) expected: Option<f64>,
        /// Lower edge of the 3-sigma band.
        pub(crate) low: Option<f64>,
        /// Upper edge of the 3-sigma band.
        pub(crate) high: Option<f64>,
    }

    /// The recent load of a service, and what is expected next.
    #[derive(Serialize)]
    pub(crate) struct LoadView {
        /// The service.
        pub(crate) service: ServiceName,
        /// The metric.
        pub(crate) metric: String,
        /// Metrics there are for this service.
        pub(crate) metrics: Vec<String>,
        /// Length of one step in milliseconds.
        pub(crate) step_ms: i64,
        /// One value per step, oldest first; null where none came.
        pub(crate) values: Vec<Option<f64>>,
        /// When the last step begins.
        pub(crate) last_step_at: Timestamp,
        /// When the newest sample was observed.
        pub(crate) newest_at: Option<Timestamp>,
        /// Expected values of the steps to come; absent when there is too little to go by.
        pub(crate) forecast: Option<Vec<f64>>,
        /// Lower edge of their band.
        pub(crate) forecast_low: Option<Vec<f64>>,
        /// Upper edge of their band.
        pub(crate) forecast_high: Option<Vec<f64>>,
    }
}

impl LoadView {
    /// Of a view, without a forecast.
    #[must_use]
    pub(crate) fn of(
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

wire! {
    /// The circuit breaker of a service.
    #[derive(Serialize)]
    pub(crate) struct BreakerView {
        /// The service.
        pub(crate) service: ServiceName,
        /// `closed`, `open` or `half_open`; `none` without a breaker, `unknown` when its executor is
        /// away.
        pub(crate) state: String,
        /// Other facts of the breaker, as its executor reports them.
        pub(crate) facts: std::collections::BTreeMap<String, serde_json::Value>,
    }
}
