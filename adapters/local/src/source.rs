//! Signals of the services this executor runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use oag_ops::{Source, SourceError};
use oag_types::{Sample, SeriesKey, ServiceName, Signal, Tenant, Timestamp};

use crate::LocalExecutor;
use crate::replica::Phase;
use crate::unit::{Unit, lock};

/// Gives the figures of each service once per step of that service.
#[derive(Debug)]
pub struct LocalSource {
    executor: Arc<LocalExecutor>,
    tenant: Tenant,
    interval_ms: i64,
    windows: Mutex<BTreeMap<ServiceName, Started>>,
}

/// When the present window of a service began.
#[derive(Debug, Clone, Copy)]
struct Started {
    /// End of the last step that was given.
    step: Timestamp,
    monotonic: Duration,
}

impl LocalSource {
    /// For the services of the default tenant, asked at an interval (250 to 1000 ms fit).
    #[must_use]
    pub fn new(executor: Arc<LocalExecutor>, interval_ms: i64) -> Self {
        Self {
            executor,
            tenant: Tenant::default_tenant(),
            interval_ms: interval_ms.max(50),
            windows: Mutex::default(),
        }
    }

    /// The same for another tenant. One source per tenant: asking empties the windows.
    #[must_use]
    pub fn for_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// The signals of one service, when a step of it has ended since the last time.
    fn due(&self, unit: &Unit, now: Timestamp) -> Vec<Signal> {
        let step_ms = unit.entry().service.scaling.step_ms.max(1);
        let step = Timestamp::from_millis(now.as_millis().div_euclid(step_ms) * step_ms);
        let monotonic = self.executor.clock().monotonic();
        let mut windows = lock(&self.windows);
        let before = windows.get(&unit.name).copied();
        if before.is_some_and(|before| step <= before.step) {
            return Vec::new();
        }
        windows.insert(unit.name.clone(), Started { step, monotonic });
        let values = collect(unit, before.map(|before| monotonic.saturating_sub(before.monotonic)));
        if before.is_none() {
            // The first window is not a whole one.
            return Vec::new();
        }
        let signal = |(name, value): (&str, f64)| Signal {
            key: SeriesKey::of_service(name, &unit.name),
            sample: Sample { at: step, value },
        };
        values.into_iter().filter(|(_, value)| value.is_finite()).map(signal).collect()
    }
}

#[async_trait]
impl Source for LocalSource {
    fn name(&self) -> &'static str {
        "local"
    }

    fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    async fn collect(&self, now: Timestamp) -> Result<Vec<Signal>, SourceError> {
        let units = self.executor.units_of(&self.tenant);
        lock(&self.windows).retain(|name, _| units.iter().any(|unit| unit.name == *name));
        Ok(units.iter().flat_map(|unit| self.due(unit, now)).collect())
    }
}

/// Empties the window of a service into values.
#[expect(clippy::cast_precision_loss, reason = "counts of one window are small")]
fn collect(unit: &Unit, elapsed: Option<Duration>) -> Vec<(&'static str, f64)> {
    let seconds = elapsed.unwrap_or_default().as_secs_f64().max(1e-3);
    let window = unit.meter.take();
    let flow = unit.gate.flow(true);
    let cost = cost(unit);
    let error_rate =
        if window.finished == 0 { 0.0 } else { window.errors as f64 / window.finished as f64 };
    let mut values = vec![
        ("request_rate", window.arrived as f64 / seconds),
        ("error_rate", error_rate),
        ("in_flight", flow.in_flight as f64),
        ("queue", flow.queued as f64),
        ("rejected", window.rejected as f64 / seconds),
        ("replicas", f64::from(lock(&unit.wanted).target())),
        ("ready_replicas", unit.ready() as f64),
        ("cpu_usage", cost.cpu_seconds * 100.0 / seconds),
        ("rss_bytes", cost.resident_bytes as f64),
    ];
    for (name, share) in [("latency_p50_ms", 0.5), ("latency_p99_ms", 0.99)] {
        values.extend(window.latency.quantile_ms(share).map(|value| (name, value)));
    }
    values.extend(flow.utilisation.map(|share| ("utilisation", share)));
    values
}

struct CostOfAll {
    /// Processor time since the last window.
    cpu_seconds: f64,
    resident_bytes: u64,
}

#[expect(clippy::cast_precision_loss, reason = "ticks of one window are few")]
fn cost(unit: &Unit) -> CostOfAll {
    let mut sum = CostOfAll { cpu_seconds: 0.0, resident_bytes: 0 };
    let per_second = procfs::ticks_per_second().max(1) as f64;
    for replica in lock(&unit.replicas).iter_mut() {
        let Some(cost) = replica.process.cost() else { continue };
        let ticks = cost.cpu_ticks.saturating_sub(replica.ticks_reported);
        replica.ticks_reported = cost.cpu_ticks;
        sum.cpu_seconds += ticks as f64 / per_second;
        if replica.phase != Phase::Retiring {
            sum.resident_bytes += cost.resident_bytes;
        }
    }
    sum
}
