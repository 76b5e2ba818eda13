//! Crashes and failed starts: how often in a row, and when the next start may be.

use std::time::Duration;

use crate::replica::{Phase, Replica};
use crate::unit::{Unit, lock};
use crate::{LocalConfig, LocalError};

/// What went wrong lately.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Failures in a row.
    pub(crate) failures: u32,
    /// No start before this moment of the monotonic clock.
    pub(crate) start_after: Duration,
    /// The last failure, for people.
    pub(crate) last: Option<String>,
}

impl Trouble {
    /// One more failure: the wait doubles, up to a limit.
    fn add(&mut self, config: &LocalConfig, now: Duration, what: &str) {
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(20);
        let wait_ms =
            config.backoff_first_ms.saturating_mul(1 << doublings).min(config.backoff_max_ms);
        self.start_after = now + Duration::from_millis(wait_ms);
        let failures = self.failures;
        self.last =
            Some(format!("{what}; failure {failures} in a row, next start in {wait_ms} ms"));
    }
}

/// A replica failed. When it had been ready for a while, it begins a new row. One that is not
/// wanted any more is not started again, so its end says nothing about the next start.
pub(crate) fn note_crash(unit: &Unit, replica: &Replica, what: &str) {
    unit.gate.remove(&replica.record.id);
    let config = &unit.shared.config;
    let wanted = lock(&unit.wanted).generation;
    if replica.record.generation != wanted {
        tracing::warn!(service = %unit.name, replica = replica.record.id, what,
            "replica failed that is being replaced");
        return;
    }
    let now = unit.monotonic();
    let stable = Duration::from_millis(config.stable_ms);
    let mut trouble = lock(&unit.trouble);
    if replica.phase == Phase::Ready && now.saturating_sub(replica.since) >= stable {
        trouble.failures = 0;
    }
    let id = &replica.record.id;
    trouble.add(config, now, &format!("replica {id} {what}"));
    tracing::warn!(service = %unit.name, replica = id, pid = replica.process.pid,
        failures = trouble.failures, what, "replica failed");
}

/// A start that failed counts as a crash, so that it is not tried without pause.
pub(crate) fn note_failed_start(unit: &Unit, error: &LocalError) {
    let mut trouble = lock(&unit.trouble);
    trouble.add(&unit.shared.config, unit.monotonic(), &error.chain());
    tracing::warn!(service = %unit.name, error = error.chain(), failures = trouble.failures,
        "start failed");
}

/// Forgets the trouble once everything wanted has been ready for a while.
pub(crate) fn settle(unit: &Unit, target: usize, generation: u64) {
    let stable = Duration::from_millis(unit.shared.config.stable_ms);
    let now = unit.monotonic();
    let settled = lock(&unit.replicas)
        .iter()
        .filter(|replica| replica.phase == Phase::Ready)
        .filter(|replica| replica.record.generation == generation)
        .filter(|replica| now.saturating_sub(replica.since) >= stable)
        .count();
    if settled >= target {
        *lock(&unit.trouble) = Trouble::default();
    }
}
