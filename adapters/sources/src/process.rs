//! The figures of the product's own process.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use oag_ops::{Source, SourceError};
use oag_runtime::ProcessStats;
use oag_types::{Sample, SeriesKey, Signal, Timestamp};

use crate::rates::rate;

/// What the kernel says about this process now.
///
/// # Errors
/// When `/proc` cannot be read; the reason is for people.
#[expect(clippy::cast_precision_loss, reason = "ticks of processor time are few")]
pub fn process_stats() -> Result<ProcessStats, String> {
    let process = procfs::process::Process::myself().map_err(|error| error.to_string())?;
    let stat = process.stat().map_err(|error| error.to_string())?;
    let fds = process.fd_count().map_err(|error| error.to_string())?;
    Ok(ProcessStats {
        resident_bytes: stat.rss * procfs::page_size(),
        cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second().max(1) as f64,
        open_fds: u64::try_from(fds).unwrap_or(u64::MAX),
        threads: u64::try_from(stat.num_threads).unwrap_or(0),
    })
}

/// Own memory, processor use, descriptors and threads.
#[derive(Debug)]
pub struct ProcessSource {
    interval_ms: i64,
    last_cpu: Mutex<Option<(Timestamp, f64)>>,
}

impl ProcessSource {
    /// Asked at an interval.
    #[must_use]
    pub fn new(interval_ms: i64) -> Self {
        Self { interval_ms: interval_ms.max(100), last_cpu: Mutex::default() }
    }
}

#[async_trait]
impl Source for ProcessSource {
    fn name(&self) -> &'static str {
        "process"
    }

    fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes of a process are below 2^53")]
    async fn collect(&self, now: Timestamp) -> Result<Vec<Signal>, SourceError> {
        let stats = process_stats()
            .map_err(|reason| SourceError { source_name: "process".to_owned(), reason })?;
        let before = {
            let mut last = self.last_cpu.lock().unwrap_or_else(PoisonError::into_inner);
            last.replace((now, stats.cpu_seconds))
        };
        let mut values = vec![
            ("process_resident_bytes", stats.resident_bytes as f64),
            ("process_open_fds", stats.open_fds as f64),
            ("process_threads", stats.threads as f64),
        ];
        if let Some(cpu) = before.and_then(|(at, was)| rate(at, was, now, stats.cpu_seconds)) {
            values.push(("process_cpu_usage", cpu * 100.0));
        }
        Ok(values.into_iter().map(|(name, value)| signal(name, now, value)).collect())
    }
}

pub(crate) fn signal(name: &str, at: Timestamp, value: f64) -> Signal {
    Signal { key: SeriesKey::new(name), sample: Sample { at, value } }
}
