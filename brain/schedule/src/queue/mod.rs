//! The tasks that wait for one model: bounded, in classes, shared fairly, each with its reason.
//!
//! A queue says which task is next and why; it knows no workers. Every operation takes time that
//! grows with the logarithm of the number of tasks and of tenants.
//!
//! With strict classes a less urgent task waits while more urgent ones do, up to
//! [`QueueConfig::class_patience`]; from then on one dispatch in [`CLASS_TURN`] goes to its class.
//! Within a class the tenant that was served least is next, and within a tenant the policy says.

mod admission;
mod bounds;
mod drain;
mod in_order;
mod peek;
mod share;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use oag_types::Tenant;
use serde::{Deserialize, Serialize};

pub use admission::AdmissionQueue;
pub use bounds::{Bounds, Limit, Refusal};
pub use drain::Patience;

use crate::policy::{Choice, PolicyKind, Reason};
use crate::task::{Class, Ticket};
use crate::time::Moment;

/// One dispatch in so many goes to a less urgent class that has waited beyond its patience.
pub const CLASS_TURN: u32 = 8;

/// How a queue orders and what it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// The order within a lane.
    pub policy: PolicyKind,
    /// Whether more urgent classes go first, whatever the policy says.
    pub strict_classes: bool,
    /// Whether tenants share fairly, whatever the policy says.
    pub fair_shares: bool,
    /// What may wait.
    pub bounds: Bounds,
    /// When the oldest has its turns.
    pub patience: Patience,
    /// When a less urgent class has its turns.
    #[serde(with = "crate::time::millis", rename = "class_patience_ms")]
    pub class_patience: Duration,
    /// Share of busy slots from which background work is held back.
    pub background_load_max: f64,
}

impl QueueConfig {
    /// The defaults for a policy.
    #[must_use]
    pub fn of(policy: PolicyKind) -> Self {
        Self {
            strict_classes: policy.has_lanes(),
            fair_shares: policy.has_lanes(),
            policy,
            bounds: Bounds::default(),
            patience: Patience::default(),
            class_patience: Duration::from_secs(60),
            background_load_max: 0.9,
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self::of(PolicyKind::default())
    }
}

/// A task as it enters a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number.
    pub ticket: Ticket,
    /// Whose it is.
    pub tenant: Tenant,
    /// How urgent.
    pub class: Class,
    /// Its prompt and its expected answer.
    pub tokens: u64,
    /// Predicted time it will hold a slot.
    pub work: Duration,
    /// When it was handed in.
    pub arrived: Moment,
    /// When it is of no use any more.
    pub deadline: Option<Moment>,
    /// Its level, for policies that have some.
    pub level: u8,
}

/// A task that is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Which, and why.
    pub choice: Choice,
    class: usize,
    tenant: Arc<Tenant>,
}

/// A task of a live queue that would go next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which task.
    pub ticket: Ticket,
    /// Whose.
    pub tenant: Tenant,
    /// How urgent.
    pub class: Class,
    /// How long it has waited.
    pub waited: Duration,
    /// How long it is expected to hold a slot.
    pub work: Duration,
    /// Why it goes then, by the policy.
    pub reason: Reason,
}
