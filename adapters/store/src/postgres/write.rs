//! The commands, each one transaction. The tenant's row is locked first, so that commands of one
//! tenant come one after another and its revisions, changes and ledger have no gaps.

use deadpool_postgres::{Client, Transaction};
use oag_store_port::{
    Batch, Claim, Committed, Epoch, Expect, NewTask, Put, StoreError, Task, TaskState, TaskToken,
};
use oag_types::{Tenant, Timestamp};

use super::connect::{Fail, execute, row, rows};
use crate::check::{from_db, limit, to_db};
use crate::{ledger, shape};

type Answer<T> = Result<T, Fail>;

/// Where the tenant's change feed stands.
#[derive(Clone, Copy)]
struct Feed {
    revision: i64,
    seq: i64,
    kept_from: i64,
}

pub(super) async fn new_epoch(client: &mut Client) -> Answer<Epoch> {
    let tx = client.transaction().await?;
    // Waits its turn behind those who hold the row, and newcomers wait behind it.
    tx.batch_execute("LOCK TABLE meta IN EXCLUSIVE MODE").await?;
    let raised = row(&tx, "UPDATE meta SET epoch = epoch + 1 RETURNING epoch", &[]).await?;
    let epoch = raised.ok_or_else(damaged)?.try_get(0)?;
    tx.commit().await?;
    Ok(from_db(epoch))
}

pub(super) async fn begin_commit<'a>(
    client: &'a mut Client,
    tenant: &Tenant,
    batch: &Batch,
    changes_kept: i64,
) -> Answer<(Transaction<'a>, Committed)> {
    let tx = client.transaction().await?;
    if let Some(epoch) = batch.epoch {
        fence(&tx, epoch).await?;
    }
    let feed = next_revision(&tx, tenant).await?;
    for expect in &batch.expect {
        check(&tx, tenant, expect).await?;
    }
    for token in &batch.complete {
        complete(&tx, tenant, token, batch.at).await?;
    }
    let mut now = feed;
    for item in &batch.puts {
        now.seq += i64::from(put(&tx, tenant, item, now, batch.at).await?);
    }
    if now.seq > feed.seq {
        let sql = "UPDATE tenant SET change_seq = $2 WHERE tenant = $1";
        execute(&tx, sql, &[&tenant.as_str(), &now.seq]).await?;
        trim(&tx, tenant, now, changes_kept).await?;
    }
    for task in &batch.tasks {
        enqueue(&tx, tenant, task, batch.at).await?;
    }
    let ledger_indices = append(&tx, tenant, batch).await?;
    let committed = Committed { revision: from_db(feed.revision), ledger_indices };
    Ok((tx, committed))
}

pub(super) async fn claim(
    client: &mut Client,
    tenant: &Tenant,
    claim: &Claim,
) -> Answer<Vec<Task>> {
    let tx = client.transaction().await?;
    fence(&tx, claim.epoch).await?;
    let until = claim.now.plus_millis(claim.lease_ms);
    let found = rows(
        &tx,
        "WITH free AS (
           SELECT id FROM task
           WHERE tenant = $1 AND queue = $2 AND state < 2 AND due_at <= $3
             AND (state = 0 OR lease_until <= $3 OR epoch < $4)
           ORDER BY due_at, id LIMIT $5 FOR UPDATE SKIP LOCKED)
         UPDATE task SET state = 1, attempt = attempt + 1, lease_until = $6, epoch = $4,
           changed_at = $3
         FROM free WHERE task.tenant = $1 AND task.id = free.id
         RETURNING task.id, task.body, task.attempt, task.due_at",
        &[
            &tenant.as_str(),
            &claim.queue,
            &claim.now.as_millis(),
            &to_db(claim.epoch),
            &limit(claim.limit, 1_000),
            &until.as_millis(),
        ],
    )
    .await?;
    let mut tasks = Vec::with_capacity(found.len());
    for row in found {
        tasks.push(Task {
            id: row.try_get(0)?,
            queue: claim.queue.clone(),
            body: row.try_get(1)?,
            attempt: u32::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u32::MAX),
            state: TaskState::Leased,
            due_at: Timestamp::from_millis(row.try_get(3)?),
            lease_until: until,
            epoch: claim.epoch,
        });
    }
    tx.commit().await?;
    tasks.sort_by(|a, b| (a.due_at, &a.id).cmp(&(b.due_at, &b.id)));
    Ok(tasks)
}

pub(super) async fn renew(
    client: &mut Client,
    tenant: &Tenant,
    token: &TaskToken,
    until: Timestamp,
) -> Answer<()> {
    let tx = client.transaction().await?;
    fence(&tx, token.epoch).await?;
    let (attempt, epoch) = (i64::from(token.attempt), to_db(token.epoch));
    let sql = "UPDATE task SET lease_until = $5
               WHERE tenant = $1 AND id = $2 AND state = 1 AND attempt = $3 AND epoch = $4";
    let until = until.as_millis();
    let rows =
        execute(&tx, sql, &[&tenant.as_str(), &token.task, &attempt, &epoch, &until]).await?;
    held(rows, token)?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn erase(client: &mut Client, tenant: &Tenant, index: u64) -> Answer<bool> {
    let sql = "UPDATE ledger_row SET salt = NULL, payload = NULL
               WHERE tenant = $1 AND idx = $2 AND payload IS NOT NULL";
    Ok(execute(&*client, sql, &[&tenant.as_str(), &to_db(index)]).await? > 0)
}

pub(super) async fn release_held(
    client: &mut Client,
    tenant: &Tenant,
    task: &str,
    due_at: Timestamp,
) -> Answer<bool> {
    let sql = "UPDATE task SET state = 0, due_at = $3 WHERE tenant = $1 AND id = $2 AND state = 3";
    Ok(execute(&*client, sql, &[&tenant.as_str(), &task, &due_at.as_millis()]).await? > 0)
}

pub(super) async fn drop_held(
    client: &mut Client,
    tenant: &Tenant,
    task: &str,
    at: Timestamp,
) -> Answer<bool> {
    let sql =
        "UPDATE task SET state = 2, changed_at = $3 WHERE tenant = $1 AND id = $2 AND state = 3";
    Ok(execute(&*client, sql, &[&tenant.as_str(), &task, &at.as_millis()]).await? > 0)
}

pub(super) async fn prune(client: &mut Client, before: Timestamp) -> Answer<u64> {
    let sql = "DELETE FROM task WHERE (tenant, id) IN (
                 SELECT tenant, id FROM task WHERE state = 2 AND changed_at < $1 LIMIT 10000)";
    execute(&*client, sql, &[&before.as_millis()]).await
}

async fn fence(tx: &Transaction<'_>, mine: Epoch) -> Answer<()> {
    let found = row(tx, "SELECT epoch FROM meta FOR SHARE", &[]).await?;
    let present = from_db(found.ok_or_else(damaged)?.try_get(0)?);
    if mine < present {
        return Err(StoreError::Fenced { mine, present }.into());
    }
    Ok(())
}

async fn next_revision(tx: &Transaction<'_>, tenant: &Tenant) -> Answer<Feed> {
    let sql = "INSERT INTO tenant (tenant, revision, change_seq, changes_kept_from, changes_floor)
               VALUES ($1, 1, 0, 0, 0)
               ON CONFLICT (tenant) DO UPDATE SET revision = tenant.revision + 1
               RETURNING revision, change_seq, changes_kept_from";
    let feed = row(tx, sql, &[&tenant.as_str()]).await?.ok_or_else(damaged)?;
    Ok(Feed { revision: feed.try_get(0)?, seq: feed.try_get(1)?, kept_from: feed.try_get(2)? })
}

async fn check(tx: &Transaction<'_>, tenant: &Tenant, expect: &Expect) -> Answer<()> {
    let (collection, id, wanted) = match expect {
        Expect::Absent { collection, id } => (collection, id, None),
        Expect::Revision { collection, id, revision } => (collection, id, Some(*revision)),
    };
    let sql = "SELECT revision FROM record WHERE tenant = $1 AND collection = $2 AND id = $3";
    let found = row(tx, sql, &[&tenant.as_str(), &collection.0, id]).await?;
    let present = found.map(|row| row.try_get(0)).transpose()?;
    if present.map(from_db) == wanted {
        return Ok(());
    }
    let (collection, id) = (collection.0.to_owned(), id.clone());
    Err(StoreError::Conflict { collection, id }.into())
}

async fn complete(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    token: &TaskToken,
    at: Timestamp,
) -> Answer<()> {
    let (attempt, epoch) = (i64::from(token.attempt), to_db(token.epoch));
    let sql = "UPDATE task SET state = 2, changed_at = $5
               WHERE tenant = $1 AND id = $2 AND state = 1 AND attempt = $3 AND epoch = $4";
    let at = at.as_millis();
    let ended = execute(tx, sql, &[&tenant.as_str(), &token.task, &attempt, &epoch, &at]).await?;
    held(ended, token)
}

fn held(rows: u64, token: &TaskToken) -> Answer<()> {
    if rows == 0 {
        return Err(StoreError::LostLease(token.task.clone()).into());
    }
    Ok(())
}

/// Whether anything changed: deleting what is not there changes nothing.
async fn put(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    put: &Put,
    feed: Feed,
    at: Timestamp,
) -> Answer<bool> {
    let (tenant, collection, at) = (tenant.as_str(), put.collection.0, at.as_millis());
    if let Some(body) = &put.body {
        let sql = "INSERT INTO record (tenant, collection, id, body, revision, tag, updated_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)
                   ON CONFLICT (tenant, collection, id) DO UPDATE SET body = excluded.body,
                     revision = excluded.revision, tag = excluded.tag,
                     updated_at = excluded.updated_at";
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&tenant, &collection, &put.id, body, &feed.revision, &put.tag, &at];
        execute(tx, sql, &row).await?;
    } else {
        let sql = "DELETE FROM record WHERE tenant = $1 AND collection = $2 AND id = $3";
        if execute(tx, sql, &[&tenant, &collection, &put.id]).await? == 0 {
            return Ok(false);
        }
    }
    let sql = "INSERT INTO change (tenant, seq, revision, collection, id, deleted, at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let (seq, deleted) = (feed.seq + 1, i64::from(put.body.is_none()));
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&tenant, &seq, &feed.revision, &collection, &put.id, &deleted, &at];
    execute(tx, sql, &row).await?;
    Ok(true)
}

/// Forgets the oldest changes, whole revisions at a time, and not at every commit.
async fn trim(tx: &Transaction<'_>, tenant: &Tenant, feed: Feed, kept: i64) -> Answer<()> {
    if feed.seq - feed.kept_from <= kept.saturating_add(kept / 16) {
        return Ok(());
    }
    let sql = "SELECT max(seq), max(revision) FROM change WHERE tenant = $1 AND revision =
                 (SELECT revision FROM change WHERE tenant = $1 AND seq = $2)";
    let last = row(tx, sql, &[&tenant.as_str(), &(feed.seq - kept)]).await?.ok_or_else(damaged)?;
    let (kept_from, floor): (i64, i64) = (last.try_get(0)?, last.try_get(1)?);
    let sql = "DELETE FROM change WHERE tenant = $1 AND seq <= $2";
    execute(tx, sql, &[&tenant.as_str(), &kept_from]).await?;
    let sql = "UPDATE tenant SET changes_kept_from = $2, changes_floor = $3 WHERE tenant = $1";
    execute(tx, sql, &[&tenant.as_str(), &kept_from, &floor]).await?;
    Ok(())
}

async fn enqueue(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    task: &NewTask,
    at: Timestamp,
) -> Answer<()> {
    let sql = "INSERT INTO task
                 (tenant, id, queue, body, state, attempt, due_at, lease_until, epoch, changed_at)
               VALUES ($1, $2, $3, $4, 0, 0, $5, 0, 0, $6) ON CONFLICT (tenant, id) DO NOTHING";
    let (tenant, due_at, at) = (tenant.as_str(), task.due_at.as_millis(), at.as_millis());
    if execute(tx, sql, &[&tenant, &task.id, &task.queue, &task.body, &due_at, &at]).await? == 1 {
        return Ok(());
    }
    let sql = "SELECT queue FROM task WHERE tenant = $1 AND id = $2";
    // A task that is over may have been forgotten in between: then it is done again.
    let again = || Fail::Again("the task was forgotten at the same moment".to_owned());
    let found = row(tx, sql, &[&tenant, &task.id]).await?.ok_or_else(again)?;
    let queue: String = found.try_get(0)?;
    if queue == task.queue { Ok(()) } else { Err(shape::other_queue(&task.id, &queue).into()) }
}

async fn append(tx: &Transaction<'_>, tenant: &Tenant, batch: &Batch) -> Answer<Vec<u64>> {
    if batch.ledger.is_empty() {
        return Ok(Vec::new());
    }
    let name = tenant.as_str();
    let found = row(tx, "SELECT frontier FROM ledger_state WHERE tenant = $1", &[&name]).await?;
    let stored: Option<Vec<u8>> = found.map(|row| row.try_get(0)).transpose()?;
    let extension = ledger::extend(stored.as_deref(), tenant, batch.at, &batch.ledger)?;
    let new = &extension.rows;
    let indices: Vec<i64> = new.iter().map(|row| to_db(row.index)).collect();
    let kinds: Vec<&str> = new.iter().map(|row| row.kind.as_str()).collect();
    let subjects: Vec<&str> = new.iter().map(|row| row.subject.as_str()).collect();
    let entries: Vec<&[u8]> = new.iter().map(|row| row.entry.as_slice()).collect();
    let hashes: Vec<&[u8]> = new.iter().map(|row| row.leaf_hash.as_bytes().as_slice()).collect();
    let salts: Vec<&[u8]> = new.iter().map(|row| row.salt.as_slice()).collect();
    let payloads: Vec<&str> = new.iter().map(|row| row.payload.as_str()).collect();
    let sql = "INSERT INTO ledger_row
                 (tenant, idx, kind, subject, entry, leaf_hash, salt, payload)
               SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[],
                 $6::bytea[], $7::bytea[], $8::text[])";
    execute(tx, sql, &[&name, &indices, &kinds, &subjects, &entries, &hashes, &salts, &payloads])
        .await?;
    let sql = "INSERT INTO ledger_node (tenant, level, idx, hash) VALUES ($1, $2, $3, $4)";
    for node in &extension.nodes {
        let (level, index) = (i64::from(node.level), to_db(node.index));
        execute(tx, sql, &[&name, &level, &index, &node.hash.as_bytes().as_slice()]).await?;
    }
    let sql = "INSERT INTO ledger_state (tenant, frontier) VALUES ($1, $2)
               ON CONFLICT (tenant) DO UPDATE SET frontier = excluded.frontier";
    execute(tx, sql, &[&name, &extension.frontier]).await?;
    Ok(new.iter().map(|row| row.index).collect())
}

fn damaged() -> Fail {
    Fail::Refused(StoreError::Unavailable("the store has lost a row it needs".to_owned()))
}
