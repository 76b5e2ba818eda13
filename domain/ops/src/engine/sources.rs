//! The tasks of the loop: one that takes steps, one per source.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use oag_runtime::{OnError, ShutdownHandle, Supervisor, TaskKind};
use oag_types::{Tenant, Timestamp};
use tokio::time::MissedTickBehavior;

use super::Ops;
use crate::Source;

/// Most looks in the time of `tick_ms`.
const LOOKS_IN_TICK: u64 = 4;

impl Ops {
    /// Starts the loop under the supervisor: a look at the moment the next service is due, and at
    /// least every `tick_ms`. A step in hand is finished when the process drains.
    pub fn start(self: &Arc<Self>, supervisor: &Supervisor) {
        let ops = Arc::clone(self);
        let shutdown = supervisor.shutdown().clone();
        supervisor.spawn("ops loop", TaskKind::Drains, OnError::Log, async move {
            ops.run(shutdown).await;
            Ok::<(), Infallible>(())
        });
    }

    /// Asks each source at its interval and takes in what it gives, each under a task of its own.
    /// A source that is slow or broken is counted and asked again; it holds up nothing else.
    pub fn run_sources(
        self: &Arc<Self>,
        tenant: &Tenant,
        sources: Vec<Arc<dyn Source>>,
        supervisor: &Supervisor,
    ) {
        for source in sources {
            let ops = Arc::clone(self);
            let tenant = tenant.clone();
            let name = format!("source {}", source.name());
            supervisor.spawn(name, TaskKind::Intake, OnError::Log, async move {
                ops.run_source(&tenant, source.as_ref()).await;
                Ok::<(), Infallible>(())
            });
        }
    }

    async fn run(&self, shutdown: ShutdownHandle) {
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                () = tokio::time::sleep(self.pause(self.clock.now())) => {}
            }
            let tenants = match self.desk.tenants().await {
                Ok(tenants) => tenants,
                Err(error) => {
                    tracing::warn!(%error, "tenants not known");
                    self.count(|c| c.desk_errors += 1);
                    continue;
                }
            };
            for tenant in tenants {
                if shutdown.is_draining() {
                    return;
                }
                if let Err(error) = Box::pin(self.step(&tenant, self.clock.now())).await {
                    tracing::warn!(%tenant, %error, "step not taken");
                }
            }
        }
    }

    /// Until the next service is due. A look at fixed times would miss one that is due a
    /// millisecond later by a whole tick; services that are due at many moments share looks, so that
    /// the catalogue is not read for each.
    fn pause(&self, now: Timestamp) -> Duration {
        let most = self.config.tick_ms.max(1);
        let due = self.next_due().map(|due| due.millis_since(now).max(0).unsigned_abs());
        Duration::from_millis(due.unwrap_or(most).clamp(most.div_ceil(LOOKS_IN_TICK), most))
    }

    async fn run_source(&self, tenant: &Tenant, source: &dyn Source) {
        let mut ticks = ticks(u64::try_from(source.interval_ms()).unwrap_or(1));
        loop {
            ticks.tick().await;
            self.collect(tenant, source).await;
        }
    }

    /// One round of a source.
    pub async fn collect(&self, tenant: &Tenant, source: &dyn Source) {
        let limit = Duration::from_millis(self.config.source_timeout_ms.max(1));
        let signals = match tokio::time::timeout(limit, source.collect(self.clock.now())).await {
            Ok(Ok(signals)) => signals,
            Ok(Err(error)) => {
                tracing::warn!(%error, "source gave nothing");
                self.count(|c| c.source_errors += 1);
                return;
            }
            Err(_) => {
                tracing::warn!(source = source.name(), "source took too long");
                self.count(|c| c.source_errors += 1);
                return;
            }
        };
        let report = self.hub.ingest(tenant, &signals);
        self.count(|c| c.collected += 1);
        if let Some((at, problem)) = report.rejected.first() {
            let (source, refused) = (source.name(), report.rejected.len());
            tracing::warn!(source, refused, at, %problem, "signals refused");
        }
    }
}

fn ticks(every_ms: u64) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(Duration::from_millis(every_ms.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
