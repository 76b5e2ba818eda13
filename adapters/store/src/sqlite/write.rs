//! The commands, inside the writer's transaction.

use oag_ledger::CompletedNode;
use oag_store_port::{
    Batch, Claim, Committed, Epoch, Expect, NewTask, Put, Revision, StoreError, Task, TaskState,
    TaskToken,
};
use oag_types::{Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension};

use super::Fail;
use crate::check::{from_db, limit, to_db};
use crate::{ledger, shape};

type Answer<T> = Result<T, Fail>;

/// Where the tenant's change feed stands.
struct Feed {
    revision: i64,
    seq: i64,
    kept_from: i64,
}

pub(crate) fn new_epoch(conn: &Connection) -> Answer<Epoch> {
    let mut raise = conn.prepare_cached("UPDATE meta SET epoch = epoch + 1 RETURNING epoch")?;
    Ok(from_db(raise.query_row([], |row| row.get(0))?))
}

pub(crate) fn commit(
    conn: &Connection,
    tenant: &Tenant,
    batch: &Batch,
    changes_kept: i64,
) -> Answer<Committed> {
    if let Some(epoch) = batch.epoch {
        fence(conn, epoch)?;
    }
    let feed = next_revision(conn, tenant)?;
    for expect in &batch.expect {
        check(conn, tenant, expect)?;
    }
    for token in &batch.complete {
        complete(conn, tenant, token, batch.at)?;
    }
    let mut seq = feed.seq;
    for item in &batch.puts {
        seq += i64::from(put(conn, tenant, item, &Feed { seq, ..feed }, batch.at)?);
    }
    if seq > feed.seq {
        let mut note =
            conn.prepare_cached("UPDATE tenant SET change_seq = ?2 WHERE tenant = ?1")?;
        note.execute((tenant.as_str(), seq))?;
        trim(conn, tenant, &Feed { seq, ..feed }, changes_kept)?;
    }
    for task in &batch.tasks {
        enqueue(conn, tenant, task, batch.at)?;
    }
    let ledger_indices = append(conn, tenant, batch)?;
    Ok(Committed { revision: from_db(feed.revision), ledger_indices })
}

pub(crate) fn claim(conn: &Connection, tenant: &Tenant, claim: &Claim) -> Answer<Vec<Task>> {
    fence(conn, claim.epoch)?;
    let mut free = conn.prepare_cached(
        "SELECT id FROM task
         WHERE tenant = ?1 AND queue = ?2 AND state < 2 AND due_at <= ?3
           AND (state = 0 OR lease_until <= ?3 OR epoch < ?4)
         ORDER BY due_at, id LIMIT ?5",
    )?;
    let (now, epoch) = (claim.now.as_millis(), to_db(claim.epoch));
    let ids: Vec<String> = free
        .query_map((tenant.as_str(), &claim.queue, now, epoch, limit(claim.limit, 1_000)), |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    let until = claim.now.plus_millis(claim.lease_ms);
    let mut lease = conn.prepare_cached(
        "UPDATE task SET state = 1, attempt = attempt + 1, lease_until = ?3, epoch = ?4,
           changed_at = ?5
         WHERE tenant = ?1 AND id = ?2 RETURNING body, attempt, due_at",
    )?;
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        let (body, attempt, due_at) = lease
            .query_row((tenant.as_str(), &id, until.as_millis(), epoch, now), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        tasks.push(Task {
            id,
            queue: claim.queue.clone(),
            body,
            attempt,
            state: TaskState::Leased,
            due_at: Timestamp::from_millis(due_at),
            lease_until: until,
            epoch: claim.epoch,
        });
    }
    Ok(tasks)
}

pub(crate) fn renew(
    conn: &Connection,
    tenant: &Tenant,
    token: &TaskToken,
    until: Timestamp,
) -> Answer<()> {
    fence(conn, token.epoch)?;
    let mut extend = conn.prepare_cached(
        "UPDATE task SET lease_until = ?5
         WHERE tenant = ?1 AND id = ?2 AND state = 1 AND attempt = ?3 AND epoch = ?4",
    )?;
    let key = (tenant.as_str(), &token.task, token.attempt, to_db(token.epoch), until.as_millis());
    held(extend.execute(key)?, token)
}

pub(crate) fn erase(conn: &Connection, tenant: &Tenant, index: u64) -> Answer<bool> {
    let mut erase = conn.prepare_cached(
        "UPDATE ledger_row SET salt = NULL, payload = NULL
         WHERE tenant = ?1 AND idx = ?2 AND payload IS NOT NULL",
    )?;
    Ok(erase.execute((tenant.as_str(), to_db(index)))? > 0)
}

pub(crate) fn release_held(
    conn: &Connection,
    tenant: &Tenant,
    task: &str,
    due_at: Timestamp,
) -> Answer<bool> {
    let mut release = conn.prepare_cached(
        "UPDATE task SET state = 0, due_at = ?3 WHERE tenant = ?1 AND id = ?2 AND state = 3",
    )?;
    Ok(release.execute((tenant.as_str(), task, due_at.as_millis()))? > 0)
}

pub(crate) fn drop_held(
    conn: &Connection,
    tenant: &Tenant,
    task: &str,
    at: Timestamp,
) -> Answer<bool> {
    let mut end = conn.prepare_cached(
        "UPDATE task SET state = 2, changed_at = ?3 WHERE tenant = ?1 AND id = ?2 AND state = 3",
    )?;
    Ok(end.execute((tenant.as_str(), task, at.as_millis()))? > 0)
}

pub(crate) fn prune(conn: &Connection, before: Timestamp) -> Answer<u64> {
    let mut forget = conn.prepare_cached(
        "DELETE FROM task WHERE rowid IN (
           SELECT rowid FROM task WHERE state = 2 AND changed_at < ?1 LIMIT 10000)",
    )?;
    Ok(forget.execute([before.as_millis()])? as u64)
}

fn fence(conn: &Connection, mine: Epoch) -> Answer<()> {
    let mut read = conn.prepare_cached("SELECT epoch FROM meta")?;
    let present = from_db(read.query_row([], |row| row.get(0))?);
    if mine < present {
        return Err(StoreError::Fenced { mine, present }.into());
    }
    Ok(())
}

fn next_revision(conn: &Connection, tenant: &Tenant) -> Answer<Feed> {
    let mut raise = conn.prepare_cached(
        "INSERT INTO tenant (tenant, revision, change_seq, changes_kept_from, changes_floor)
         VALUES (?1, 1, 0, 0, 0)
         ON CONFLICT (tenant) DO UPDATE SET revision = revision + 1
         RETURNING revision, change_seq, changes_kept_from",
    )?;
    Ok(raise.query_row([tenant.as_str()], |row| {
        Ok(Feed { revision: row.get(0)?, seq: row.get(1)?, kept_from: row.get(2)? })
    })?)
}

fn check(conn: &Connection, tenant: &Tenant, expect: &Expect) -> Answer<()> {
    let (collection, id, wanted): (_, _, Option<Revision>) = match expect {
        Expect::Absent { collection, id } => (collection, id, None),
        Expect::Revision { collection, id, revision } => (collection, id, Some(*revision)),
    };
    let mut read = conn.prepare_cached(
        "SELECT revision FROM record WHERE tenant = ?1 AND collection = ?2 AND id = ?3",
    )?;
    let present: Option<i64> =
        read.query_row((tenant.as_str(), collection.0, id), |row| row.get(0)).optional()?;
    if present.map(from_db) == wanted {
        return Ok(());
    }
    let (collection, id) = (collection.0.to_owned(), id.clone());
    Err(StoreError::Conflict { collection, id }.into())
}

fn complete(conn: &Connection, tenant: &Tenant, token: &TaskToken, at: Timestamp) -> Answer<()> {
    let mut end = conn.prepare_cached(
        "UPDATE task SET state = 2, changed_at = ?5
         WHERE tenant = ?1 AND id = ?2 AND state = 1 AND attempt = ?3 AND epoch = ?4",
    )?;
    let key = (tenant.as_str(), &token.task, token.attempt, to_db(token.epoch), at.as_millis());
    held(end.execute(key)?, token)
}

fn held(rows: usize, token: &TaskToken) -> Answer<()> {
    if rows == 0 {
        return Err(StoreError::LostLease(token.task.clone()).into());
    }
    Ok(())
}

/// Whether anything changed: deleting what is not there changes nothing.
fn put(conn: &Connection, tenant: &Tenant, put: &Put, feed: &Feed, at: Timestamp) -> Answer<bool> {
    let (tenant, collection, at) = (tenant.as_str(), put.collection.0, at.as_millis());
    if let Some(body) = &put.body {
        let mut write = conn.prepare_cached(
            "INSERT INTO record (tenant, collection, id, body, revision, tag, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (tenant, collection, id) DO UPDATE SET body = excluded.body,
               revision = excluded.revision, tag = excluded.tag, updated_at = excluded.updated_at",
        )?;
        write.execute((tenant, collection, &put.id, body, feed.revision, &put.tag, at))?;
    } else {
        let mut delete = conn.prepare_cached(
            "DELETE FROM record WHERE tenant = ?1 AND collection = ?2 AND id = ?3",
        )?;
        if delete.execute((tenant, collection, &put.id))? == 0 {
            return Ok(false);
        }
    }
    let mut note = conn.prepare_cached(
        "INSERT INTO change (tenant, seq, revision, collection, id, deleted, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let deleted = i64::from(put.body.is_none());
    note.execute((tenant, feed.seq + 1, feed.revision, collection, &put.id, deleted, at))?;
    Ok(true)
}

/// Forgets the oldest changes, whole revisions at a time, and not at every commit.
fn trim(conn: &Connection, tenant: &Tenant, feed: &Feed, kept: i64) -> Answer<()> {
    if feed.seq - feed.kept_from <= kept.saturating_add(kept / 16) {
        return Ok(());
    }
    let mut last = conn.prepare_cached(
        "SELECT max(seq), max(revision) FROM change WHERE tenant = ?1 AND revision =
           (SELECT revision FROM change WHERE tenant = ?1 AND seq = ?2)",
    )?;
    let (kept_from, floor): (i64, i64) =
        last.query_row((tenant.as_str(), feed.seq - kept), |row| Ok((row.get(0)?, row.get(1)?)))?;
    conn.prepare_cached("DELETE FROM change WHERE tenant = ?1 AND seq <= ?2")?
        .execute((tenant.as_str(), kept_from))?;
    conn.prepare_cached(
        "UPDATE tenant SET changes_kept_from = ?2, changes_floor = ?3 WHERE tenant = ?1",
    )?
    .execute((tenant.as_str(), kept_from, floor))?;
    Ok(())
}

fn enqueue(conn: &Connection, tenant: &Tenant, task: &NewTask, at: Timestamp) -> Answer<()> {
    let mut write = conn.prepare_cached(
        "INSERT INTO task
           (tenant, id, queue, body, state, attempt, due_at, lease_until, epoch, changed_at)
         VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, 0, 0, ?6) ON CONFLICT (tenant, id) DO NOTHING",
    )?;
    let (due_at, at) = (task.due_at.as_millis(), at.as_millis());
    let row = (tenant.as_str(), &task.id, &task.queue, &task.body, due_at, at);
    if write.execute(row)? == 1 {
        return Ok(());
    }
    let mut read = conn.prepare_cached("SELECT queue FROM task WHERE tenant = ?1 AND id = ?2")?;
    let queue: String = read.query_row((tenant.as_str(), &task.id), |row| row.get(0))?;
    if queue == task.queue { Ok(()) } else { Err(shape::other_queue(&task.id, &queue).into()) }
}

fn append(conn: &Connection, tenant: &Tenant, batch: &Batch) -> Answer<Vec<u64>> {
    if batch.ledger.is_empty() {
        return Ok(Vec::new());
    }
    let mut read = conn.prepare_cached("SELECT frontier FROM ledger_state WHERE tenant = ?1")?;
    let stored: Option<Vec<u8>> = read.query_row([tenant.as_str()], |row| row.get(0)).optional()?;
    let frontier = ledger::frontier(stored.as_deref())?;
    let extension = ledger::extend(frontier, tenant, batch.at, &batch.ledger)?;
    let mut write = conn.prepare_cached(
        "INSERT INTO ledger_row
           (tenant, idx, kind, subject, entry, leaf_hash, salt, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for row in &extension.rows {
        let (index, hash) = (to_db(row.index), row.leaf_hash.as_bytes());
        write.execute((
            tenant.as_str(),
            index,
            &row.kind,
            &row.subject,
            &row.entry,
            hash,
            &row.salt,
            &row.payload,
        ))?;
    }
    let mut write = conn.prepare_cached(
        "INSERT INTO ledger_node (tenant, level, idx, hash) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for node in &extension.nodes {
        let hash = node.hash.as_bytes();
        write.execute((tenant.as_str(), node.level, to_db(node.index), hash))?;
    }
    for node in &extension.nodes {
        keep_tile(conn, tenant, node)?;
    }
    conn.prepare_cached(
        "INSERT INTO ledger_state (tenant, frontier) VALUES (?1, ?2)
         ON CONFLICT (tenant) DO UPDATE SET frontier = excluded.frontier",
    )?
    .execute((tenant.as_str(), extension.frontier.to_bytes()))?;
    Ok(extension.rows.iter().map(|row| row.index).collect())
}

/// The tile under a node, which is full.
fn keep_tile(conn: &Connection, tenant: &Tenant, node: &CompletedNode) -> Answer<()> {
    let below = node.level.saturating_sub(1);
    let sql = match below {
        0 => {
            "INSERT INTO ledger_tile (tenant, level, idx, hashes)
             SELECT ?1, ?2, ?3, unhex(group_concat(hex(leaf_hash), '' ORDER BY idx))
             FROM ledger_row WHERE tenant = ?1 AND idx BETWEEN ?3 * 256 AND ?3 * 256 + 255
             HAVING count(*) = 256
             ON CONFLICT (tenant, level, idx) DO UPDATE SET hashes = excluded.hashes"
        }
        _ => {
            "INSERT INTO ledger_tile (tenant, level, idx, hashes)
             SELECT ?1, ?2, ?3, unhex(group_concat(hex(hash), '' ORDER BY idx))
             FROM ledger_node WHERE tenant = ?1 AND level = ?2
               AND idx BETWEEN ?3 * 256 AND ?3 * 256 + 255
             HAVING count(*) = 256
             ON CONFLICT (tenant, level, idx) DO UPDATE SET hashes = excluded.hashes"
        }
    };
    conn.prepare_cached(sql)?.execute((tenant.as_str(), below, to_db(node.index)))?;
    Ok(())
}
