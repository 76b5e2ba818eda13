//! The commands beside the group's: each is a transaction of its own, and none needs the tenant's
//! row.

use deadpool_postgres::{Client, Transaction};
use oag_store_port::{Claim, Epoch, StoreError, Task, TaskState, TaskToken};
use oag_types::{Tenant, Timestamp};

use super::connect::{Fail, commit, execute, execute_alone, row, rows};
use crate::check::{from_db, limit, to_db};

type Answer<T> = Result<T, Fail>;

pub(super) async fn new_epoch(client: &mut Client) -> Answer<Epoch> {
    let tx = client.transaction().await?;
    // Waits its turn behind those who hold the row, and newcomers wait behind it.
    tx.batch_execute("LOCK TABLE meta IN EXCLUSIVE MODE").await?;
    let raised = row(&tx, "UPDATE meta SET epoch = epoch + 1 RETURNING epoch", &[]).await?;
    let epoch = raised.ok_or_else(damaged)?.try_get(0)?;
    commit(tx).await?;
    Ok(from_db(epoch))
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
    commit(tx).await?;
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
    commit(tx).await?;
    Ok(())
}

pub(super) async fn erase(client: &mut Client, tenant: &Tenant, index: u64) -> Answer<bool> {
    let sql = "UPDATE ledger_row SET salt = NULL, payload = NULL
               WHERE tenant = $1 AND idx = $2 AND payload IS NOT NULL";
    Ok(execute_alone(client, sql, &[&tenant.as_str(), &to_db(index)]).await? > 0)
}

pub(super) async fn release_held(
    client: &mut Client,
    tenant: &Tenant,
    task: &str,
    due_at: Timestamp,
) -> Answer<bool> {
    let sql = "UPDATE task SET state = 0, due_at = $3 WHERE tenant = $1 AND id = $2 AND state = 3";
    Ok(execute_alone(client, sql, &[&tenant.as_str(), &task, &due_at.as_millis()]).await? > 0)
}

pub(super) async fn drop_held(
    client: &mut Client,
    tenant: &Tenant,
    task: &str,
    at: Timestamp,
) -> Answer<bool> {
    let sql =
        "UPDATE task SET state = 2, changed_at = $3 WHERE tenant = $1 AND id = $2 AND state = 3";
    Ok(execute_alone(client, sql, &[&tenant.as_str(), &task, &at.as_millis()]).await? > 0)
}

pub(super) async fn prune(client: &mut Client, before: Timestamp) -> Answer<u64> {
    // One that a command holds at this moment is not waited for: the next round takes it.
    let sql = "DELETE FROM task WHERE (tenant, id) IN (
                 SELECT tenant, id FROM task WHERE state = 2 AND changed_at < $1 LIMIT 10000
                 FOR UPDATE SKIP LOCKED)";
    execute_alone(client, sql, &[&before.as_millis()]).await
}

async fn fence(tx: &Transaction<'_>, mine: Epoch) -> Answer<()> {
    let found = row(tx, "SELECT epoch FROM meta FOR SHARE", &[]).await?;
    let present = from_db(found.ok_or_else(damaged)?.try_get(0)?);
    if mine < present {
        return Err(StoreError::Fenced { mine, present }.into());
    }
    Ok(())
}

fn held(rows: u64, token: &TaskToken) -> Answer<()> {
    if rows == 0 {
        return Err(StoreError::LostLease(token.task.clone()).into());
    }
    Ok(())
}

pub(super) fn damaged() -> StoreError {
    StoreError::Unavailable("the store has lost a row it needs".to_owned())
}
