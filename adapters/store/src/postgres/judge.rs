//! What the commands of a group do, worked out in memory from what was read under the locks of
//! their transaction. A command that is refused leaves no trace; the ones behind it see what those
//! before it changed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use oag_ledger::{CompletedNode, Frontier};
use oag_store_port::{
    Batch, Committed, Epoch, Expect, LedgerAppend, NewTask, Put, StoreError, TaskToken,
};
use oag_types::{Tenant, Timestamp};

use crate::check::{from_db, to_db};
use crate::ledger::{self, Extension, NewRow};
use crate::shape;

type Answer<T> = Result<T, StoreError>;

/// Collection and id of a record.
pub(super) type RecordKey<'a> = (&'static str, &'a str);

/// Where the tenant's change feed stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Feed {
    pub(super) revision: i64,
    pub(super) seq: i64,
    pub(super) kept_from: i64,
}

/// A tenant's part of the store as a group sees and changes it.
pub(super) struct View<'a> {
    pub(super) feed: Feed,
    pub(super) records: HashMap<RecordKey<'a>, RecordView<'a>>,
    pub(super) tasks: HashMap<&'a str, TaskView<'a>>,
    pub(super) ledger: LedgerView,
    pub(super) changes: Vec<ChangeLine<'a>>,
}

/// A record that a command looks at or changes.
#[derive(Default)]
pub(super) struct RecordView<'a> {
    /// Its revision, when it is there.
    pub(super) revision: Option<i64>,
    /// What is to be written.
    pub(super) write: Option<Write<'a>>,
}

/// The last change of a record by the group.
pub(super) enum Write<'a> {
    Put { body: &'a str, tag: &'a str, at: Timestamp },
    Delete,
}

/// A task that a command enqueues or completes.
pub(super) struct TaskView<'a> {
    pub(super) queue: Cow<'a, str>,
    pub(super) state: i64,
    pub(super) attempt: i64,
    pub(super) epoch: i64,
    pub(super) write: Option<TaskWrite<'a>>,
}

/// What happens to a task.
pub(super) enum TaskWrite<'a> {
    Add(&'a NewTask, Timestamp),
    End(Timestamp),
}

/// A line of the change feed.
pub(super) struct ChangeLine<'a> {
    pub(super) seq: i64,
    pub(super) revision: i64,
    pub(super) key: RecordKey<'a>,
    pub(super) deleted: bool,
    pub(super) at: Timestamp,
}

/// The tenant's ledger and what is appended to it.
#[derive(Default)]
pub(super) struct LedgerView {
    /// The frontier as it is stored.
    pub(super) stored: Option<Vec<u8>>,
    /// The frontier after what was appended.
    pub(super) frontier: Option<Frontier>,
    pub(super) rows: Vec<NewRow>,
    pub(super) nodes: Vec<CompletedNode>,
}

impl<'a> View<'a> {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            feed,
            records: HashMap::new(),
            tasks: HashMap::new(),
            ledger: LedgerView::default(),
            changes: Vec::new(),
        }
    }

    /// Does all of the batch or nothing. `epoch` is the store's, read when the batch has one.
    pub(super) fn carry_out(
        &mut self,
        tenant: &Tenant,
        batch: &'a Batch,
        epoch: Option<Epoch>,
    ) -> Answer<Committed> {
        fence(batch.epoch, epoch)?;
        for expect in &batch.expect {
            self.check(expect)?;
        }
        self.check_tokens(&batch.complete)?;
        self.check_tasks(&batch.tasks)?;
        let extension = self.ledger.extend(tenant, batch.at, &batch.ledger)?;
        // Nothing can be refused from here on.
        self.feed.revision += 1;
        for token in &batch.complete {
            if let Some(task) = self.tasks.get_mut(token.task.as_str()) {
                (task.state, task.write) = (2, Some(TaskWrite::End(batch.at)));
            }
        }
        for put in &batch.puts {
            self.put(put, batch.at);
        }
        for task in &batch.tasks {
            self.enqueue(task, batch.at);
        }
        let ledger_indices = extension.map(|added| self.ledger.take(added)).unwrap_or_default();
        Ok(Committed { revision: from_db(self.feed.revision), ledger_indices })
    }

    fn check(&self, expect: &Expect) -> Answer<()> {
        let (collection, id, wanted) = match expect {
            Expect::Absent { collection, id } => (collection, id, None),
            Expect::Revision { collection, id, revision } => (collection, id, Some(*revision)),
        };
        let present = self.records.get(&(collection.0, id.as_str()));
        if present.and_then(|record| record.revision).map(from_db) == wanted {
            return Ok(());
        }
        let (collection, id) = (collection.0.to_owned(), id.clone());
        Err(StoreError::Conflict { collection, id })
    }

    fn check_tokens(&self, tokens: &[TaskToken]) -> Answer<()> {
        let mut ended = HashSet::new();
        for token in tokens {
            let holds = |task: &TaskView<'_>| {
                task.state == 1
                    && task.attempt == i64::from(token.attempt)
                    && task.epoch == to_db(token.epoch)
            };
            let held = self.tasks.get(token.task.as_str()).is_some_and(holds);
            if !held || !ended.insert(token.task.as_str()) {
                return Err(StoreError::LostLease(token.task.clone()));
            }
        }
        Ok(())
    }

    fn check_tasks(&self, tasks: &[NewTask]) -> Answer<()> {
        let mut added: HashMap<&str, &str> = HashMap::new();
        for task in tasks {
            let stored = self.tasks.get(task.id.as_str()).map(|known| known.queue.as_ref());
            let queue = stored.unwrap_or_else(|| added.entry(&task.id).or_insert(&task.queue));
            if queue != task.queue {
                return Err(shape::other_queue(&task.id, queue));
            }
        }
        Ok(())
    }

    /// Deleting what is not there changes nothing.
    fn put(&mut self, put: &'a Put, at: Timestamp) {
        let key = (put.collection.0, put.id.as_str());
        let record = self.records.entry(key).or_default();
        if let Some(body) = &put.body {
            record.revision = Some(self.feed.revision);
            record.write = Some(Write::Put { body, tag: &put.tag, at });
        } else if record.revision.take().is_some() {
            record.write = Some(Write::Delete);
        } else {
            return;
        }
        self.feed.seq += 1;
        let (Feed { seq, revision, .. }, deleted) = (self.feed, put.body.is_none());
        self.changes.push(ChangeLine { seq, revision, key, deleted, at });
    }

    /// A task that is there already stays as it is.
    fn enqueue(&mut self, task: &'a NewTask, at: Timestamp) {
        self.tasks.entry(&task.id).or_insert_with(|| TaskView {
            queue: Cow::Borrowed(&task.queue),
            state: 0,
            attempt: 0,
            epoch: 0,
            write: Some(TaskWrite::Add(task, at)),
        });
    }
}

impl LedgerView {
    fn extend(
        &self,
        tenant: &Tenant,
        at: Timestamp,
        appends: &[LedgerAppend],
    ) -> Answer<Option<Extension>> {
        if appends.is_empty() {
            return Ok(None);
        }
        let frontier = match &self.frontier {
            Some(frontier) => frontier.clone(),
            None => ledger::frontier(self.stored.as_deref())?,
        };
        ledger::extend(frontier, tenant, at, appends).map(Some)
    }

    fn take(&mut self, added: Extension) -> Vec<u64> {
        let indices = added.rows.iter().map(|row| row.index).collect();
        self.rows.extend(added.rows);
        self.nodes.extend(added.nodes);
        self.frontier = Some(added.frontier);
        indices
    }
}

fn fence(mine: Option<Epoch>, present: Option<Epoch>) -> Answer<()> {
    match (mine, present) {
        (Some(mine), Some(present)) if mine < present => Err(StoreError::Fenced { mine, present }),
        _ => Ok(()),
    }
}
