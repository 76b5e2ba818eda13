//! The figures of the machine.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use oag_ops::{Source, SourceError};
use oag_types::{Labels, Signal, Timestamp};
use procfs::{Current, CurrentSI};
use serde::{Deserialize, Serialize};

use crate::process::signal;
use crate::rates::rate;

/// What of the machine is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// How often, in milliseconds.
    pub interval_ms: i64,
    /// The folder whose disk is looked at.
    pub data_dir: PathBuf,
    /// Labels of every series.
    pub labels: Labels,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { interval_ms: 10_000, data_dir: PathBuf::from("data"), labels: Labels::new() }
    }
}

/// Processor, load, memory, disk and network of the machine.
#[derive(Debug)]
pub struct HostSource {
    config: HostConfig,
    last: Mutex<Option<Counters>>,
}

#[derive(Debug, Clone, Copy)]
struct Counters {
    at: Timestamp,
    busy_ticks: u64,
    all_ticks: u64,
    received: f64,
    sent: f64,
}

impl HostSource {
    /// With what is looked at.
    #[must_use]
    pub fn new(mut config: HostConfig) -> Self {
        config.interval_ms = config.interval_ms.max(100);
        Self { config, last: Mutex::default() }
    }

    fn read(&self, now: Timestamp) -> Result<Vec<(&'static str, f64)>, String> {
        let mut values = Vec::new();
        let load = procfs::LoadAverage::current().map_err(|error| error.to_string())?;
        values.extend([
            ("host_load_1m", f64::from(load.one)),
            ("host_load_5m", f64::from(load.five)),
            ("host_load_15m", f64::from(load.fifteen)),
        ]);
        values.extend(memory()?);
        values.extend(self.disk()?);
        let counters = counters(now)?;
        let before = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.replace(counters)
        };
        values.extend(before.map(|before| between(&before, &counters)).unwrap_or_default());
        Ok(values)
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes of disks are below 2^53")]
    fn disk(&self) -> Result<[(&'static str, f64); 3], String> {
        let folder = &self.config.data_dir;
        let disk = rustix::fs::statvfs(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let unit = disk.f_frsize as f64;
        let used = disk.f_blocks.saturating_sub(disk.f_bfree) as f64 * unit;
        let available = disk.f_bavail as f64 * unit;
        let share = if used + available > 0.0 { used / (used + available) } else { 0.0 };
        Ok([
            ("host_disk_used_bytes", used),
            ("host_disk_available_bytes", available),
            ("host_disk_usage", share * 100.0),
        ])
    }
}

#[async_trait]
impl Source for HostSource {
    fn name(&self) -> &'static str {
        "host"
    }

    fn interval_ms(&self) -> i64 {
        self.config.interval_ms
    }

    async fn collect(&self, now: Timestamp) -> Result<Vec<Signal>, SourceError> {
        let values = self
            .read(now)
            .map_err(|reason| SourceError { source_name: "host".to_owned(), reason })?;
        let signals = values.into_iter().map(|(name, value)| {
            let mut signal = signal(name, now, value);
            signal.key.labels.clone_from(&self.config.labels);
            signal
        });
        Ok(signals.collect())
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of memory are below 2^53")]
fn memory() -> Result<[(&'static str, f64); 3], String> {
    let memory = procfs::Meminfo::current().map_err(|error| error.to_string())?;
    let available = memory.mem_available.unwrap_or(memory.mem_free);
    let used = memory.mem_total.saturating_sub(available) as f64;
    Ok([
        ("host_memory_used_bytes", used),
        ("host_memory_available_bytes", available as f64),
        ("host_memory_usage", used * 100.0 / (memory.mem_total.max(1) as f64)),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a machine are below 2^53")]
fn counters(at: Timestamp) -> Result<Counters, String> {
    let stat = procfs::KernelStats::current().map_err(|error| error.to_string())?;
    let cpu = stat.total;
    let idle = cpu.idle + cpu.iowait.unwrap_or(0);
    let busy_ticks = cpu.user
        + cpu.nice
        + cpu.system
        + cpu.irq.unwrap_or(0)
        + cpu.softirq.unwrap_or(0)
        + cpu.steal.unwrap_or(0);
    let devices = procfs::net::dev_status().map_err(|error| error.to_string())?;
    let outside = || devices.values().filter(|device| device.name != "lo");
    Ok(Counters {
        at,
        busy_ticks,
        all_ticks: busy_ticks + idle,
        received: outside().map(|device| device.recv_bytes as f64).sum(),
        sent: outside().map(|device| device.sent_bytes as f64).sum(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "ticks between two looks are few")]
fn between(before: &Counters, after: &Counters) -> Vec<(&'static str, f64)> {
    let all = after.all_ticks.saturating_sub(before.all_ticks);
    let busy = after.busy_ticks.saturating_sub(before.busy_ticks);
    let mut values = Vec::new();
    if all > 0 {
        values.push(("host_cpu_usage", (busy as f64 * 100.0 / all as f64).min(100.0)));
    }
    let per_second = |was, is| rate(before.at, was, after.at, is);
    let received = per_second(before.received, after.received);
    let sent = per_second(before.sent, after.sent);
    values.extend(received.map(|rate| ("host_network_receive_bytes_per_second", rate)));
    values.extend(sent.map(|rate| ("host_network_transmit_bytes_per_second", rate)));
    values
}
