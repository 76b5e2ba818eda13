//! One worker as the scheduler knows it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::prefix::Remembered;
use crate::task::Rates;
use crate::time::{Moment, seconds};

/// Weight of the newest observation of a worker's speed.
const NEWEST: f64 = 0.2;
/// How much slower a sequence is worked on when the worker's memory is full of others.
const CROWDING: f64 = 0.3;

/// The number of a worker; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub(super) u32);

impl WorkerId {
    /// The number after it.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its number, counted from 0 in the order of joining.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether a worker may be given tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It may.
    #[default]
    Ready,
    /// It was not heard from when it should have been: it may not, until it is heard from.
    Suspect,
    /// It finishes what it has.
    Draining,
}

/// What a worker says of itself when it joins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerSpec {
    /// The models it offers.
    pub models: Vec<String>,
    /// Tasks it works on at a time; credit it gives.
    pub slots: u32,
    /// Tokens of prompt and answer together that one task may have.
    pub window_tokens: u64,
    /// Tokens its memory holds over all tasks.
    pub memory_tokens: u64,
    /// How fast it works on a sequence that is alone.
    pub rates: Rates,
}

/// A worker and what it is doing.
#[derive(Debug, Clone)]
pub struct Worker {
    pub(super) id: WorkerId,
    pub(super) spec: WorkerSpec,
    /// When its warm-up began; none when it is warm.
    pub(super) warming_since: Option<Moment>,
    pub(super) health: Health,
    pub(super) in_flight: u32,
    pub(super) tokens: u64,
    pub(super) slowness: f64,
    pub(super) latency_s: f64,
    pub(super) remembered: Remembered,
    /// Its key and its room among the ready ones of each of its pools.
    pub(super) keys: Vec<(usize, Option<(u64, u64)>)>,
}

impl Worker {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> WorkerId {
        self.id
    }

    /// What it said of itself.
    #[must_use]
    pub const fn spec(&self) -> &WorkerSpec {
        &self.spec
    }

    /// Tasks it works on.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Tokens of prompts and expected answers it works on.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Time its tasks take over the time they should take at its rates.
    #[must_use]
    pub const fn slowness(&self) -> f64 {
        self.slowness
    }

    /// Mean time of its last tasks, in seconds; 0 before the first.
    #[must_use]
    pub const fn latency_s(&self) -> f64 {
        self.latency_s
    }

    /// Whether it may be given tasks.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Tokens its window and its memory have room for: the whole window when nothing else is there.
    #[must_use]
    pub fn room(&self) -> u64 {
        if self.in_flight == 0 {
            return self.spec.window_tokens;
        }
        self.spec.window_tokens.min(self.spec.memory_tokens.saturating_sub(self.tokens))
    }

    /// Whether its memory and window have room for so many tokens.
    #[must_use]
    pub fn fits(&self, tokens: u64) -> bool {
        tokens <= self.room()
    }

    /// Seconds a task would hold a slot here now: `prompt` tokens to read and `steps` to write.
    #[must_use]
    pub fn expected_s(&self, prompt: f64, steps: f64) -> f64 {
        let alone = self.spec.rates.work_s(prompt, steps);
        let crowd = (self.tokens as f64 / self.spec.memory_tokens.max(1) as f64).min(1.0);
        alone * self.slowness * (1.0 + CROWDING * crowd)
    }

    /// Slots it may use: all, or a part that grows while it warms up.
    #[must_use]
    pub fn allowed(&self, warm_up: Duration, now: Moment) -> u32 {
        let Some(since) = self.warming_since else { return self.spec.slots };
        let part = now.since(since).as_secs_f64() / warm_up.as_secs_f64().max(1e-6);
        // Between one and all; the cast saturates.
        ((f64::from(self.spec.slots) * part).ceil() as u32)
            .clamp(1, self.spec.slots.max(1))
            .min(self.spec.slots)
    }

    /// Whether it stands among the ready ones of a pool.
    pub(crate) fn is_ready_in(&self, pool: usize) -> bool {
        self.keys.iter().any(|(at, key)| *at == pool && key.is_some())
    }

    pub(super) fn is_ready(&self, warm_up: Duration, now: Moment) -> bool {
        self.health == Health::Ready && self.in_flight < self.allowed(warm_up, now)
    }

    /// When it may use another slot; none when it may use all.
    pub(super) fn next_slot(&self, warm_up: Duration, now: Moment) -> Option<Moment> {
        let since = self.warming_since?;
        let open = self.allowed(warm_up, now);
        let whole = f64::from(open) / f64::from(self.spec.slots.max(1));
        let at = since.plus(seconds(warm_up.as_secs_f64() * whole)).plus(Duration::from_micros(1));
        (open < self.spec.slots && at > now).then_some(at)
    }

    /// Learns from a task that took `took` and should have taken `alone`.
    pub(super) fn learn(&mut self, took: Duration, alone: Duration) {
        let took_s = took.as_secs_f64();
        let ratio = (took_s / alone.as_secs_f64().max(1e-6)).clamp(0.01, 1_000.0);
        self.slowness += NEWEST * (ratio - self.slowness);
        let first = self.latency_s <= 0.0;
        self.latency_s += if first { took_s } else { NEWEST * (took_s - self.latency_s) };
    }
}
