//! Reads, each in one read transaction of a connection that cannot write.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oag_ledger::{CompletedNode, Hash, HashRange, Row};
use oag_store_port::{
    Change, Collection, ListQuery, Page, ProofParts, Record, Revision, StoreError,
};
use oag_types::{Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Semaphore;

use super::{Fail, open};
use crate::check::{from_db, limit, to_db};
use crate::ledger::{self, StoredRow};
use crate::{HeldTask, SetupError, shape};

type Answer<T> = Result<T, Fail>;

/// A few connections for reading, on blocking threads.
pub(crate) struct Readers {
    path: PathBuf,
    busy: Duration,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, busy: Duration, count: usize) -> Result<Self, SetupError> {
        // The first is opened now, so that a database that cannot be read is found now.
        let idle = Mutex::new(vec![open::reader(&path, busy)?]);
        Ok(Self { path, busy, idle, permits: Arc::new(Semaphore::new(count.max(1))) })
    }

    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let down = |error: String| StoreError::Unavailable(error);
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|error| down(error.to_string()))?;
        let readers = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let conn = readers.take().map_err(|error| down(error.to_string()))?;
            let result = conn.unchecked_transaction().map_err(Fail::from).and_then(|tx| read(&tx));
            if conn.is_autocommit() {
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            }
            result.map_err(StoreError::from)
        });
        work.await.map_err(|error| down(error.to_string()))?
    }

    fn take(&self) -> Result<Connection, SetupError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open::reader(&self.path, self.busy), Ok)
    }
}

pub(crate) fn get(
    conn: &Connection,
    tenant: &Tenant,
    collection: Collection,
    id: &str,
) -> Answer<Option<Record>> {
    let mut read = conn.prepare_cached(
        "SELECT id, body, revision, tag, updated_at FROM record
         WHERE tenant = ?1 AND collection = ?2 AND id = ?3",
    )?;
    Ok(read.query_row((tenant.as_str(), collection.0, id), record).optional()?)
}

pub(crate) fn list(
    conn: &Connection,
    tenant: &Tenant,
    collection: Collection,
    query: &ListQuery,
) -> Answer<Page> {
    // Ids are not empty, and every blob comes after every text: the defaults are the two ends.
    let sql = match (query.tag.is_some(), query.descending) {
        (false, false) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = ?1 AND collection = ?2 AND id > coalesce(?3, '') AND ?4 IS NULL
             ORDER BY id LIMIT ?5"
        }
        (false, true) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = ?1 AND collection = ?2 AND id < coalesce(?3, x'ff') AND ?4 IS NULL
             ORDER BY id DESC LIMIT ?5"
        }
        (true, false) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = ?1 AND collection = ?2 AND id > coalesce(?3, '') AND tag = ?4
             ORDER BY id LIMIT ?5"
        }
        (true, true) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = ?1 AND collection = ?2 AND id < coalesce(?3, x'ff') AND tag = ?4
             ORDER BY id DESC LIMIT ?5"
        }
    };
    let count = limit(query.limit, 1_000);
    let mut read = conn.prepare_cached(sql)?;
    let key = (tenant.as_str(), collection.0, &query.after, &query.tag, count + 1);
    let records = read.query_map(key, record)?.collect::<Result<Vec<_>, _>>()?;
    Ok(shape::page(records, count, revision(conn, tenant)?))
}

pub(crate) fn changes(
    conn: &Connection,
    tenant: &Tenant,
    after: Revision,
    count: usize,
) -> Answer<Vec<Change>> {
    let mut read = conn.prepare_cached("SELECT changes_floor FROM tenant WHERE tenant = ?1")?;
    let floor: Option<i64> = read.query_row([tenant.as_str()], |row| row.get(0)).optional()?;
    let oldest = from_db(floor.unwrap_or(0));
    if after < oldest {
        return Err(StoreError::TooOld { oldest }.into());
    }
    let count = limit(count, 10_000);
    let mut read = conn.prepare_cached(
        "SELECT revision, collection, id, deleted, at FROM change
         WHERE tenant = ?1 AND revision > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let rows = read.query_map((tenant.as_str(), to_db(after), count + 1), change)?;
    let found = rows.collect::<Result<Vec<_>, _>>()?;
    match shape::whole_revisions(found, count) {
        Ok(changes) => Ok(changes),
        Err(revision) => {
            let mut read = conn.prepare_cached(
                "SELECT revision, collection, id, deleted, at FROM change
                 WHERE tenant = ?1 AND revision = ?2 ORDER BY seq",
            )?;
            let rows = read.query_map((tenant.as_str(), to_db(revision)), change)?;
            Ok(rows.collect::<Result<_, _>>()?)
        }
    }
}

pub(crate) fn revision(conn: &Connection, tenant: &Tenant) -> Answer<Revision> {
    let mut read = conn.prepare_cached("SELECT revision FROM tenant WHERE tenant = ?1")?;
    let found: Option<i64> = read.query_row([tenant.as_str()], |row| row.get(0)).optional()?;
    Ok(from_db(found.unwrap_or(0)))
}

pub(crate) fn tenants(conn: &Connection) -> Answer<Vec<Tenant>> {
    let mut read = conn.prepare_cached("SELECT tenant FROM tenant ORDER BY tenant")?;
    let names = read.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    names.into_iter().map(|name| shape::tenant(name).map_err(Fail::from)).collect()
}

pub(crate) fn ledger_rows(
    conn: &Connection,
    tenant: &Tenant,
    from: u64,
    count: usize,
) -> Answer<Vec<Row>> {
    let mut read = conn.prepare_cached(
        "SELECT idx, entry, leaf_hash, salt, payload FROM ledger_row
         WHERE tenant = ?1 AND idx >= ?2 ORDER BY idx LIMIT ?3",
    )?;
    let rows = read.query_map((tenant.as_str(), to_db(from), limit(count, 4_096)), stored_row)?;
    rows.map(|row| Ok(ledger::row(row?)?)).collect()
}

pub(crate) fn ledger_by_subject(
    conn: &Connection,
    tenant: &Tenant,
    subject: &str,
) -> Answer<Vec<Row>> {
    let mut read = conn.prepare_cached(
        "SELECT idx, entry, leaf_hash, salt, payload FROM ledger_row
         WHERE tenant = ?1 AND subject = ?2 ORDER BY idx LIMIT 1000",
    )?;
    let rows = read.query_map((tenant.as_str(), subject), stored_row)?;
    rows.map(|row| Ok(ledger::row(row?)?)).collect()
}

pub(crate) fn ledger_nodes(
    conn: &Connection,
    tenant: &Tenant,
    level: u8,
    from: u64,
    count: usize,
) -> Answer<Vec<CompletedNode>> {
    let mut read = conn.prepare_cached(
        "SELECT idx, hash FROM ledger_node
         WHERE tenant = ?1 AND level = ?2 AND idx >= ?3 ORDER BY idx LIMIT ?4",
    )?;
    let key = (tenant.as_str(), level, to_db(from), limit(count, 4_096));
    let rows = read.query_map(key, |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    rows.map(|row| row.map_err(Fail::from).and_then(|row| Ok(ledger::node(level, row.0, &row.1)?)))
        .collect()
}

pub(crate) fn ledger_proof(
    conn: &Connection,
    tenant: &Tenant,
    index: u64,
) -> Answer<Option<ProofParts>> {
    let found = ledger_rows(conn, tenant, index, 1)?.into_iter().find(|row| row.index == index);
    let Some(row) = found else { return Ok(None) };
    let frontier = ledger::frontier(Some(&ledger_frontier(conn, tenant)?))?;
    let (known, ranges) = ledger::wanted(index, &frontier)?;
    let hashes = ledger_hashes(conn, tenant, &ranges)?;
    Ok(Some(ledger::proof(row, frontier, known, ranges.into_iter().zip(hashes))))
}

pub(crate) fn ledger_tiles(
    conn: &Connection,
    tenant: &Tenant,
    level: u8,
    from: u64,
    count: usize,
) -> Answer<Vec<(u64, Vec<u8>)>> {
    let mut read = conn.prepare_cached(
        "SELECT idx, hashes FROM ledger_tile
         WHERE tenant = ?1 AND level = ?2 AND idx >= ?3 ORDER BY idx LIMIT ?4",
    )?;
    let key = (tenant.as_str(), level, to_db(from), limit(count, 256));
    let rows = read.query_map(key, |row| Ok((from_db(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn ledger_hashes(
    conn: &Connection,
    tenant: &Tenant,
    ranges: &[HashRange],
) -> Answer<Vec<Vec<Hash>>> {
    let mut tiles = HashMap::new();
    let mut found = Vec::with_capacity(ranges.len());
    for range in ranges {
        let place = ledger::tile_of(*range);
        let tile = match tiles.entry(place) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(tile(conn, tenant, place)?),
        };
        found.push(match tile {
            Some(bytes) => ledger::part(bytes, *range)?,
            None => single_hashes(conn, tenant, *range)?,
        });
    }
    Ok(found)
}

fn tile(conn: &Connection, tenant: &Tenant, (level, index): (u8, u64)) -> Answer<Option<Vec<u8>>> {
    let mut read = conn.prepare_cached(
        "SELECT hashes FROM ledger_tile WHERE tenant = ?1 AND level = ?2 AND idx = ?3",
    )?;
    let key = (tenant.as_str(), level, to_db(index));
    Ok(read.query_row(key, |row| row.get(0)).optional()?)
}

/// Hashes of a tile that is not full.
fn single_hashes(conn: &Connection, tenant: &Tenant, range: HashRange) -> Answer<Vec<Hash>> {
    let sql = match range.level {
        0 => {
            "SELECT leaf_hash FROM ledger_row
             WHERE tenant = ?1 AND ?2 = 0 AND idx >= ?3 AND idx < ?4 ORDER BY idx"
        }
        _ => {
            "SELECT hash FROM ledger_node
             WHERE tenant = ?1 AND level = ?2 AND idx >= ?3 AND idx < ?4 ORDER BY idx"
        }
    };
    let mut read = conn.prepare_cached(sql)?;
    let (from, until) = (to_db(range.start), to_db(range.start.saturating_add(range.count)));
    let rows = read
        .query_map((tenant.as_str(), range.level, from, until), |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|bytes| Ok(ledger::hash(&bytes?)?)).collect()
}

pub(crate) fn ledger_frontier(conn: &Connection, tenant: &Tenant) -> Answer<Vec<u8>> {
    let mut read = conn.prepare_cached("SELECT frontier FROM ledger_state WHERE tenant = ?1")?;
    let found = read.query_row([tenant.as_str()], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_else(ledger::empty_frontier))
}

pub(crate) fn held_tasks(conn: &Connection, tenant: &Tenant) -> Answer<Vec<HeldTask>> {
    let mut read = conn.prepare_cached(
        "SELECT id, queue, body, attempt, due_at FROM task
         WHERE tenant = ?1 AND state = 3 ORDER BY id LIMIT 1000",
    )?;
    let rows = read.query_map([tenant.as_str()], |row| {
        Ok(HeldTask {
            tenant: tenant.clone(),
            id: row.get(0)?,
            queue: row.get(1)?,
            body: row.get(2)?,
            attempt: row.get(3)?,
            due_at: Timestamp::from_millis(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        id: row.get(0)?,
        body: row.get(1)?,
        revision: from_db(row.get(2)?),
        tag: row.get(3)?,
        updated_at: Timestamp::from_millis(row.get(4)?),
    })
}

fn change(row: &rusqlite::Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        revision: from_db(row.get(0)?),
        collection: row.get(1)?,
        id: row.get(2)?,
        deleted: row.get::<_, i64>(3)? != 0,
        at: Timestamp::from_millis(row.get(4)?),
    })
}

fn stored_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredRow> {
    Ok(StoredRow {
        index: row.get(0)?,
        entry: row.get(1)?,
        leaf_hash: row.get(2)?,
        salt: row.get(3)?,
        payload: row.get(4)?,
    })
}
