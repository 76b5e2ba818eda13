//! The port itself.

use async_trait::async_trait;
use oag_ledger::{Frontier, Hash, HashRange, KnownHashes, Row};
use oag_types::{Tenant, Timestamp};

use crate::{
    Batch, Change, Claim, Collection, Committed, Epoch, ListQuery, Page, Record, Revision, Task,
    TaskToken,
};

/// Why a command was refused. One variant per decision a caller can make.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A condition did not hold: read again and decide again.
    #[error("{collection}/{id} is not as expected")]
    Conflict {
        /// Collection of the record.
        collection: String,
        /// The record.
        id: String,
    },
    /// The token is no longer the holder's: stop working on this task.
    #[error("task {0} is held by another attempt")]
    LostLease(String),
    /// Another leader took over: stop writing.
    #[error("epoch {mine} is over, the present one is {present}")]
    Fenced {
        /// The caller's epoch.
        mine: Epoch,
        /// The store's.
        present: Epoch,
    },
    /// The change feed no longer reaches that far back: list again.
    #[error("changes before revision {oldest} are no longer kept")]
    TooOld {
        /// The oldest revision that can be asked for.
        oldest: Revision,
    },
    /// The command itself is wrong (an id too long, a body that is no JSON).
    #[error("invalid command: {0}")]
    Invalid(String),
    /// The write queue is full: later.
    #[error("the store's write queue is full")]
    Overloaded,
    /// The database does not answer or failed; the command was not done: later, or a person must
    /// look.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The database failed at the very moment of writing: the command was done, or it was not.
    /// Read before trying again.
    #[error("it is not known whether the store did it: {0}")]
    OutcomeUnknown(String),
}

/// A row, and what shows that it is in the tree.
#[derive(Debug, Clone)]
pub struct ProofParts {
    /// The row.
    pub row: Row,
    /// The frontier of a tree that has the row.
    pub frontier: Frontier,
    /// The hashes that the proof needs in that tree: full tiles are read whole, without the rows
    /// they were made of.
    pub hashes: KnownHashes,
}

/// Keeps the truth. Implementations: SQLite and PostgreSQL (`adapters/store`), one contract suite.
///
/// Every method that writes may answer `OutcomeUnknown` as well.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes over as leader: raises the epoch by one and returns it. Older epochs are fenced.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn new_epoch(&self) -> Result<Epoch, StoreError>;

    /// Does all of the batch, durably, or nothing. A batch with only ledger rows is an append.
    ///
    /// # Errors
    /// `Conflict`, `LostLease`, `Fenced`, `Invalid`, `Overloaded`, `Unavailable`,
    /// `OutcomeUnknown`.
    async fn commit(&self, tenant: &Tenant, batch: Batch) -> Result<Committed, StoreError>;

    /// Leases due tasks: those ready, and those whose lease ran out or belongs to an older epoch.
    ///
    /// # Errors
    /// `Fenced`, `Overloaded`, `Unavailable`.
    async fn claim(&self, tenant: &Tenant, claim: Claim) -> Result<Vec<Task>, StoreError>;

    /// Extends a lease.
    ///
    /// # Errors
    /// `LostLease`, `Fenced`, `Overloaded`, `Unavailable`.
    async fn renew(
        &self,
        tenant: &Tenant,
        token: &TaskToken,
        lease_until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Completes a task under its token together with what it changed, or nothing. The batch's
    /// epoch is set to `epoch`.
    ///
    /// # Errors
    /// As [`Store::commit`].
    async fn complete_if(
        &self,
        tenant: &Tenant,
        token: &TaskToken,
        epoch: Epoch,
        batch: Batch,
    ) -> Result<Committed, StoreError> {
        self.commit(tenant, batch.in_epoch(epoch).completing(token.clone())).await
    }

    /// One record.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get(
        &self,
        tenant: &Tenant,
        collection: Collection,
        id: &str,
    ) -> Result<Option<Record>, StoreError>;

    /// A page of records.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list(
        &self,
        tenant: &Tenant,
        collection: Collection,
        query: ListQuery,
    ) -> Result<Page, StoreError>;

    /// Changes after a revision, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `TooOld`, `Unavailable`.
    async fn changes(
        &self,
        tenant: &Tenant,
        after: Revision,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError>;

    /// The tenant's present revision.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn revision(&self, tenant: &Tenant) -> Result<Revision, StoreError>;

    /// Every tenant that has rows.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// Ledger rows from an index, at most `limit` (capped at 4,096), in order of index.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ledger_rows(
        &self,
        tenant: &Tenant,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// The rows about a subject, oldest first, at most 1,000.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ledger_by_subject(
        &self,
        tenant: &Tenant,
        subject: &str,
    ) -> Result<Vec<Row>, StoreError>;

    /// What a proof of a row is made from; nothing when there is no such row.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ledger_proof(
        &self,
        tenant: &Tenant,
        index: u64,
    ) -> Result<Option<ProofParts>, StoreError>;

    /// Hashes of the tree, a list for each range, in their order; shorter where the tree does not
    /// reach. Full tiles are read whole, without the rows they were made of.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ledger_hashes(
        &self,
        tenant: &Tenant,
        ranges: &[HashRange],
    ) -> Result<Vec<Vec<Hash>>, StoreError>;

    /// The stored frontier of the tree, serialised as `oag_ledger::Frontier` does.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ledger_frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, StoreError>;

    /// Erases payload and salt of a row; its proof keeps holding. True when there was something.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ledger_erase(&self, tenant: &Tenant, index: u64) -> Result<bool, StoreError>;

    /// Writes a consistent copy of everything to a new file or directory while others go on.
    ///
    /// # Errors
    /// `Invalid` when the destination exists, `Unavailable`.
    async fn backup(&self, to: &std::path::Path) -> Result<(), StoreError>;

    /// Whether the store answers; used by the readiness probe.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn ping(&self) -> Result<(), StoreError>;
}
