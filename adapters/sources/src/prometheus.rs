//! Asks an endpoint for its exposition and turns it into signals.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use oag_ops::{Source, SourceError};
use oag_types::{Labels, Sample, SeriesKey, Signal, Timestamp};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::SourcesError;
use crate::exposition::{Format, Kind, Point, parse};
use crate::glob::fits;
use crate::rates::Rates;

const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;q=0.9,\
                        text/plain;version=0.0.4;q=0.8,*/*;q=0.1";

/// An endpoint and what is taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Its name, for logs and metrics.
    pub name: String,
    /// Where it is, such as `http://127.0.0.1:9100/metrics`. Redirects are not followed.
    pub url: String,
    /// How often it is asked, in milliseconds.
    #[serde(default = "interval_ms")]
    pub interval_ms: i64,
    /// How long it may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Labels of every series. A label of the same name that the endpoint gives is renamed
    /// `exported_NAME`.
    #[serde(default)]
    pub labels: Labels,
    /// Patterns of metric names that are taken; all when empty.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Patterns of metric names that are not taken.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Most values in one answer; more fail the whole answer.
    #[serde(default = "samples_max")]
    pub max_samples: usize,
    /// Most bytes of one answer.
    #[serde(default = "bytes_max")]
    pub max_bytes: usize,
    /// How far a time that the endpoint gives may be from now, in milliseconds; values further
    /// away are dropped.
    #[serde(default = "skew_ms")]
    pub max_skew_ms: i64,
}

const fn interval_ms() -> i64 {
    15_000
}

const fn timeout_ms() -> u64 {
    10_000
}

const fn samples_max() -> usize {
    20_000
}

const fn bytes_max() -> usize {
    16 << 20
}

const fn skew_ms() -> i64 {
    3_600_000
}

/// Scrapes one endpoint. Gauges are taken as they are; counters, and the buckets, sums and counts
/// of histograms and summaries, become rates named `…_per_second` (`_total` is left out).
#[derive(Debug)]
pub struct PrometheusSource {
    config: PrometheusConfig,
    client: reqwest::Client,
    rates: Mutex<Rates>,
}

impl PrometheusSource {
    /// For an endpoint.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn new(config: PrometheusConfig) -> Result<Self, SourcesError> {
        check(&config)?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may install one at the same moment; either is the same.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|error| SourcesError::Setting { field: "url", problem: chain(&error) })?;
        Ok(Self { config, client, rates: Mutex::default() })
    }

    async fn fetch(&self) -> Result<(String, Format), String> {
        let request = self.client.get(&self.config.url).header(ACCEPT, ACCEPTED);
        let mut response = request.send().await.map_err(|error| chain(&error.without_url()))?;
        if !response.status().is_success() {
            return Err(format!("answered with {}", response.status()));
        }
        let format = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let format = Format::of(format.unwrap_or_default());
        let most = self.config.max_bytes;
        let mut bytes = Vec::new();
        while let Some(part) =
            response.chunk().await.map_err(|error| chain(&error.without_url()))?
        {
            if bytes.len() + part.len() > most {
                return Err(format!("the answer is larger than {most} bytes"));
            }
            bytes.extend_from_slice(&part);
        }
        String::from_utf8(bytes)
            .map(|text| (text, format))
            .map_err(|_| "the answer is not UTF-8".to_owned())
    }

    /// Whether a metric is wanted.
    fn takes(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, name));
        (self.config.allow.is_empty() || any(&self.config.allow)) && !any(&self.config.deny)
    }

    fn labelled(&self, mut labels: Labels) -> Labels {
        for (name, value) in &self.config.labels {
            if let Some(theirs) = labels.insert(name.clone(), value.clone()) {
                labels.insert(format!("exported_{name}"), theirs);
            }
        }
        labels
    }

    /// The signals of an exposition.
    fn signals(&self, points: Vec<Point>, now: Timestamp) -> Vec<Signal> {
        let mut seen = HashSet::new();
        let (mut gauges, mut counters, mut dropped) = (Vec::new(), Vec::new(), 0_usize);
        for point in points {
            if point.kind == Kind::Created || !self.takes(&point.name) {
                continue;
            }
            let at = point.at.unwrap_or(now);
            let far = at.millis_since(now).saturating_abs() > self.config.max_skew_ms;
            let key = SeriesKey { name: point.name, labels: self.labelled(point.labels) };
            if far || !point.value.is_finite() || !seen.insert(key.clone()) {
                dropped += 1;
                continue;
            }
            let list = if point.kind == Kind::Counter { &mut counters } else { &mut gauges };
            list.push((key, at, point.value));
        }
        if dropped > 0 {
            tracing::debug!(source = self.config.name, dropped, "values dropped");
        }
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner).advance(counters);
        for (key, _, _) in &mut rates {
            let base = key.name.strip_suffix("_total").unwrap_or(&key.name);
            key.name = format!("{base}_per_second");
        }
        gauges
            .into_iter()
            .chain(rates)
            .map(|(key, at, value)| Signal { key, sample: Sample { at, value } })
            .collect()
    }
}

#[async_trait]
impl Source for PrometheusSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn interval_ms(&self) -> i64 {
        self.config.interval_ms
    }

    async fn collect(&self, now: Timestamp) -> Result<Vec<Signal>, SourceError> {
        let failed = |reason| SourceError { source_name: self.config.name.clone(), reason };
        let (text, format) = self.fetch().await.map_err(failed)?;
        let points = parse(&text, format, self.config.max_samples)
            .map_err(|error| failed(error.to_string()))?;
        Ok(self.signals(points, now))
    }
}

fn check(config: &PrometheusConfig) -> Result<(), SourcesError> {
    let wrong =
        |field, problem: &str| Err(SourcesError::Setting { field, problem: problem.to_owned() });
    if config.name.is_empty() {
        return wrong("name", "is empty");
    }
    match reqwest::Url::parse(&config.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {}
        _ => return wrong("url", "must begin with http:// or https://"),
    }
    if config.interval_ms < 100 {
        return wrong("interval_ms", "must be at least 100");
    }
    if config.timeout_ms == 0 || config.max_samples == 0 || config.max_bytes == 0 {
        return wrong("timeout_ms, max_samples, max_bytes", "must be above 0");
    }
    Ok(())
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
