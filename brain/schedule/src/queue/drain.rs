//! How fast a queue empties, and how long a task would have waited in the order of arrival.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Moment, seconds};

/// Memory of the measured rate, in seconds in which something waited.
const MEMORY_S: f64 = 60.0;
/// Seconds for which the number of slots stands in for a measurement.
const PRIOR_S: f64 = 5.0;

/// Predicted work handed out per second while something waited: in slots, when predictions are
/// right on average, and in what predictions make of it when they are not.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    slots: f64,
    work_s: f64,
    time_s: f64,
    since: Option<Moment>,
}

impl Drain {
    pub(super) const fn new() -> Self {
        Self { slots: 1.0, work_s: 0.0, time_s: 0.0, since: None }
    }

    /// Slots there are.
    pub(super) const fn slots(&self) -> usize {
        // What was a whole number is one.
        self.slots as usize
    }

    /// Tells how many slots there are; nothing runs without one, so one is the least.
    pub(super) fn set_slots(&mut self, slots: usize) {
        self.slots = slots.max(1) as f64;
    }

    /// Something begins to wait, or goes on waiting.
    pub(super) fn waits(&mut self, now: Moment) {
        self.pass(now);
        self.since = Some(now);
    }

    /// Nothing waits any more.
    pub(super) fn rests(&mut self, now: Moment) {
        self.pass(now);
        self.since = None;
    }

    /// Work was handed out that had waited.
    pub(super) fn handed_out(&mut self, work: Duration, now: Moment) {
        self.pass(now);
        self.work_s += work.as_secs_f64();
    }

    /// Seconds of work per second.
    pub(super) fn rate(&self) -> f64 {
        (self.work_s + PRIOR_S * self.slots) / (self.time_s + PRIOR_S)
    }

    fn pass(&mut self, now: Moment) {
        let Some(since) = self.since else { return };
        let passed = now.since(since).as_secs_f64();
        if passed > 0.0 {
            let keep = (-passed / MEMORY_S).exp();
            self.work_s *= keep;
            self.time_s = (self.time_s + passed) * keep;
            self.since = Some(now);
        }
    }
}

/// How long a task may be overtaken before the oldest has its turns.
///
/// The measure is what the same tasks would have waited in the order of arrival, which is known
/// when they arrive: how much is before them, and how many slots there are. Nobody should
/// wait much longer than the longest of those waits, which is what `longest` says; until a long one
/// was seen, a multiple of the mean of those who had to wait stands in for it, since in queues with
/// a steady load the longest wait is a few times that mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// Times the longest wait in the order of arrival, which is forgotten within an hour or so.
    pub longest: f64,
    /// Times the mean of such waits.
    pub mean: f64,
    /// Never less than this.
    #[serde(with = "crate::time::millis", rename = "least_ms")]
    pub least: Duration,
    /// Never more than this, whatever was seen.
    #[serde(with = "crate::time::millis", rename = "most_ms")]
    pub most: Duration,
}

impl Default for Patience {
    /// Measured, see `docs/scheduling.md`.
    fn default() -> Self {
        Self {
            longest: 1.2,
            mean: 1.5,
            least: Duration::from_millis(100),
            most: Duration::from_secs(600),
        }
    }
}

/// Memory of the longest wait, in seconds.
const LONGEST_MEMORY_S: f64 = 1_800.0;
/// Memory of the mean wait, in tasks.
const MEAN_MEMORY: f64 = 2_000.0;

/// Waits as they would have been in the order of arrival.
#[derive(Debug, Clone)]
pub(super) struct Waits {
    patience: Patience,
    longest_s: f64,
    at: Moment,
    sum_s: f64,
    count: f64,
}

impl Waits {
    pub(super) const fn new(patience: Patience) -> Self {
        Self { patience, longest_s: 0.0, at: Moment::START, sum_s: 0.0, count: 0.0 }
    }

    /// A task arrived behind that much.
    pub(super) fn arrives(&mut self, wait_s: f64, now: Moment) {
        let passed = now.since(self.at).as_secs_f64();
        self.longest_s = (self.longest_s * (-passed / LONGEST_MEMORY_S).exp()).max(wait_s);
        self.at = now;
    }

    /// A task that had arrived behind that much did have to wait.
    pub(super) fn waited(&mut self, wait_s: f64) {
        let keep = 1.0 - 1.0 / MEAN_MEMORY;
        self.sum_s = self.sum_s * keep + wait_s;
        self.count = self.count * keep + 1.0;
    }

    /// How long a task may be overtaken, and whether that is the most there is.
    pub(super) fn patience(&self) -> (Duration, bool) {
        let mean_s = if self.count > 0.0 { self.sum_s / self.count } else { 0.0 };
        let wanted_s = (self.patience.longest * self.longest_s).max(self.patience.mean * mean_s);
        let wanted = seconds(wanted_s).max(self.patience.least);
        (wanted.min(self.patience.most), wanted > self.patience.most)
    }
}
