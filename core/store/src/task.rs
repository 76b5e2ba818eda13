//! Tasks: work that is leased to one holder at a time and completed by a token, so that a holder
//! that lost its lease cannot finish what another has taken over.

use oag_types::Timestamp;
use serde::{Deserialize, Serialize};

/// The term of the leader. It grows with each take-over; writes of an older epoch are refused.
pub type Epoch = u64;

/// The right to complete a task: this attempt of it, in this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskToken {
    /// The task.
    pub task: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The epoch of the leader that claimed it.
    pub epoch: Epoch,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waiting for its time.
    Ready,
    /// Leased.
    Leased,
    /// Over.
    Done,
}

/// A leased task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id, unique in the queue.
    pub id: String,
    /// The queue.
    pub queue: String,
    /// What to do, JSON text as it was given.
    pub body: String,
    /// Leases so far, this one included.
    pub attempt: u32,
    /// Where it stands.
    pub state: TaskState,
    /// Not before.
    pub due_at: Timestamp,
    /// The lease ends here, unless renewed; meaningful when leased.
    pub lease_until: Timestamp,
    /// The epoch of the lease; meaningful when leased.
    pub epoch: Epoch,
}

impl Task {
    /// The token of this lease.
    #[must_use]
    pub fn token(&self) -> TaskToken {
        TaskToken { task: self.id.clone(), attempt: self.attempt, epoch: self.epoch }
    }
}

/// A wish for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// From this queue.
    pub queue: String,
    /// The claimer's epoch; refused when a newer one exists. Leases of older epochs are free.
    pub epoch: Epoch,
    /// Now.
    pub now: Timestamp,
    /// Lease length in milliseconds.
    pub lease_ms: i64,
    /// At most this many tasks.
    pub limit: usize,
}
