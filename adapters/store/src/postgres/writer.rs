//! The one writer: batches queue up, and what has queued up while the server was busy becomes the
//! next transaction. It has a thread and a connection of its own, so that a caller that goes away
//! in the middle takes nobody else with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use deadpool_postgres::{Client, Pool};
use oag_runtime::{Clock, SystemClock};
use oag_store_port::{Batch, Committed, StoreError};
use oag_types::Tenant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use super::connect::{self, Fail};
use super::group::{self, Answers, Command};
use super::{Counters, PostgresConfig};
use crate::{SetupError, check};

/// Texts in one transaction, in bytes: one more command is taken while there are fewer.
const GROUP_BYTES: usize = 8 << 20;

/// A command whose caller waits.
struct Queued {
    command: Command,
    answer: oneshot::Sender<Result<Committed, StoreError>>,
}

/// The way to the writer thread. Dropping it lets the writer finish what is queued.
pub(super) struct Writer {
    sender: Option<Sender<Queued>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
}

/// What the thread works with.
struct Work {
    pool: Pool,
    counters: Arc<Counters>,
    clock: SystemClock,
    changes_kept: i64,
    retries: u32,
    group_max: usize,
}

/// Why nobody of a group has an answer of their own.
#[derive(Clone)]
enum Broken {
    NotDone(String),
    Data(String),
    Unknown(String),
}

/// How a transaction was left.
enum Ended {
    Committed,
    /// Everybody was refused.
    Open,
}

impl Writer {
    pub(super) fn start(
        pool: Pool,
        config: &PostgresConfig,
        counters: Arc<Counters>,
    ) -> Result<Self, SetupError> {
        let (sender, receiver) = channel(config.queue_max.max(1));
        let work = Work {
            pool,
            counters: Arc::clone(&counters),
            clock: SystemClock::new(),
            changes_kept: check::to_db(config.changes_kept.max(1)),
            retries: config.retries,
            group_max: config.group_max.max(1),
        };
        let failed = |error| SetupError::Database(format!("no writer thread: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&runtime, &work, receiver))
            .map_err(failed)?;
        Ok(Self { sender: Some(sender), thread: Some(thread), counters })
    }

    /// Queues a batch and waits until it is durable or refused.
    pub(super) async fn submit(
        &self,
        tenant: &Tenant,
        batch: Batch,
    ) -> Result<Committed, StoreError> {
        let (answer, receiver) = oneshot::channel();
        let queued = Queued { command: Command { tenant: tenant.clone(), batch }, answer };
        let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
        let sender = self.sender.as_ref().ok_or_else(stopped)?;
        match sender.try_send(queued) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Err(stopped()),
            Err(TrySendError::Full(_)) => {
                self.counters.overloaded.fetch_add(1, Ordering::Relaxed);
                return Err(StoreError::Overloaded);
            }
        }
        let gone = |_| StoreError::OutcomeUnknown("the writer ended before its answer".to_owned());
        receiver.await.map_err(gone)?
    }

    /// Batches that wait, and most that may.
    pub(super) fn queue(&self) -> (usize, usize) {
        self.sender.as_ref().map_or((0, 0), |sender| {
            let most = sender.max_capacity();
            (most - sender.capacity(), most)
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

fn run(runtime: &Runtime, work: &Work, mut queue: Receiver<Queued>) {
    runtime.block_on(async {
        while let Some(first) = queue.recv().await {
            let group = gather(first, &mut queue, work.group_max);
            work.counters.commands.fetch_add(group.len() as u64, Ordering::Relaxed);
            let commands: Vec<&Command> = group.iter().map(|queued| &queued.command).collect();
            let answers = work.settle(&commands).await;
            let refused = answers.iter().filter(|answer| answer.is_err()).count();
            work.counters.refused.fetch_add(refused as u64, Ordering::Relaxed);
            for (queued, answer) in group.into_iter().zip(answers) {
                // A caller that went away needs no answer.
                let _ = queued.answer.send(answer);
            }
        }
    });
}

/// The first and those that wait behind it.
fn gather(first: Queued, queue: &mut Receiver<Queued>, most: usize) -> Vec<Queued> {
    let mut bytes = check::size(&first.command.batch);
    let mut group = vec![first];
    while group.len() < most
        && bytes < GROUP_BYTES
        && let Ok(next) = queue.try_recv()
    {
        bytes += check::size(&next.command.batch);
        group.push(next);
    }
    group
}

impl Work {
    /// An answer for each command; those that say done are durable.
    async fn settle(&self, commands: &[&Command]) -> Answers {
        match self.group(commands).await {
            Ok(answers) => answers,
            // One of them has data that the server does not take: it fails alone.
            Err(Broken::Data(error)) if commands.len() > 1 => {
                tracing::warn!(%error, commands = commands.len(), "commands are done one by one");
                let mut answers = Answers::with_capacity(commands.len());
                for command in commands {
                    match self.group(&[command]).await {
                        Ok(answer) => answers.extend(answer),
                        Err(broken) => answers.push(Err(broken.into())),
                    }
                }
                answers
            }
            Err(broken) => {
                let error = StoreError::from(broken.clone());
                tracing::error!(%error, commands = commands.len(), "commands were not stored");
                commands.iter().map(|_| Err(broken.clone().into())).collect()
            }
        }
    }

    /// One transaction, done again while it loses against others.
    async fn group(&self, commands: &[&Command]) -> Result<Answers, Broken> {
        let mut tries = 0;
        loop {
            match self.once(commands).await {
                Ok(answers) => return Ok(answers),
                Err(Fail::Again(_)) if tries < self.retries => tries += 1,
                Err(Fail::Again(text)) => return Err(Broken::NotDone(text)),
                Err(Fail::Data(text)) => return Err(Broken::Data(text)),
                Err(Fail::Unknown(text)) => return Err(Broken::Unknown(text)),
                Err(Fail::Refused(StoreError::Unavailable(text))) => {
                    return Err(Broken::NotDone(text));
                }
                Err(Fail::Refused(error)) => return Err(Broken::NotDone(error.to_string())),
            }
        }
    }

    async fn once(&self, commands: &[&Command]) -> Result<Answers, Fail> {
        let client = connect::client(&self.pool).await?;
        let done = self.transaction(&client, commands).await;
        if !matches!(done, Ok((_, Ended::Committed))) && !client.is_closed() {
            // Its locks are gone before anybody hears of it.
            if let Err(error) = client.batch_execute("ROLLBACK").await {
                tracing::warn!(error = connect::explain(&error), "a rollback was not answered");
                drop(Client::take(client));
            }
        }
        done.map(|(answers, _)| answers)
    }

    async fn transaction(
        &self,
        client: &Client,
        commands: &[&Command],
    ) -> Result<(Answers, Ended), Fail> {
        let answers = group::carry_out(client, commands, self.changes_kept).await?;
        if answers.iter().all(Result::is_err) {
            return Ok((answers, Ended::Open));
        }
        let began = self.clock.monotonic();
        connect::commit_on(client).await?;
        let took = self.clock.monotonic().saturating_sub(began);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counters.commit_micros.fetch_add(micros, Ordering::Relaxed);
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        Ok((answers, Ended::Committed))
    }
}

impl From<Broken> for StoreError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::NotDone(text) | Broken::Data(text) => Self::Unavailable(text),
            Broken::Unknown(text) => Self::OutcomeUnknown(text),
        }
    }
}
