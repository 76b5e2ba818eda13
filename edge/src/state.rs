//! What a light node knows of itself, for its port and its reports.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use oag_cluster::protocol::Reading;
use oag_cluster::{Agent, ReportFigures};
use oag_runtime::{Clock, Figure, Metrics, ShutdownHandle};
use oag_types::Labels;

use crate::counted::Requests;
use crate::host::{HostLoad, HostMeter, resident_bytes};
use crate::port::PortCounts;

/// Everything that is counted, and the agent once there is one.
pub(crate) struct State {
    pub(crate) metrics: Metrics,
    pub(crate) requests: Arc<Requests>,
    pub(crate) port: PortCounts,
    agent: OnceLock<Arc<Agent>>,
    shutdown: ShutdownHandle,
    clock: Arc<dyn Clock>,
    host: HostMeter,
    before: Mutex<Before>,
}

/// What was counted at the last report.
#[derive(Debug, Clone, Copy)]
struct Before {
    at: Duration,
    requests: u64,
    failed: u64,
}

impl State {
    /// Nothing has happened yet.
    pub(crate) fn new(clock: Arc<dyn Clock>, shutdown: ShutdownHandle) -> Arc<Self> {
        let before = Before { at: clock.monotonic(), requests: 0, failed: 0 };
        let state = Arc::new(Self {
            metrics: Metrics::new(),
            requests: Arc::default(),
            port: PortCounts::default(),
            agent: OnceLock::new(),
            shutdown,
            clock,
            host: HostMeter::new(),
            before: Mutex::new(before),
        });
        let shown = Arc::downgrade(&state);
        state.metrics.register_figures(move || {
            shown.upgrade().map(|state| state.figures()).unwrap_or_default()
        });
        state
    }

    /// From now on there is an agent; the first one counts.
    pub(crate) fn set_agent(&self, agent: &Arc<Agent>) {
        let _ = self.agent.set(Arc::clone(agent));
    }

    /// Why this node is of no use now.
    pub(crate) fn why_not_ready(&self) -> Option<&'static str> {
        match self.agent.get() {
            _ if self.shutdown.is_draining() => Some("this node is shutting down"),
            None => Some("this node has not joined yet"),
            Some(agent) if agent.is_connected() => None,
            Some(_) => Some("the controller does not answer"),
        }
    }

    /// What is reported now; rates are since this was asked last.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn readings(&self) -> Vec<Reading> {
        let (at, now) = (self.clock.now(), self.clock.monotonic());
        let requests = self.requests.all.load(Ordering::Relaxed);
        let failed = self.requests.failed.load(Ordering::Relaxed);
        let before = {
            let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *before, Before { at: now, requests, failed })
        };
        let passed = now.saturating_sub(before.at).as_secs_f64().max(0.001);
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed;
        let HostLoad { cpu, memory } = self.host.look();
        let reports = self.reports();
        let used = 100.0 * reports.bytes as f64 / reports.bytes_max.max(1) as f64;
        let percent = |share: f32| f64::from(share) * 100.0;
        let values = [
            ("host_cpu_usage", cpu.map(percent)),
            ("host_memory_usage", memory.map(percent)),
            ("edge_requests_per_second", Some(per_second(requests, before.requests))),
            ("edge_errors_per_second", Some(per_second(failed, before.failed))),
            ("edge_buffer_usage", Some(used)),
            ("edge_resident_bytes", resident_bytes().map(|bytes| bytes as f64)),
        ];
        let reading = |(metric, value): (&str, Option<f64>)| {
            let metric = metric.to_owned();
            Some(Reading { service: None, metric, value: value?, at, labels: Labels::new() })
        };
        values.into_iter().filter_map(reading).collect()
    }

    fn reports(&self) -> ReportFigures {
        self.agent.get().map(|agent| agent.report_figures()).unwrap_or_default()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn figures(&self) -> Vec<Figure> {
        let r = self.reports();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let connected = self.agent.get().is_some_and(|agent| agent.is_connected());
        let open = count(&self.port.open) as f64;
        let mut figures = vec![
            Figure::Now(
                "edge_connected",
                "1: the controller knows this node",
                f64::from(connected),
            ),
            Figure::Total("edge_requests", "Requests to its models", count(&self.requests.all)),
            Figure::Total("edge_errors", "Of those, failed", count(&self.requests.failed)),
            Figure::Total(
                "edge_port_requests",
                "Requests to this port",
                count(&self.port.requests),
            ),
            Figure::Now("edge_port_connections", "Connections to this port", open),
            Figure::Total("edge_reports", "Reports made", r.made),
            Figure::Total(
                "edge_reports_acknowledged",
                "Reports the controller has",
                r.acknowledged,
            ),
            Figure::Total("edge_reports_again", "Reports that were sent again", r.again),
            Figure::Total("edge_samples_dropped", "Samples that found no room", r.dropped),
            Figure::Total("edge_buffer_errors", "Failures of the buffer's file", r.file_errors),
            Figure::Now("edge_buffer_reports", "Reports that wait", r.waiting as f64),
            Figure::Now("edge_buffer_bytes", "Bytes of reports that wait", r.bytes as f64),
            Figure::Now("edge_buffer_bytes_max", "Most bytes that wait", r.bytes_max as f64),
        ];
        figures.extend(resident_bytes().map(|bytes| {
            Figure::Now("process_resident_bytes", "Memory of this process in RAM", bytes as f64)
        }));
        figures
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use oag_runtime::FakeClock;

    use super::*;

    /// A node without an agent.
    pub(crate) fn alone() -> Arc<State> {
        State::new(Arc::new(FakeClock::default()), ShutdownHandle::new())
    }

    #[test]
    fn rates_are_of_the_time_since_the_last_report() {
        let clock = FakeClock::default();
        let state = State::new(Arc::new(clock.clone()), ShutdownHandle::new());
        state.requests.all.store(30, Ordering::Relaxed);
        state.requests.failed.store(10, Ordering::Relaxed);
        clock.advance(5_000);
        let value = |readings: &[Reading], metric: &str| {
            readings.iter().find(|reading| reading.metric == metric).map(|reading| reading.value)
        };
        let first = state.readings();
        assert_eq!(value(&first, "edge_requests_per_second"), Some(6.0));
        assert_eq!(value(&first, "edge_errors_per_second"), Some(2.0));
        assert!(value(&first, "host_memory_usage").is_some_and(|share| share > 0.0));
        clock.advance(5_000);
        assert_eq!(value(&state.readings(), "edge_requests_per_second"), Some(0.0));
    }
}
