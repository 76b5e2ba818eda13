//! Figures about requests and the process, in OpenMetrics text.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oag_runtime::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use tokio::sync::Semaphore;

use crate::config::ApiConfig;
use crate::state::ProcessFigures;

const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: String,
}

/// Figures about requests. Labels are route templates, known methods and statuses: their number
/// is bounded whatever callers send.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    auth_failures: Counter,
}

impl HttpMetrics {
    pub(crate) fn register(
        metrics: &Metrics,
        watchers: &Arc<Semaphore>,
        config: &ApiConfig,
    ) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let durations =
            Family::<RouteLabels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let auth_failures = Counter::default();
        let watching = Watching { free: Arc::clone(watchers), max: config.watchers_max };
        metrics.register(|registry| {
            registry.register("http_requests", "Requests answered", requests.clone());
            registry.register_with_unit(
                "http_request_duration",
                "Time until the answer begins",
                Unit::Seconds,
                durations.clone(),
            );
            let help = "Credentials that were refused";
            registry.register("http_auth_failures", help, auth_failures.clone());
            registry.register_collector(Box::new(watching));
        });
        Self { requests, durations, auth_failures }
    }

    pub(crate) fn observe(&self, route: &str, method: &str, status: u16, took: Duration) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = if known.contains(&method) { method } else { "OTHER" }.to_owned();
        let route = route.to_owned();
        let labels = RouteLabels { route: route.clone(), method: method.clone() };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        let labels = RequestLabels { route, method, code: u32::from(status) };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn auth_failed(&self) {
        self.auth_failures.inc();
    }
}

/// How many watches are open.
#[derive(Debug)]
struct Watching {
    free: Arc<Semaphore>,
    max: usize,
}

impl Collector for Watching {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let open = self.max.saturating_sub(self.free.available_permits());
        let gauge = ConstGauge::new(i64::try_from(open).unwrap_or(i64::MAX));
        let kind = gauge.metric_type();
        gauge.encode(encoder.encode_descriptor("http_watches", "Watches open", None, kind)?)
    }
}

/// Adds the figures of the process.
pub(crate) fn register_process(metrics: &Metrics, figures: ProcessFigures) {
    metrics.register(|registry| registry.register_collector(Box::new(Process(figures))));
}

struct Process(ProcessFigures);

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = (self.0)();
        let whole = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let gauges = [
            ("process_resident_memory", "Resident memory", Some(Unit::Bytes), stats.resident_bytes),
            ("process_open_fds", "Open file descriptors", None, stats.open_fds),
            ("process_threads", "Threads", None, stats.threads),
        ];
        for (name, help, unit, value) in gauges {
            let gauge = whole(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?)?;
        }
        let cpu = ConstCounter::new(stats.cpu_seconds);
        let kind = cpu.metric_type();
        let help = "CPU time used since the start";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?)
    }
}
