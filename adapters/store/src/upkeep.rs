//! What the product needs of a store beside the port: held tasks, pruning, counters.

use async_trait::async_trait;
use oag_store_port::{Store, StoreError};
use oag_types::{Tenant, Timestamp};

/// A task that was not over when the backup was made. Nobody can claim it until a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTask {
    /// The owner.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// The queue.
    pub queue: String,
    /// What it would do, JSON text.
    pub body: String,
    /// Attempts begun before the backup; more than none means that it may have acted.
    pub attempt: u32,
    /// When it was due.
    pub due_at: Timestamp,
}

/// Plain counters for the telemetry. What a store does not have stays zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Commands waiting for the writer.
    pub queue_len: usize,
    /// Most that may wait; a command beyond is refused as overloaded.
    pub queue_max: usize,
    /// Transactions committed.
    pub groups: u64,
    /// Commands carried out, refused ones included.
    pub commands: u64,
    /// Commands refused alone, their group notwithstanding.
    pub refused: u64,
    /// Commands turned away because the queue was full.
    pub overloaded: u64,
    /// Time spent in COMMIT, in microseconds.
    pub commit_micros: u64,
}

/// Upkeep of a store.
#[async_trait]
pub trait Upkeep: Store {
    /// Tasks held since a restore, at most 1,000, in order of id.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn held_tasks(&self, tenant: &Tenant) -> Result<Vec<HeldTask>, StoreError>;

    /// Makes a held task claimable from `due_at`. False when it is not held.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    async fn release_held(
        &self,
        tenant: &Tenant,
        task: &str,
        due_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Marks a held task as over without doing it. False when it is not held.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    async fn drop_held(
        &self,
        tenant: &Tenant,
        task: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Forgets tasks that were over before a moment, at most 10,000 at once; says how many. A task
    /// with a forgotten id can be enqueued again.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    async fn prune(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// The counters.
    fn stats(&self) -> StoreStats;
}
