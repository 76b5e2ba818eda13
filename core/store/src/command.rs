//! Commands: what is written, and under which conditions, in one atomic step.

use oag_types::Timestamp;

use crate::{Collection, Revision, TaskToken};

/// A condition; the whole batch is refused when one does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The record does not exist.
    Absent {
        /// Collection.
        collection: Collection,
        /// Record id.
        id: String,
    },
    /// The record exists at exactly this revision.
    Revision {
        /// Collection.
        collection: Collection,
        /// Record id.
        id: String,
        /// The revision read before.
        revision: Revision,
    },
}

/// Writes or replaces a record, or deletes it when the body is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Collection.
    pub collection: Collection,
    /// Record id, at most 200 bytes.
    pub id: String,
    /// The document, JSON text; absent to delete.
    pub body: Option<String>,
    /// Text to filter by.
    pub tag: String,
}

/// A new task. A task with the same id in the queue, finished or not, makes this a no-op: that is
/// what keeps work from being enqueued twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The queue.
    pub queue: String,
    /// Its id.
    pub id: String,
    /// What to do, JSON text.
    pub body: String,
    /// Not before.
    pub due_at: Timestamp,
}

/// A row for the tenant's ledger. The store gives it the next index, salts it, and extends the
/// Merkle tree in the same atomic step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerAppend {
    /// What kind of row: `intent`, `outcome`, `identity`, `policy`, `breaker`, …
    pub kind: String,
    /// The id of what it is about, such as an action id.
    pub subject: String,
    /// The payload, JSON text; the tree commits to its salted digest.
    pub payload: String,
}

/// One atomic step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The moment written into everything this batch creates.
    pub at: Timestamp,
    /// Refused when the store knows a newer epoch; absent for writes that any process may do.
    pub epoch: Option<crate::Epoch>,
    /// Conditions.
    pub expect: Vec<Expect>,
    /// Records to write.
    pub puts: Vec<Put>,
    /// Tasks to enqueue.
    pub tasks: Vec<NewTask>,
    /// Tasks to complete; refused when a token is no longer the holder's.
    pub complete: Vec<TaskToken>,
    /// Rows for the ledger, in this order.
    pub ledger: Vec<LedgerAppend>,
}

impl Batch {
    /// An empty batch at a moment.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self { at, ..Self::default() }
    }

    /// With a condition.
    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect.push(expect);
        self
    }

    /// With a record to write.
    #[must_use]
    pub fn put(
        mut self,
        collection: Collection,
        id: impl Into<String>,
        body: impl Into<String>,
        tag: impl Into<String>,
    ) -> Self {
        let (id, body, tag) = (id.into(), Some(body.into()), tag.into());
        self.puts.push(Put { collection, id, body, tag });
        self
    }

    /// With a record to delete.
    #[must_use]
    pub fn delete(mut self, collection: Collection, id: impl Into<String>) -> Self {
        self.puts.push(Put { collection, id: id.into(), body: None, tag: String::new() });
        self
    }

    /// With a ledger row.
    #[must_use]
    pub fn ledger(
        mut self,
        kind: impl Into<String>,
        subject: impl Into<String>,
        payload: impl Into<String>,
    ) -> Self {
        let (kind, subject, payload) = (kind.into(), subject.into(), payload.into());
        self.ledger.push(LedgerAppend { kind, subject, payload });
        self
    }

    /// With a task.
    #[must_use]
    pub fn task(mut self, task: NewTask) -> Self {
        self.tasks.push(task);
        self
    }

    /// Completing a task.
    #[must_use]
    pub fn completing(mut self, token: TaskToken) -> Self {
        self.complete.push(token);
        self
    }

    /// Only while this epoch is the newest.
    #[must_use]
    pub const fn in_epoch(mut self, epoch: crate::Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }
}

/// What a batch became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The tenant's revision after it; every record written carries it.
    pub revision: Revision,
    /// The ledger indices given, in order.
    pub ledger_indices: Vec<u64>,
}
