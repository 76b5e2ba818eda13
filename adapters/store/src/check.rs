//! Checks of a command before it reaches a database, the same for both.

use oag_store_port::{Batch, StoreError};
use serde::de::IgnoredAny;

/// Longest record id, task id, queue, tag, kind or subject, in bytes.
const NAME_LEN_MAX: usize = 200;
/// Longest body or payload, in bytes.
const BODY_LEN_MAX: usize = 16 << 20;
/// Most parts of one batch.
const PARTS_MAX: usize = 10_000;
/// About what ids, times and hashes of a part take.
const PART_BYTES: usize = 256;

/// Whether the batch can be written at all.
pub(crate) fn batch(batch: &Batch) -> Result<(), StoreError> {
    let parts = batch.expect.len()
        + batch.puts.len()
        + batch.tasks.len()
        + batch.complete.len()
        + batch.ledger.len();
    if parts > PARTS_MAX {
        return Err(invalid(format!("{parts} parts in one batch, at most {PARTS_MAX}")));
    }
    for put in &batch.puts {
        id("record id", &put.id)?;
        text("tag", &put.tag)?;
        if let Some(body) = &put.body {
            json(put.collection.0, body)?;
        }
    }
    for task in &batch.tasks {
        id("task id", &task.id)?;
        id("queue", &task.queue)?;
        json("task", &task.body)?;
    }
    for row in &batch.ledger {
        id("ledger subject", &row.subject)?;
        json("ledger payload", &row.payload)?;
    }
    Ok(())
}

/// About how many bytes the batch writes.
pub(crate) fn size(batch: &Batch) -> usize {
    let bodies = batch.puts.iter().filter_map(|put| put.body.as_ref()).map(String::len);
    let tasks = batch.tasks.iter().map(|task| task.body.len());
    let payloads = batch.ledger.iter().map(|row| row.payload.len());
    let parts = batch.puts.len() + batch.tasks.len() + batch.complete.len() + batch.ledger.len();
    bodies.chain(tasks).chain(payloads).sum::<usize>() + parts * PART_BYTES
}

/// Not empty, not long, and text that both databases can keep.
fn id(what: &str, value: &str) -> Result<(), StoreError> {
    if value.is_empty() {
        return Err(invalid(format!("{what} is empty")));
    }
    text(what, value)
}

fn text(what: &str, value: &str) -> Result<(), StoreError> {
    if value.len() > NAME_LEN_MAX {
        let length = value.len();
        return Err(invalid(format!("{what} has {length} bytes, at most {NAME_LEN_MAX}")));
    }
    if value.contains('\0') {
        return Err(invalid(format!("{what} contains a zero byte")));
    }
    Ok(())
}

fn json(what: &str, body: &str) -> Result<(), StoreError> {
    if body.len() > BODY_LEN_MAX {
        let length = body.len();
        return Err(invalid(format!("{what} has {length} bytes, at most {BODY_LEN_MAX}")));
    }
    let read: Result<IgnoredAny, _> = serde_json::from_str(body);
    read.map(|_| ()).map_err(|error| invalid(format!("{what} is not JSON: {error}")))
}

fn invalid(text: String) -> StoreError {
    StoreError::Invalid(text)
}

/// How both databases keep unsigned numbers; what does not fit is beyond anything they hold.
pub(crate) fn to_db(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The other way; a negative number is never written.
pub(crate) fn from_db(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A page length the databases can take.
pub(crate) fn limit(asked: usize, most: usize) -> i64 {
    i64::try_from(asked.clamp(1, most)).unwrap_or(i64::MAX)
}
