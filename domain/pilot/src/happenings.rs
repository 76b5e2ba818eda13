//! What executors report by themselves: taken in one after the other, written down, and made up
//! for by one look at the state where reports were lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oag_runtime::{OnError, ShutdownHandle, Supervisor, TaskKind};
use oag_types::{Problem, Service, ServiceName, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::docs::{self, BREAKERS, SERVICES, to_json};
use crate::{Happened, Happening, Pilot};

/// Wait before the state is looked at again, when that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// What a breaker is in before anything was written about it.
const CLOSED: &str = "closed";

/// What became of executors' reports since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HappeningCounts {
    /// Written down.
    pub written: u64,
    /// Lost: they came faster than they were written, or the store did not take them.
    pub lost: u64,
    /// Looks at the state of every service, one after the start and one after each loss.
    pub resyncs: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    written: AtomicU64,
    lost: AtomicU64,
    resyncs: AtomicU64,
}

/// The last that was written about a breaker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    state: String,
}

impl Pilot {
    /// Takes in what executors report, a task for each that does, until the drain begins.
    pub fn follow_executors(self: &Arc<Self>, tenant: &Tenant, supervisor: &Supervisor) {
        for executor in self.executors.values() {
            let Some(reports) = executor.happenings() else { continue };
            let (pilot, tenant) = (Arc::clone(self), tenant.clone());
            let shutdown = supervisor.shutdown().clone();
            let executor = executor.name().to_owned();
            let name = format!("reports of {executor}");
            supervisor.spawn(name, TaskKind::Drains, OnError::Log, async move {
                pilot.follow(&tenant, &executor, reports, shutdown).await;
                Ok::<(), Problem>(())
            });
        }
    }

    /// What became of executors' reports.
    #[must_use]
    pub fn happening_counts(&self) -> HappeningCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counting { written, lost, resyncs } = &self.happenings;
        HappeningCounts { written: read(written), lost: read(lost), resyncs: read(resyncs) }
    }

    async fn follow(
        &self,
        tenant: &Tenant,
        executor: &str,
        mut reports: broadcast::Receiver<Happening>,
        shutdown: ShutdownHandle,
    ) {
        // What happened before the first report is not known.
        let mut missed = true;
        loop {
            if missed {
                missed = !self.look_again(tenant, executor).await;
            }
            let report = tokio::select! {
                report = reports.recv() => report,
                () = tokio::time::sleep(AGAIN), if missed => continue,
                () = shutdown.draining() => break,
            };
            match report {
                Ok(happening) => missed |= !self.take_in(happening).await,
                Err(RecvError::Lagged(count)) => {
                    self.lost(executor, count);
                    missed = true;
                }
                Err(RecvError::Closed) => return,
            }
        }
        loop {
            match reports.try_recv() {
                Ok(happening) => drop(self.take_in(happening).await),
                Err(TryRecvError::Lagged(count)) => self.lost(executor, count),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn lost(&self, executor: &str, count: u64) {
        tracing::warn!(executor, count, "reports were lost; looking at the state instead");
        self.happenings.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// Writes a report down. False when it could not be.
    async fn take_in(&self, happening: Happening) -> bool {
        let Happening { tenant, service, at: _, what } = happening;
        let Happened::Breaker { from, to, snapshot } = what;
        let written = match self.written(&tenant, &service).await {
            // Seen already, when the state was looked at.
            Ok(before) if before == to => return true,
            Ok(_) => match self.is_known(&tenant, &service).await {
                // It was deleted, and its breaker with it.
                Ok(false) => return true,
                Ok(true) => self.breaker_changed(&tenant, &service, &from, &to, &snapshot).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%service, %error, "a report was not written down");
            self.happenings.lost.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    async fn is_known(&self, tenant: &Tenant, service: &ServiceName) -> Result<bool, Problem> {
        let found = docs::get::<Service>(&*self.store, tenant, SERVICES, service.as_str()).await?;
        Ok(found.is_some())
    }

    async fn written(&self, tenant: &Tenant, service: &ServiceName) -> Result<String, Problem> {
        let found = docs::get::<Written>(&*self.store, tenant, BREAKERS, service.as_str()).await?;
        Ok(found.map_or_else(|| CLOSED.to_owned(), |written| written.value.state))
    }

    /// Compares the state of every service of an executor with what was written last. False when
    /// that could not be done wholly.
    async fn look_again(&self, tenant: &Tenant, executor: &str) -> bool {
        self.happenings.resyncs.fetch_add(1, Ordering::Relaxed);
        match self.resync(tenant, executor).await {
            Ok(wholly) => wholly,
            Err(error) => {
                tracing::warn!(executor, %error, "the state could not be compared");
                false
            }
        }
    }

    /// False when a service could not be looked at.
    async fn resync(&self, tenant: &Tenant, executor: &str) -> Result<bool, Problem> {
        let mut wholly = true;
        let mut written = HashMap::new();
        for record in docs::all_records(&*self.store, tenant, BREAKERS).await? {
            let state = docs::from_record::<Written>(&record)?.value.state;
            written.insert(record.id, state);
        }
        for service in self.all_services(tenant).await? {
            let service = service.value;
            if service.executor != executor {
                continue;
            }
            let state = match self.state_of(tenant, &service).await {
                Ok(state) => state,
                Err(error) => {
                    tracing::debug!(service = %service.name, %error, "not looked at");
                    wholly = false;
                    continue;
                }
            };
            let Some(now) = state.text("breaker") else { continue };
            let before = written.get(service.name.as_str()).map_or(CLOSED, String::as_str);
            if before != now {
                let snapshot = state.text("breaker_snapshot").unwrap_or_default();
                self.breaker_changed(tenant, &service.name, before, now, snapshot).await?;
            }
        }
        Ok(wholly)
    }

    /// Writes down that a circuit breaker changed, and tells people when it opened. That probes of
    /// an open one failed again is no news.
    async fn breaker_changed(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        from: &str,
        to: &str,
        snapshot: &str,
    ) -> Result<(), Problem> {
        let payload = json!({"from": from, "to": to, "snapshot": snapshot});
        let state = to_json(&Written { state: to.to_owned() })?;
        let mut batch = self.batch().put(BREAKERS, service.as_str(), state, to).ledger(
            "breaker",
            format!("service:{service}"),
            payload.to_string(),
        );
        if from == CLOSED && to == "open" {
            let text = format!("the circuit breaker of {service} opened: {snapshot}");
            batch = self.notice(batch, "critical", text, None)?;
        }
        self.save(tenant, batch).await?;
        self.happenings.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
