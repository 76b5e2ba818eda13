//! One transaction for a group of commands. The tenants' rows are locked first, in order, so that
//! commands of one tenant come one after another and its revisions, changes and ledger have no
//! gaps; then everything the commands are judged by is read, and what they do is written at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::Poll;

use deadpool_postgres::Client;
use oag_store_port::{Batch, Committed, Epoch, Expect, StoreError};
use oag_types::Tenant;
use tokio_postgres::{Row, Statement};

use super::connect::{Fail, execute};
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

/// Begins a transaction and carries the commands out in it. It is neither committed nor, on an
/// error, rolled back. The answers hold once it is committed.
pub(super) async fn carry_out(
    client: &Client,
    commands: &[&Command],
    changes_kept: i64,
) -> Answer<Answers> {
    let (mut views, epoch) = begin(client, commands).await?;
    let judged = commands.iter().map(|command| match views.get_mut(&command.tenant) {
        Some(view) => view.carry_out(&command.tenant, &command.batch, epoch),
        None => Err(write::damaged()),
    });
    let answers: Answers = judged.collect();
    if answers.iter().any(Result::is_ok) {
        flush::flush(client, &views, changes_kept).await?;
    }
    Ok(answers)
}

/// Locks the tenants' rows and reads what the commands are judged by. All of it is on its way at
/// once; the server does it in the order in which it was sent.
async fn begin<'a>(
    client: &Client,
    commands: &[&'a Command],
) -> Answer<(Views<'a>, Option<Epoch>)> {
    let prepared = Prepared::on(client).await?;
    let tenants: BTreeSet<&'a Tenant> = commands.iter().map(|command| &command.tenant).collect();
    let mut names: Vec<&str> = tenants.iter().map(|tenant| tenant.as_str()).collect();
    let asked = Asked::of(commands);
    let begun = sent(client.batch_execute("BEGIN")).await;
    let locks = sent(prepared.lock(client, &names)).await;
    let reads = sent(asked.read(client, &prepared)).await;
    begun.answer().await?;
    let (mut feeds, mut found) = (locks.answer().await?, reads.answer().await?);
    if feeds.len() < names.len() {
        // Tenants that are new are made, and locked by that; a tenant for which nothing is done is
        // removed again. Somebody else may have made one meanwhile: then what was read is old.
        names.retain(|name| !feeds.contains_key(*name));
        execute(client, MAKE, &[&names]).await?;
        feeds.extend(prepared.lock(client, &names).await?);
        found = asked.read(client, &prepared).await?;
    }
    let view = |tenant: &'a Tenant| {
        let feed = feeds.get(tenant.as_str()).copied();
        feed.map(|feed| (tenant, View::new(feed))).ok_or_else(|| Fail::from(write::damaged()))
    };
    let mut views = tenants.into_iter().map(view).collect::<Answer<Views<'a>>>()?;
    let epoch = asked.fill(found, &mut views)?;
    Ok((views, epoch))
}

const LOCK: &str = "SELECT tenant, revision, change_seq, changes_kept_from FROM tenant
                    WHERE tenant = ANY($1) ORDER BY tenant FOR NO KEY UPDATE";
const MAKE: &str = "INSERT INTO tenant
                      (tenant, revision, change_seq, changes_kept_from, changes_floor)
                    SELECT name, 0, 0, 0, 0 FROM unnest($1::text[]) AS name ORDER BY name
                    ON CONFLICT (tenant) DO NOTHING";
/// Held until the transaction ends.
const EPOCH: &str = "SELECT epoch FROM meta FOR SHARE";
const FRONTIERS: &str = "SELECT tenant, frontier FROM ledger_state WHERE tenant = ANY($1)";
const RECORDS: &str = "SELECT wanted.place, record.revision
                       FROM unnest($1::text[], $2::text[], $3::text[])
                         WITH ORDINALITY AS wanted (tenant, collection, id, place)
                       JOIN record ON record.tenant = wanted.tenant
                         AND record.collection = wanted.collection AND record.id = wanted.id";
/// Locked, too: leases are given, renewed and forgotten beside the tenants' locks.
const TASKS: &str = "SELECT wanted.place, task.queue, task.state, task.attempt, task.epoch
                     FROM unnest($1::text[], $2::text[])
                       WITH ORDINALITY AS wanted (tenant, id, place)
                     JOIN task ON task.tenant = wanted.tenant AND task.id = wanted.id
                     ORDER BY wanted.place FOR NO KEY UPDATE OF task";

/// Statements that are ready: one that must be prepared first would be sent too late.
struct Prepared {
    lock: Statement,
    epoch: Statement,
    frontiers: Statement,
    records: Statement,
    tasks: Statement,
}

impl Prepared {
    async fn on(client: &Client) -> Answer<Self> {
        Ok(Self {
            lock: client.prepare_cached(LOCK).await?,
            epoch: client.prepare_cached(EPOCH).await?,
            frontiers: client.prepare_cached(FRONTIERS).await?,
            records: client.prepare_cached(RECORDS).await?,
            tasks: client.prepare_cached(TASKS).await?,
        })
    }

    async fn lock(&self, client: &Client, names: &[&str]) -> Answer<BTreeMap<String, Feed>> {
        let found = client.query(&self.lock, &[&names]).await?;
        let feed = |row: &Row| {
            let (revision, seq) = (row.try_get(1)?, row.try_get(2)?);
            Ok((row.try_get(0)?, Feed { revision, seq, kept_from: row.try_get(3)? }))
        };
        found.iter().map(feed).collect()
    }
}

/// A request that is on its way.
enum Sent<F: Future> {
    Answered(F::Output),
    Waiting(Pin<Box<F>>),
}

/// Puts a request on its way: the driver sends it when it is first asked for the answer.
async fn sent<F: Future>(request: F) -> Sent<F> {
    let mut request = Box::pin(request);
    match futures::poll!(request.as_mut()) {
        Poll::Ready(answer) => Sent::Answered(answer),
        Poll::Pending => Sent::Waiting(request),
    }
}

impl<F: Future> Sent<F> {
    async fn answer(self) -> F::Output {
        match self {
            Self::Answered(answer) => answer,
            Self::Waiting(request) => request.await,
        }
    }
}

/// What the commands of a group look at.
struct Asked<'a> {
    /// Whether one depends on the epoch.
    epoch: bool,
    /// The tenants whose ledgers grow.
    ledgers: Vec<&'a str>,
    records: Vec<(&'a Tenant, RecordKey<'a>)>,
    tasks: Vec<(&'a Tenant, &'a str)>,
}

/// What was found of it.
struct Found {
    epoch: Option<Epoch>,
    frontiers: Vec<Row>,
    records: Vec<Row>,
    tasks: Vec<Row>,
}

impl<'a> Asked<'a> {
    fn of(commands: &[&'a Command]) -> Self {
        let appending = commands.iter().filter(|command| !command.batch.ledger.is_empty());
        let ledgers: BTreeSet<&str> = appending.map(|command| command.tenant.as_str()).collect();
        let records: BTreeSet<_> =
            commands.iter().flat_map(|command| records_of(command)).collect();
        let tasks: BTreeSet<_> = commands.iter().flat_map(|command| tasks_of(command)).collect();
        Self {
            epoch: commands.iter().any(|command| command.batch.epoch.is_some()),
            ledgers: ledgers.into_iter().collect(),
            records: records.into_iter().collect(),
            tasks: tasks.into_iter().collect(),
        }
    }

    async fn read(&self, client: &Client, prepared: &Prepared) -> Answer<Found> {
        let (epoch, frontiers, records, tasks) = futures::try_join!(
            self.read_epoch(client, &prepared.epoch),
            self.read_frontiers(client, &prepared.frontiers),
            self.read_records(client, &prepared.records),
            self.read_tasks(client, &prepared.tasks)
        )?;
        Ok(Found { epoch, frontiers, records, tasks })
    }

    async fn read_epoch(&self, client: &Client, statement: &Statement) -> Answer<Option<Epoch>> {
        if !self.epoch {
            return Ok(None);
        }
        let found = client.query_opt(statement, &[]).await?.ok_or_else(write::damaged)?;
        Ok(Some(from_db(found.try_get(0)?)))
    }

    async fn read_frontiers(&self, client: &Client, statement: &Statement) -> Answer<Vec<Row>> {
        if self.ledgers.is_empty() {
            return Ok(Vec::new());
        }
        Ok(client.query(statement, &[&self.ledgers]).await?)
    }

    async fn read_records(&self, client: &Client, statement: &Statement) -> Answer<Vec<Row>> {
        if self.records.is_empty() {
            return Ok(Vec::new());
        }
        let tenants: Vec<&str> = self.records.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let collections: Vec<&str> = self.records.iter().map(|(_, key)| key.0).collect();
        let ids: Vec<&str> = self.records.iter().map(|(_, key)| key.1).collect();
        Ok(client.query(statement, &[&tenants, &collections, &ids]).await?)
    }

    async fn read_tasks(&self, client: &Client, statement: &Statement) -> Answer<Vec<Row>> {
        if self.tasks.is_empty() {
            return Ok(Vec::new());
        }
        let tenants: Vec<&str> = self.tasks.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let ids: Vec<&str> = self.tasks.iter().map(|(_, id)| *id).collect();
        Ok(client.query(statement, &[&tenants, &ids]).await?)
    }

    /// Puts what was found into the views; the answer is the epoch.
    fn fill(&self, found: Found, views: &mut Views<'a>) -> Answer<Option<Epoch>> {
        for row in found.frontiers {
            let name: String = row.try_get(0)?;
            if let Some((_, view)) = views.iter_mut().find(|(tenant, _)| tenant.as_str() == name) {
                view.ledger.stored = Some(row.try_get(1)?);
            }
        }
        for row in found.records {
            let (tenant, key) = *self.records.get(place(&row)?).ok_or_else(write::damaged)?;
            let revision = Some(row.try_get(1)?);
            if let Some(view) = views.get_mut(tenant) {
                view.records.insert(key, RecordView { revision, write: None });
            }
        }
        for row in found.tasks {
            let (tenant, id) = *self.tasks.get(place(&row)?).ok_or_else(write::damaged)?;
            let task = TaskView {
                queue: Cow::Owned(row.try_get(1)?),
                state: row.try_get(2)?,
                attempt: row.try_get(3)?,
                epoch: row.try_get(4)?,
                write: None,
            };
            if let Some(view) = views.get_mut(tenant) {
                view.tasks.insert(id, task);
            }
        }
        Ok(found.epoch)
    }
}

/// Which of the keys asked for a row is about; they are counted from 1.
fn place(row: &Row) -> Answer<usize> {
    let number: i64 = row.try_get(0)?;
    Ok(usize::try_from(number - 1).unwrap_or(usize::MAX))
}

/// The records a command expects something of, and those it deletes.
fn records_of(command: &Command) -> impl Iterator<Item = (&Tenant, RecordKey<'_>)> {
    let expects = command.batch.expect.iter().map(|expect| match expect {
        Expect::Absent { collection, id } | Expect::Revision { collection, id, .. } => {
            (collection.0, id.as_str())
        }
    });
    let deletes = command.batch.puts.iter().filter(|put| put.body.is_none());
    let keys = expects.chain(deletes.map(|put| (put.collection.0, put.id.as_str())));
    keys.map(|key| (&command.tenant, key))
}

/// The tasks a command completes or enqueues.
fn tasks_of(command: &Command) -> impl Iterator<Item = (&Tenant, &str)> {
    let ended = command.batch.complete.iter().map(|token| token.task.as_str());
    let ids = ended.chain(command.batch.tasks.iter().map(|task| task.id.as_str()));
    ids.map(|id| (&command.tenant, id))
}
