//! Supervised tasks: each has a name, a kind that says when it stops, and a policy for failure.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::ShutdownHandle;

/// When a task is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Takes in new work: dropped at its next await as soon as the drain begins.
    Intake,
    /// Finishes work in hand: watches the shutdown handle itself and is waited for.
    Drains,
}

/// What happens when a task ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It is logged; the process goes on.
    Log,
    /// The process drains: it cannot do its job without this task.
    Shutdown,
}

/// Spawns and awaits the tasks of a process.
#[derive(Debug, Clone)]
pub struct Supervisor {
    shutdown: ShutdownHandle,
    tasks: Arc<Mutex<Vec<NamedTask>>>,
}

type NamedTask = (String, JoinHandle<()>);

impl Supervisor {
    /// With the handle that says when to stop.
    #[must_use]
    pub fn new(shutdown: ShutdownHandle) -> Self {
        Self { shutdown, tasks: Arc::default() }
    }

    /// The handle that says when to stop.
    #[must_use]
    pub const fn shutdown(&self) -> &ShutdownHandle {
        &self.shutdown
    }

    /// Runs a task under a name.
    pub fn spawn<F, E>(&self, name: impl Into<String>, kind: TaskKind, on_error: OnError, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let name = name.into();
        let shutdown = self.shutdown.clone();
        let label = name.clone();
        let guarded = async move {
            let result = match kind {
                TaskKind::Drains => task.await,
                TaskKind::Intake => tokio::select! {
                    result = task => result,
                    () = shutdown.draining() => Ok(()),
                },
            };
            if let Err(error) = result {
                tracing::error!(task = label, %error, "task failed");
                if on_error == OnError::Shutdown {
                    shutdown.begin();
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns tasks")]
        let handle = tokio::spawn(guarded);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|(_, handle)| !handle.is_finished());
        tasks.push((name, handle));
    }

    /// How many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().filter(|(_, handle)| !handle.is_finished()).count()
    }

    /// Waits until every task has ended, or the time or the patience of the operator is over; then
    /// the rest is aborted. Returns the names of those aborted.
    pub async fn drain(&self, timeout: Duration) -> Vec<String> {
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(deadline);
        let mut aborted = Vec::new();
        loop {
            let next = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((name, mut handle)) = next else { return aborted };
            let ended = tokio::select! {
                result = &mut handle => {
                    if let Err(error) = result && error.is_panic() {
                        tracing::error!(task = name, "task panicked");
                    }
                    true
                }
                () = &mut deadline, if !deadline.is_elapsed() => false,
                () = self.shutdown.ended() => false,
            };
            if (!ended || deadline.is_elapsed()) && !handle.is_finished() {
                handle.abort();
                aborted.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn intake_ends_with_the_drain_and_work_in_hand_is_waited_for() {
        let supervisor = Supervisor::new(ShutdownHandle::new());
        let (done, finished) = tokio::sync::oneshot::channel();
        supervisor.spawn("intake", TaskKind::Intake, OnError::Log, async {
            std::future::pending::<()>().await;
            Ok::<(), String>(())
        });
        supervisor.spawn("work", TaskKind::Drains, OnError::Log, async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = done.send(());
            Ok::<(), String>(())
        });
        supervisor.shutdown().begin();
        assert!(supervisor.drain(Duration::from_secs(5)).await.is_empty());
        assert!(finished.await.is_ok());
    }

    #[tokio::test]
    async fn a_needed_task_that_fails_begins_the_drain() {
        let supervisor = Supervisor::new(ShutdownHandle::new());
        supervisor
            .spawn("needed", TaskKind::Drains, OnError::Shutdown, async { Err::<(), _>("broken") });
        tokio::time::timeout(Duration::from_secs(5), supervisor.shutdown().draining())
            .await
            .expect("drain begins");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_in_time_is_aborted_and_named() {
        let supervisor = Supervisor::new(ShutdownHandle::new());
        supervisor.spawn("stuck", TaskKind::Drains, OnError::Log, async {
            std::future::pending::<Result<(), String>>().await
        });
        assert_eq!(supervisor.drain(Duration::from_secs(1)).await, ["stuck"]);
    }
}
