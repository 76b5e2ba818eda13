//! The one writer: commands queue up, and what has queued up while the disk was busy becomes the
//! next transaction. Each command has its own savepoint, so a bad one fails alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use oag_runtime::{Clock, SystemClock};
use oag_store_port::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Fail, SqliteConfig};
use crate::{SetupError, StoreStats};

type Answer = Box<dyn FnOnce(Option<&Failure>) + Send>;
type Work = Box<dyn FnOnce(&Connection) -> Outcome + Send>;

/// What a command did inside the transaction; its answer waits for the COMMIT.
struct Outcome {
    done: bool,
    answer: Answer,
}

/// Why nothing of a group has an answer of its own.
struct Failure {
    text: String,
    /// Whether the COMMIT was under way.
    at_commit: bool,
}

#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicUsize,
    groups: AtomicU64,
    commands: AtomicU64,
    refused: AtomicU64,
    overloaded: AtomicU64,
    commit_micros: AtomicU64,
}

/// The way to the writer thread. Dropping it lets the writer finish what is queued.
pub(crate) struct Writer {
    sender: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    queue_max: usize,
}

impl Writer {
    pub(crate) fn start(conn: Connection, config: &SqliteConfig) -> Result<Self, SetupError> {
        let (sender, receiver) = sync_channel(config.queue_max.max(1));
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let group_max = config.group_max.max(1);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&conn, &receiver, &shared, group_max))
            .map_err(|error| SetupError::Database(format!("no writer thread: {error}")))?;
        let (sender, thread) = (Some(sender), Some(thread));
        Ok(Self { sender, thread, counters, queue_max: config.queue_max.max(1) })
    }

    /// Queues a command and waits until it is durable or refused.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Box::new(move |conn| {
            let result = work(conn).map_err(StoreError::from);
            let done = result.is_ok();
            let answer: Answer = Box::new(move |failure| {
                // A caller that went away needs no answer.
                let _ = sender.send(failure.map_or(result, |failure| Err(failure.error())));
            });
            Outcome { done, answer }
        }))?;
        // Its group could not begin; what has reached a COMMIT has an answer.
        let gone = |_| StoreError::Unavailable("the database did not take the command".to_owned());
        receiver.await.map_err(gone)?
    }

    pub(crate) fn stats(&self) -> StoreStats {
        StoreStats {
            queue_len: self.counters.waiting.load(Ordering::Relaxed),
            queue_max: self.queue_max,
            groups: self.counters.groups.load(Ordering::Relaxed),
            commands: self.counters.commands.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            overloaded: self.counters.overloaded.load(Ordering::Relaxed),
            commit_micros: self.counters.commit_micros.load(Ordering::Relaxed),
        }
    }

    fn send(&self, work: Work) -> Result<(), StoreError> {
        let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
        let sender = self.sender.as_ref().ok_or_else(stopped)?;
        self.counters.waiting.fetch_add(1, Ordering::Relaxed);
        let Err(error) = sender.try_send(work) else { return Ok(()) };
        self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
        if matches!(error, TrySendError::Disconnected(_)) {
            return Err(stopped());
        }
        self.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::Overloaded)
    }
}

impl Failure {
    fn error(&self) -> StoreError {
        let text = self.text.clone();
        if self.at_commit {
            StoreError::OutcomeUnknown(text)
        } else {
            StoreError::Unavailable(text)
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self { text: error.to_string(), at_commit: false }
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

fn run(conn: &Connection, queue: &Receiver<Work>, counters: &Counters, group_max: usize) {
    let clock = SystemClock::new();
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        while group.len() < group_max
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        counters.waiting.fetch_sub(group.len(), Ordering::Relaxed);
        counters.commands.fetch_add(group.len() as u64, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(group.len());
        let failure = transaction(conn, group, &mut answers, counters, &clock).err();
        if let Some(Failure { text: error, .. }) = &failure {
            tracing::error!(%error, commands = answers.len(), "a group of commands was not stored");
            if !conn.is_autocommit() {
                let _ = conn.execute_batch("ROLLBACK");
            }
        }
        for answer in answers {
            answer(failure.as_ref());
        }
    }
}

/// One transaction for the group. On an error nothing of it is stored.
fn transaction(
    conn: &Connection,
    group: Vec<Work>,
    answers: &mut Vec<Answer>,
    counters: &Counters,
    clock: &SystemClock,
) -> Result<(), Failure> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    for work in group {
        conn.prepare_cached("SAVEPOINT command")?.execute([])?;
        let outcome = work(conn);
        answers.push(outcome.answer);
        if conn.is_autocommit() {
            // A full disk and the like: SQLite has rolled everything back by itself.
            let text = "the transaction was rolled back".to_owned();
            return Err(Failure { text, at_commit: false });
        }
        if !outcome.done {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            conn.prepare_cached("ROLLBACK TO command")?.execute([])?;
        }
        conn.prepare_cached("RELEASE command")?.execute([])?;
    }
    let began = clock.monotonic();
    let committed = conn.prepare_cached("COMMIT")?.execute([]);
    committed.map_err(|error| Failure { text: error.to_string(), at_commit: true })?;
    let took = clock.monotonic().saturating_sub(began);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    counters.commit_micros.fetch_add(micros, Ordering::Relaxed);
    counters.groups.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
