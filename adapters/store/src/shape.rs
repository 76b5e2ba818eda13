//! The shape of answers, the same for both databases.

use oag_store_port::{Change, Page, Record, Revision, StoreError};
use oag_types::Tenant;

use crate::check::from_db;

/// A page from one record more than fits, if there was one.
pub(crate) fn page(mut records: Vec<Record>, count: i64, revision: Revision) -> Page {
    let more = records.len() as u64 > from_db(count);
    if more {
        records.pop();
    }
    let next = records.last().filter(|_| more).map(|record| record.id.clone());
    Page { records, next, revision }
}

/// Changes without a revision cut in two, from one change more than was asked for. A reader goes
/// on after the last revision it saw and would miss the rest of one that was cut. When the first
/// revision alone is too long it is the error, to be read by itself.
pub(crate) fn whole_revisions(
    mut changes: Vec<Change>,
    count: i64,
) -> Result<Vec<Change>, Revision> {
    if changes.len() as u64 <= from_db(count) {
        return Ok(changes);
    }
    let Some(cut) = changes.pop().map(|change| change.revision) else { return Ok(changes) };
    changes.retain(|change| change.revision < cut);
    if changes.is_empty() { Err(cut) } else { Ok(changes) }
}

/// A stored tenant name.
pub(crate) fn tenant(name: String) -> Result<Tenant, StoreError> {
    let damaged = |error| StoreError::Unavailable(format!("the store is damaged: {error}"));
    Tenant::try_from(name).map_err(damaged)
}

/// A token names a task without its queue, so that an id belongs to one queue of a tenant.
pub(crate) fn other_queue(id: &str, queue: &str) -> StoreError {
    StoreError::Invalid(format!("task id '{id}' is taken by the queue '{queue}'"))
}
