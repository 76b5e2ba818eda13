//! Signals: what was observed, when, and of which series.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ServiceName, Timestamp};

/// Labels of a series, sorted by name, so that equal sets are equal values.
pub type Labels = BTreeMap<String, String>;

/// The identity of a series: a metric name and its labels. The label `service` joins the series
/// to a service of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesKey {
    /// Metric name, such as `request_rate`.
    pub name: String,
    /// Labels, such as `service=order-service`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
}

impl SeriesKey {
    /// A series without labels.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), labels: Labels::new() }
    }

    /// The same series with one more label.
    #[must_use]
    pub fn with(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(label.into(), value.into());
        self
    }

    /// The series `name` of a service.
    #[must_use]
    pub fn of_service(name: impl Into<String>, service: &ServiceName) -> Self {
        Self::new(name).with("service", service.as_str())
    }

    /// The service this series belongs to, when its label names one.
    #[must_use]
    pub fn service(&self) -> Option<ServiceName> {
        self.labels.get("service").and_then(|name| name.parse().ok())
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        for (at, (name, value)) in self.labels.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if at == 0 { "{" } else { "," })?;
        }
        f.write_str("}")
    }
}

/// One value at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was observed.
    pub at: Timestamp,
    /// What was observed; finite.
    pub value: f64,
}

/// A sample of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Of which series.
    #[serde(flatten)]
    pub key: SeriesKey,
    /// What and when.
    #[serde(flatten)]
    pub sample: Sample,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_written_as_prometheus_writes_it() {
        let key = SeriesKey::new("request_rate").with("service", "order").with("az", "a");
        assert_eq!(key.to_string(), r#"request_rate{az="a",service="order"}"#);
        assert_eq!(SeriesKey::new("up").to_string(), "up");
    }
}
