//! One replica: what is written down about it and what is known of its health.

use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use oag_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::{Lasting, remove, write_json};
use crate::gate::Slot;
use crate::process::Identity;
use crate::{LocalError, unit::Paths};

/// What is written down about a replica: once before it is started, so that a crash in between
/// leaves a trace, and once after, with its process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) port: u16,
    pub(crate) generation: u64,
    pub(crate) version: String,
    pub(crate) launched_at: Timestamp,
    /// The boot the process belongs to.
    pub(crate) boot: String,
    pub(crate) process: Option<Identity>,
}

impl Record {
    pub(crate) fn save(&self, paths: &Paths) -> Result<(), LocalError> {
        write_json(&paths.record(&self.id), self, Lasting::Crash)
    }

    pub(crate) fn delete(&self, paths: &Paths) -> Result<(), LocalError> {
        remove(&paths.output(&self.id, false))?;
        remove(&paths.output(&self.id, true))?;
        remove(&paths.record(&self.id))
    }

    /// The output files, with whether each is standard error.
    pub(crate) fn outputs(&self, paths: &Paths) -> [(PathBuf, bool); 2] {
        [(paths.output(&self.id, false), false), (paths.output(&self.id, true), true)]
    }
}

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not healthy yet.
    Starting,
    /// Healthy, not yet warm.
    Warming,
    /// Gets requests.
    Ready,
    /// Was ready, then failed its checks.
    Unready,
    /// Gets no more requests and is being stopped.
    Retiring,
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) record: Record,
    pub(crate) process: Identity,
    /// Present when this process started it; then it must be waited for.
    pub(crate) child: Option<Child>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) phase: Phase,
    /// When the phase began, by the monotonic clock.
    pub(crate) since: Duration,
    /// Failed checks in a row.
    pub(crate) failures: u32,
    pub(crate) checking: bool,
    pub(crate) check_at: Duration,
    /// Processor ticks already reported.
    pub(crate) ticks_reported: u64,
}

impl Replica {
    pub(crate) fn new(
        record: Record,
        process: Identity,
        child: Option<Child>,
        now: Duration,
    ) -> Self {
        let address = ([127, 0, 0, 1], record.port).into();
        let slot = Slot::new(record.id.clone(), address);
        // What an adopted process used before is not this process's to report.
        let ticks_reported = match child {
            Some(_) => 0,
            None => process.cost().map_or(0, |cost| cost.cpu_ticks),
        };
        Self {
            record,
            process,
            child,
            slot,
            phase: Phase::Starting,
            since: now,
            failures: 0,
            checking: false,
            check_at: now,
            ticks_reported,
        }
    }

    pub(crate) const fn enter(&mut self, phase: Phase, now: Duration) {
        self.phase = phase;
        self.since = now;
    }

    /// Whether the process is gone, and how it ended as far as that can be known.
    pub(crate) fn ended(&mut self) -> Option<String> {
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status.to_string()),
                Ok(None) => return None,
                Err(_) => {}
            }
        }
        (!self.process.is_alive()).then(|| "ended".to_owned())
    }
}
