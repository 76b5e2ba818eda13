//! One transaction for a group of commands. The tenants' rows are locked first, in order, so that
//! commands of one tenant come one after another and its revisions, changes and ledger have no
//! gaps; then everything the commands are judged by is read, and what they do is written at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use oag_store_port::{Batch, Committed, Epoch, Expect, StoreError};
use oag_types::Tenant;
use tokio_postgres::Row;

use super::connect::{Fail, execute, row, rows};
use super::judge::{Feed, RecordKey, RecordView, TaskView, View};
use super::{flush, write};
use crate::check::from_db;

type Answer<T> = Result<T, Fail>;
/// The tenants of a group.
pub(super) type Views<'a> = BTreeMap<&'a Tenant, View<'a>>;
/// What became of each command, in their order.
pub(super) type Answers = Vec<Result<Committed, StoreError>>;

/// A batch for a tenant.
pub(super) struct Command {
    pub(super) tenant: Tenant,
    pub(super) batch: Batch,
}

/// Carries the commands out, all in this transaction. The answers hold once it is committed.
pub(super) async fn carry_out(
    tx: &Transaction<'_>,
    commands: &[&Command],
    changes_kept: i64,
) -> Answer<Answers> {
    let mut views = lock(tx, commands).await?;
    let epoch = read(tx, commands, &mut views).await?;
    let judged = commands.iter().map(|command| match views.get_mut(&command.tenant) {
        Some(view) => view.carry_out(&command.tenant, &command.batch, epoch),
        None => Err(write::damaged()),
    });
    let answers: Answers = judged.collect();
    if answers.iter().any(Result::is_ok) {
        flush::flush(tx, &views, changes_kept).await?;
    }
    Ok(answers)
}

/// Locks the tenants' rows, those of new tenants included. One that stays at revision 0 is removed
/// again when the others are written.
async fn lock<'a>(tx: &Transaction<'_>, commands: &[&'a Command]) -> Answer<Views<'a>> {
    let tenants: BTreeSet<&'a Tenant> = commands.iter().map(|command| &command.tenant).collect();
    let mut names: Vec<&str> = tenants.iter().map(|tenant| tenant.as_str()).collect();
    let mut feeds = locked(tx, &names).await?;
    if feeds.len() < names.len() {
        names.retain(|name| !feeds.contains_key(*name));
        let sql = "INSERT INTO tenant
                     (tenant, revision, change_seq, changes_kept_from, changes_floor)
                   SELECT name, 0, 0, 0, 0 FROM unnest($1::text[]) AS name ORDER BY name
                   ON CONFLICT (tenant) DO NOTHING";
        execute(tx, sql, &[&names]).await?;
        feeds.extend(locked(tx, &names).await?);
    }
    let view = |tenant: &'a Tenant| {
        let feed = feeds.get(tenant.as_str()).copied();
        feed.map(|feed| (tenant, View::new(feed))).ok_or_else(|| write::damaged().into())
    };
    tenants.into_iter().map(view).collect()
}

async fn locked(tx: &Transaction<'_>, names: &[&str]) -> Answer<BTreeMap<String, Feed>> {
    let sql = "SELECT tenant, revision, change_seq, changes_kept_from FROM tenant
               WHERE tenant = ANY($1) ORDER BY tenant FOR NO KEY UPDATE";
    let found = rows(tx, sql, &[&names]).await?;
    let feed = |row: &Row| {
        let feed =
            Feed { revision: row.try_get(1)?, seq: row.try_get(2)?, kept_from: row.try_get(3)? };
        Ok((row.try_get(0)?, feed))
    };
    found.iter().map(feed).collect()
}

/// Reads what the commands are judged by: after the locks, and all on its way at once.
async fn read<'a>(
    tx: &Transaction<'_>,
    commands: &[&'a Command],
    views: &mut Views<'a>,
) -> Answer<Option<Epoch>> {
    let (records, tasks) = (Records::of(commands), Tasks::of(commands));
    let (epoch, frontiers, records_found, tasks_found) = futures::try_join!(
        epoch(tx, commands),
        frontiers(tx, commands),
        records.read(tx),
        tasks.read(tx)
    )?;
    for found in frontiers {
        let name: String = found.try_get(0)?;
        if let Some((_, view)) = views.iter_mut().find(|(tenant, _)| tenant.as_str() == name) {
            view.ledger.stored = Some(found.try_get(1)?);
        }
    }
    for found in records_found {
        let (tenant, key) = *records.keys.get(place(&found)?).ok_or_else(write::damaged)?;
        let revision = Some(found.try_get(1)?);
        if let Some(view) = views.get_mut(tenant) {
            view.records.insert(key, RecordView { revision, write: None });
        }
    }
    for found in tasks_found {
        let (tenant, id) = *tasks.keys.get(place(&found)?).ok_or_else(write::damaged)?;
        let task = TaskView {
            queue: Cow::Owned(found.try_get(1)?),
            state: found.try_get(2)?,
            attempt: found.try_get(3)?,
            epoch: found.try_get(4)?,
            write: None,
        };
        if let Some(view) = views.get_mut(tenant) {
            view.tasks.insert(id, task);
        }
    }
    Ok(epoch)
}

/// Which of the keys asked for a row is about; they are counted from 1.
fn place(row: &Row) -> Answer<usize> {
    let number: i64 = row.try_get(0)?;
    Ok(usize::try_from(number - 1).unwrap_or(usize::MAX))
}

/// The epoch, held until the transaction ends.
async fn epoch(tx: &Transaction<'_>, commands: &[&Command]) -> Answer<Option<Epoch>> {
    if commands.iter().all(|command| command.batch.epoch.is_none()) {
        return Ok(None);
    }
    let found = row(tx, "SELECT epoch FROM meta FOR SHARE", &[]).await?;
    Ok(Some(from_db(found.ok_or_else(write::damaged)?.try_get(0)?)))
}

async fn frontiers(tx: &Transaction<'_>, commands: &[&Command]) -> Answer<Vec<Row>> {
    let appending = commands.iter().filter(|command| !command.batch.ledger.is_empty());
    let names: BTreeSet<&str> = appending.map(|command| command.tenant.as_str()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = names.into_iter().collect();
    rows(tx, "SELECT tenant, frontier FROM ledger_state WHERE tenant = ANY($1)", &[&names]).await
}

/// The records that commands look at.
struct Records<'a> {
    keys: Vec<(&'a Tenant, RecordKey<'a>)>,
}

impl<'a> Records<'a> {
    fn of(commands: &[&'a Command]) -> Self {
        let expected = |command: &&'a Command| {
            let tenant = &command.tenant;
            let expects = command.batch.expect.iter().map(move |expect| match expect {
                Expect::Absent { collection, id } | Expect::Revision { collection, id, .. } => {
                    (tenant, (collection.0, id.as_str()))
                }
            });
            let deletes = command.batch.puts.iter().filter(|put| put.body.is_none());
            expects.chain(deletes.map(move |put| (tenant, (put.collection.0, put.id.as_str()))))
        };
        let keys: BTreeSet<_> = commands.iter().flat_map(expected).collect();
        Self { keys: keys.into_iter().collect() }
    }

    async fn read(&self, tx: &Transaction<'_>) -> Answer<Vec<Row>> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let tenants: Vec<&str> = self.keys.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let collections: Vec<&str> = self.keys.iter().map(|(_, key)| key.0).collect();
        let ids: Vec<&str> = self.keys.iter().map(|(_, key)| key.1).collect();
        let sql = "SELECT wanted.place, record.revision
                   FROM unnest($1::text[], $2::text[], $3::text[])
                     WITH ORDINALITY AS wanted (tenant, collection, id, place)
                   JOIN record ON record.tenant = wanted.tenant
                     AND record.collection = wanted.collection AND record.id = wanted.id";
        rows(tx, sql, &[&tenants, &collections, &ids]).await
    }
}

/// The tasks that commands complete or enqueue.
struct Tasks<'a> {
    keys: Vec<(&'a Tenant, &'a str)>,
}

impl<'a> Tasks<'a> {
    fn of(commands: &[&'a Command]) -> Self {
        let named = |command: &&'a Command| {
            let (tenant, batch) = (&command.tenant, &command.batch);
            let ended = batch.complete.iter().map(move |token| (tenant, token.task.as_str()));
            ended.chain(batch.tasks.iter().map(move |task| (tenant, task.id.as_str())))
        };
        let keys: BTreeSet<_> = commands.iter().flat_map(named).collect();
        Self { keys: keys.into_iter().collect() }
    }

    /// Locks them, too: leases are given, renewed and forgotten beside the tenants' locks.
    async fn read(&self, tx: &Transaction<'_>) -> Answer<Vec<Row>> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let tenants: Vec<&str> = self.keys.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let ids: Vec<&str> = self.keys.iter().map(|(_, id)| *id).collect();
        let sql = "SELECT wanted.place, task.queue, task.state, task.attempt, task.epoch
                   FROM unnest($1::text[], $2::text[])
                     WITH ORDINALITY AS wanted (tenant, id, place)
                   JOIN task ON task.tenant = wanted.tenant AND task.id = wanted.id
                   ORDER BY wanted.place FOR NO KEY UPDATE OF task";
        rows(tx, sql, &[&tenants, &ids]).await
    }
}
