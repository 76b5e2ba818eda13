//! A task as it is handed in: what is to be done, what is known about it, and for whom.

use std::fmt;
use std::time::Duration;

use oag_types::{Tenant, TraceId};
use serde::{Deserialize, Serialize};

use crate::length::Facts;
use crate::time::Moment;

/// The number of a task, given in the order in which tasks are taken in. A task that comes back to
/// its queue keeps it, and with it its place among the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(u64);

impl Ticket {
    /// The ticket with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How urgent a task is. An earlier class goes before a later one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The product's own work, such as an operator's question during an incident.
    Critical,
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Nobody waits, but it has to be done.
    Batch,
    /// Held back while the fleet is loaded.
    Background,
}

impl Class {
    /// From the most urgent to the least.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Interactive, Self::Batch, Self::Background];

    /// Its place among [`Class::ALL`].
    #[must_use]
    pub const fn rank(self) -> usize {
        self as usize
    }
}

/// What travels with a task through every service. Nothing in it outlives the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Who owns the work and is charged for it.
    pub tenant: Tenant,
    /// Who asked, in the tenant's own words.
    pub user: Option<User>,
    /// The trace the task belongs to.
    pub trace: Option<TraceId>,
    /// When the answer is of no use any more; none: always of use.
    pub deadline: Option<Moment>,
}

impl Context {
    /// Of a tenant, without anything else.
    #[must_use]
    pub const fn of(tenant: Tenant) -> Self {
        Self { tenant, user: None, trace: None, deadline: None }
    }
}

/// The user behind a request, as the tenant names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(pub String);

/// A task to be scheduled.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// For whom, until when.
    pub context: Context,
    /// How urgent.
    pub class: Class,
    /// What is known about it before it runs; its model names the queue.
    pub facts: Facts,
    /// Hashes of the prompt's prefixes, shortest first: entry `i` is over the first `i + 1` blocks
    /// of [`crate::fleet::BLOCK_TOKENS`] tokens. May be empty.
    pub prefixes: Vec<u64>,
    /// A hash of the caller's address or session, for choosing workers by it.
    pub affinity: u64,
    /// Tasks that must be complete before this one is admitted.
    pub after: Vec<Ticket>,
}

impl Task {
    /// An interactive task with nothing but a context and facts.
    #[must_use]
    pub const fn new(context: Context, facts: Facts) -> Self {
        Self {
            context,
            class: Class::Interactive,
            facts,
            prefixes: Vec::new(),
            affinity: 0,
            after: Vec::new(),
        }
    }
}

/// How fast one sequence is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Prompt tokens per second.
    pub prefill_per_s: f64,
    /// Answer tokens per second of one sequence.
    pub decode_per_s: f64,
}

impl Default for Rates {
    /// A mid-sized model on one accelerator: 8,000 prompt tokens and 40 answer tokens per second.
    fn default() -> Self {
        Self { prefill_per_s: 8_000.0, decode_per_s: 40.0 }
    }
}

impl Rates {
    /// Whether both are numbers above zero.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let sound = |rate: f64| rate.is_finite() && rate > 0.0;
        sound(self.prefill_per_s) && sound(self.decode_per_s)
    }

    /// Time one slot is held: reading `prompt` tokens and writing `steps` tokens, one step each.
    #[must_use]
    pub fn work(&self, prompt: f64, steps: f64) -> Duration {
        crate::time::seconds(self.work_s(prompt, steps))
    }

    /// The same in seconds.
    pub(crate) fn work_s(&self, prompt: f64, steps: f64) -> f64 {
        prompt / self.prefill_per_s + steps / self.decode_per_s
    }
}
