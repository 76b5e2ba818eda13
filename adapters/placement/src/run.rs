//! Brings nodes to what is wanted, and runs scripts on them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use oag_cluster::Holding;
use oag_cluster::orders::{Deed, Held, Order, RUNS_SCRIPTS};
use oag_pilot::{ExecError, Mandate, Outcome};
use oag_runtime::{OnError, TaskKind};
use oag_types::{Digest, NodeName, Receipt, ServiceName, Tenant};
use serde_json::{Value, json};

use crate::FleetExecutor;
use crate::place::holders;
use crate::spec::ScriptSpec;

/// How long a node may take to let a model go.
const LEAVE: Duration = Duration::from_secs(30);

/// An order and whose it is.
struct Task {
    tenant: Tenant,
    service: ServiceName,
    order: Order,
    patience: Duration,
    /// The wish it is for.
    revision: u64,
}

impl FleetExecutor {
    /// Looks at nodes and tells them what is wanted, until the process drains. Begin it when all
    /// services are adopted: what nobody wants is unloaded.
    ///
    /// # Errors
    /// Never.
    pub async fn run(self: Arc<Self>) -> Result<(), Infallible> {
        let tick = Duration::from_millis(self.config.tick_ms.max(1));
        let shutdown = self.supervisor.shutdown().clone();
        loop {
            let holdings = self.cluster.holdings();
            for task in self.due(&holdings) {
                let executor = Arc::clone(&self);
                let work = async move {
                    executor.tell(task).await;
                    Ok::<(), Infallible>(())
                };
                self.supervisor.spawn("order", TaskKind::Intake, OnError::Log, work);
            }
            self.leave_strays(&holdings);
            tokio::select! {
                () = tokio::time::sleep(tick) => {}
                () = self.wake.notified() => {}
                () = shutdown.draining() => return Ok(()),
            }
        }
    }

    /// The orders that are to be given now; their nodes count as busy from now on.
    fn due(&self, holdings: &[Holding]) -> Vec<Task> {
        let now = self.clock.monotonic();
        let mut tasks = Vec::new();
        for ((tenant, service), unit) in self.units().iter_mut() {
            for (node, deed) in unit.moves(holdings, now) {
                unit.busy.insert(node.clone());
                let patience = match deed {
                    Deed::Leave { .. } => LEAVE,
                    _ => Duration::from_millis(unit.spec.load_ms),
                };
                let order = Order { node, deed, plan: unit.wanted.plan };
                let (tenant, service) = (tenant.clone(), service.clone());
                let revision = unit.wanted.revision;
                tasks.push(Task { tenant, service, order, patience, revision });
            }
        }
        tasks
    }

    async fn tell(&self, task: Task) {
        let Task { tenant, service, order, patience, revision } = task;
        let what = words(&order.deed);
        tracing::info!(%service, node = order.node.as_str(), what, "order given");
        let said = self.cluster.order(&order, patience).await;
        let (at, now) = (self.clock.now(), self.clock.monotonic());
        let mut units = self.units();
        let Some(unit) = units.get_mut(&(tenant, service.clone())) else { return };
        match said {
            Ok(_) => unit.done(&order.node, &what, at),
            // What failed is not wanted any more.
            Err(error) if unit.wanted.revision != revision => {
                unit.overtaken(&order.node, format!("{what}: {error}"), at);
            }
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(%service, node = order.node.as_str(), what, why, "order not done");
                let pauses = (self.config.rest_ms, self.config.rest_max_ms);
                let pauses = (Duration::from_millis(pauses.0), Duration::from_millis(pauses.1));
                unit.failed(&order.node, (&what, &why), pauses, (at, now));
            }
        }
        drop(units);
        self.wake.notify_one();
    }

    /// Models that nodes serve on an order of a service that is gone.
    fn leave_strays(self: &Arc<Self>, holdings: &[Holding]) {
        let strays = {
            let units = self.units();
            let known = |model: &str| units.values().any(|unit| unit.wanted.recipe.model == model);
            let of = |node: &Holding| {
                let stray = |(model, held): &(&String, &Option<Held>)| {
                    held.as_ref().is_some_and(|held| !held.leaving) && !known(model)
                };
                let stray = node.models.iter().filter(stray);
                stray.map(|(model, _)| (node.node.clone(), model.clone())).collect::<Vec<_>>()
            };
            holdings.iter().flat_map(of).collect::<Vec<_>>()
        };
        for (node, model) in strays {
            let stray = (node.clone(), model.clone());
            if !self.leaving().insert(stray.clone()) {
                continue;
            }
            let executor = Arc::clone(self);
            let order =
                Order { node, plan: Digest::of(model.as_bytes()), deed: Deed::Leave { model } };
            let leave = async move {
                if let Err(error) = executor.cluster.order(&order, LEAVE).await {
                    tracing::warn!(%error, node = order.node.as_str(), "stray model stays");
                    tokio::time::sleep(Duration::from_millis(executor.config.rest_ms)).await;
                }
                executor.leaving().remove(&stray);
                Ok::<(), Infallible>(())
            };
            self.supervisor.spawn("order", TaskKind::Intake, OnError::Log, leave);
        }
    }

    fn leaving(&self) -> MutexGuard<'_, BTreeSet<(NodeName, String)>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a script on every node that serves the model, one after the other, until one fails. That
    /// it is begun is written down first, so that it is not run again after a crash.
    pub(crate) async fn run_script(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        (script, args): (&str, &[String]),
        mandate: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        let (nodes, file, most) = {
            let _one = self.applying.lock().await;
            let (_, spec, mut wanted) = self.present(tenant, service)?;
            if let Some(outcome) = wanted.outcome(mandate.key) {
                return outcome.again();
            }
            let Some(ScriptSpec { file, timeout_ms }) = spec.scripts.get(script) else {
                return Err(ExecError::Refused(format!("no script '{script}' in the spec")));
            };
            let nodes = self.able_to_run(&wanted.recipe.model)?;
            wanted.note(mandate.key, Outcome::Begun);
            self.commit(tenant, service, wanted).await?;
            (nodes, file.clone(), *timeout_ms)
        };
        let deed = Deed::Run { script: file, args: args.to_vec(), timeout_ms: most };
        let patience = Duration::from_millis(most) + LEAVE;
        let ran = self.run_on(&nodes, deed, mandate.plan, patience).await.map(|after| Receipt {
            changed: true,
            detail: format!("ran '{script}' on {} nodes", nodes.len()),
            before: Value::Null,
            after,
        });
        let _one = self.applying.lock().await;
        // It may be wanted otherwise by now, or be gone.
        if let Ok((_, _, mut wanted)) = self.present(tenant, service) {
            wanted.note(mandate.key, ran.clone().into());
            self.commit(tenant, service, wanted).await?;
        }
        ran.map_err(ExecError::Failed)
    }

    /// The nodes that serve a model, when all of them run scripts.
    fn able_to_run(&self, model: &str) -> Result<Vec<NodeName>, ExecError> {
        let holdings = self.cluster.holdings();
        let nodes: Vec<&Holding> = holders(model, &holdings).map(|holder| holder.node).collect();
        if nodes.is_empty() {
            let text = "no node serves it, so there is nowhere to run the script";
            return Err(ExecError::Refused(text.to_owned()));
        }
        let unable = |node: &&&Holding| !node.capabilities.iter().any(|word| word == RUNS_SCRIPTS);
        if let Some(node) = nodes.iter().find(unable) {
            let text = format!("{} runs no scripts: start it with --scripts-dir DIR", node.node);
            return Err(ExecError::Refused(text));
        }
        Ok(nodes.into_iter().map(|node| node.node.clone()).collect())
    }

    async fn run_on(
        &self,
        nodes: &[NodeName],
        deed: Deed,
        plan: &Digest,
        patience: Duration,
    ) -> Result<Value, String> {
        let mut said = serde_json::Map::new();
        for node in nodes {
            let order = Order { node: node.clone(), deed: deed.clone(), plan: *plan };
            match self.cluster.order(&order, patience).await {
                Ok(output) => said.insert(node.to_string(), output),
                Err(error) => {
                    let done = json!(said);
                    return Err(format!("on {node}: {error}; before it: {done}"));
                }
            };
        }
        Ok(Value::Object(said))
    }
}

/// An order in words.
fn words(deed: &Deed) -> String {
    match deed {
        Deed::Serve { recipe, .. } => format!("serve {} from {}", recipe.model, recipe.file),
        Deed::Configure { recipe, .. } => format!("configure {}", recipe.model),
        Deed::Restart { model, .. } => format!("restart {model}"),
        Deed::Leave { model } => format!("unload {model}"),
        Deed::Run { script, .. } => format!("run {script}"),
    }
}
