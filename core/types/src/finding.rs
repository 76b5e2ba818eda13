//! Findings: what a detector or reader made of signals.

use serde::{Deserialize, Serialize};

use crate::{FindingId, ServiceName, StoryId, Timestamp};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A series left its band.
    Anomaly,
    /// The forecast crosses the threshold of capacity.
    ForecastOverload,
    /// Present load is above the threshold of capacity.
    Overload,
    /// More capacity than the forecast needs.
    Surplus,
    /// Requests fail more often than allowed.
    Errors,
    /// Requests take longer than usual.
    Latency,
    /// Expected data did not come.
    MissingData,
    /// Nothing is wrong; said so with the evidence.
    Calm,
    /// A replica or a probe failed.
    Unhealthy,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Will hurt if nothing is done.
    Warning,
    /// Hurts now.
    Critical,
}

/// One piece of evidence: a statement with the numbers it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The statement, in plain words.
    pub text: String,
    /// The series it rests on, as text, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Named numbers: inputs, intermediate results, units in the name.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub numbers: serde_json::Map<String, serde_json::Value>,
}

impl Evidence {
    /// A statement without numbers.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), series: None, numbers: serde_json::Map::new() }
    }

    /// The same statement with one more number; a value that is not finite becomes null.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.numbers.insert(name.to_owned(), value.into());
        self
    }

    /// The same statement resting on a series.
    #[must_use]
    pub fn from_series(mut self, series: impl ToString) -> Self {
        self.series = Some(series.to_string());
        self
    }
}

/// A finding, with its evidence and a calibrated confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its id.
    pub id: FindingId,
    /// The story it opened or belongs to.
    pub story: StoryId,
    /// What was found.
    pub kind: FindingKind,
    /// The service it is about, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// How bad it is.
    pub severity: Severity,
    /// Probability that the finding is right, 0 to 1.
    pub confidence: f64,
    /// One line for people.
    pub summary: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// When it was made.
    pub at: Timestamp,
}
