//! The executor port, carried out on the nodes of the fleet.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use oag_cluster::Cluster;
use oag_pilot::{ExecError, Executor, LogLine, Mandate, Observed, Operation, Outcome};
use oag_runtime::{Clock, Supervisor};
use oag_store_port::{Batch, Collection, Store, StoreError};
use oag_types::{NodeName, Problem, Receipt, Service, ServiceName, Tenant};
use tokio::sync::Notify;

use crate::spec::ModelSpec;
use crate::unit::Unit;
use crate::wanted::Wanted;

const WANTED: Collection = Collection("placement");

/// Settings of the fleet executor. All times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementConfig {
    /// Time between two looks at nodes.
    pub tick_ms: u64,
    /// How long a node is left alone after it could not do an order; doubled each time.
    pub rest_ms: u64,
    /// The longest such time.
    pub rest_max_ms: u64,
    /// Models that may be in charge at once.
    pub models_max: usize,
}

impl Default for PlacementConfig {
    fn default() -> Self {
        Self { tick_ms: 500, rest_ms: 10_000, rest_max_ms: 600_000, models_max: 1_000 }
    }
}

type Units = BTreeMap<(Tenant, ServiceName), Unit>;

/// Serves models on the nodes of a fleet.
pub struct FleetExecutor {
    pub(crate) cluster: Cluster,
    pub(crate) config: PlacementConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) supervisor: Supervisor,
    store: Arc<dyn Store>,
    units: Mutex<Units>,
    /// Models that nobody wants, whose nodes were told so.
    pub(crate) leaving: Mutex<BTreeSet<(NodeName, String)>>,
    /// One wish is written at a time.
    pub(crate) applying: tokio::sync::Mutex<()>,
    /// Something is to be told to nodes.
    pub(crate) wake: Notify,
}

impl std::fmt::Debug for FleetExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let models = self.units().len();
        f.debug_struct("FleetExecutor").field("models", &models).finish_non_exhaustive()
    }
}

impl FleetExecutor {
    /// Without models; they come by `adopt`. Nothing is told to nodes before [`Self::run`].
    #[must_use]
    pub fn new(
        cluster: Cluster,
        store: Arc<dyn Store>,
        config: PlacementConfig,
        clock: Arc<dyn Clock>,
        supervisor: Supervisor,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            config,
            clock,
            supervisor,
            store,
            units: Mutex::default(),
            leaving: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            wake: Notify::new(),
        })
    }

    pub(crate) fn units(&self) -> MutexGuard<'_, Units> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        look: impl FnOnce(&mut Unit) -> T,
    ) -> Result<T, ExecError> {
        let mut units = self.units();
        let unit = units.get_mut(&(tenant.clone(), service.clone()));
        let unknown = || ExecError::Refused(format!("no model '{service}' is in charge here"));
        unit.map(look).ok_or_else(unknown)
    }

    async fn load(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
    ) -> Result<Option<Wanted>, ExecError> {
        let record = self.store.get(tenant, WANTED, service.as_str()).await.map_err(away)?;
        let read = record.map(|record| serde_json::from_str(&record.body)).transpose();
        read.map_err(|error| ExecError::Failed(format!("what was wanted cannot be read: {error}")))
    }

    /// Writes what is wanted, then lets it count.
    pub(crate) async fn commit(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        wanted: Wanted,
    ) -> Result<(), ExecError> {
        let body = serde_json::to_string(&wanted)
            .map_err(|error| ExecError::Failed(format!("it cannot be written: {error}")))?;
        let batch = Batch::at(self.clock.now()).put(WANTED, service.as_str(), body, "");
        self.store.commit(tenant, batch).await.map_err(away)?;
        self.with(tenant, service, |unit| {
            if unit.wanted.revision != wanted.revision {
                unit.wishes_again();
            }
            unit.wanted = wanted;
        })?;
        self.wake.notify_one();
        Ok(())
    }

    fn may_take(&self, tenant: &Tenant, service: &Service, model: &str) -> Result<(), ExecError> {
        let units = self.units();
        let key = (tenant.clone(), service.name.clone());
        let others = || units.iter().filter(|(known, _)| **known != key);
        if others().count() >= self.config.models_max {
            let most = self.config.models_max;
            let text = format!("{most} models are in charge, which is the limit");
            return Err(ExecError::Refused(text));
        }
        match others().find(|(_, unit)| unit.wanted.recipe.model == model) {
            Some(((_, other), _)) => {
                let text = format!("the model '{model}' is the service '{other}' already");
                Err(ExecError::Refused(text))
            }
            None => Ok(()),
        }
    }

    /// What is there and what is wanted, for an operation.
    pub(crate) fn present(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
    ) -> Result<(Service, ModelSpec, Wanted), ExecError> {
        self.with(tenant, service, |unit| {
            (unit.service.clone(), unit.spec.clone(), unit.wanted.clone())
        })
    }
}

fn away(error: StoreError) -> ExecError {
    ExecError::Unavailable(error.to_string())
}

#[async_trait]
impl Executor for FleetExecutor {
    fn name(&self) -> &'static str {
        "fleet"
    }

    fn check(&self, service: &Service) -> Result<(), Problem> {
        ModelSpec::read(service).map(|_| ())
    }

    async fn adopt(&self, tenant: &Tenant, service: &Service) -> Result<(), ExecError> {
        let spec =
            ModelSpec::read(service).map_err(|problem| ExecError::Refused(problem.detail))?;
        let _one = self.applying.lock().await;
        self.may_take(tenant, service, spec.model(service))?;
        let known = self.load(tenant, &service.name).await?;
        let mut wanted = known.unwrap_or_else(|| Wanted::first(service, &spec));
        wanted.follow(service, &spec);
        let key = (tenant.clone(), service.name.clone());
        match self.units().entry(key) {
            Entry::Occupied(unit) => {
                let unit = unit.into_mut();
                (unit.service, unit.spec) = (service.clone(), spec);
            }
            Entry::Vacant(place) => {
                place.insert(Unit::new(service.clone(), spec, wanted.clone()));
            }
        }
        self.commit(tenant, &service.name, wanted).await
    }

    async fn forget(&self, tenant: &Tenant, service: &ServiceName) -> Result<(), ExecError> {
        let _one = self.applying.lock().await;
        let batch = Batch::at(self.clock.now()).delete(WANTED, service.as_str());
        self.store.commit(tenant, batch).await.map_err(away)?;
        // What nodes still serve of it belongs to nobody then, and they are told to leave it.
        self.units().remove(&(tenant.clone(), service.clone()));
        self.wake.notify_one();
        Ok(())
    }

    async fn observe(&self, tenant: &Tenant, service: &ServiceName) -> Result<Observed, ExecError> {
        let holdings = self.cluster.holdings();
        self.with(tenant, service, |unit| unit.observe(&holdings))
    }

    async fn apply(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        operation: &Operation,
        mandate: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        if let Operation::RunScript { script, args } = operation {
            return self.run_script(tenant, service, (script, args), mandate).await;
        }
        let _one = self.applying.lock().await;
        let (entry, spec, mut wanted) = self.present(tenant, service)?;
        if let Some(outcome) = wanted.outcome(mandate.key) {
            return outcome.again();
        }
        let receipt = wanted.play(&entry, &spec, operation)?;
        if receipt.changed {
            wanted.plan = *mandate.plan;
        }
        wanted.note(mandate.key, Outcome::Done(receipt.clone()));
        self.commit(tenant, service, wanted).await?;
        let (changed, detail) = (receipt.changed, &receipt.detail);
        tracing::info!(%service, key = mandate.key, changed, detail, "applied");
        Ok(receipt)
    }

    async fn rehearse(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        operation: &Operation,
    ) -> Result<Option<Receipt>, ExecError> {
        if let Operation::RunScript { .. } = operation {
            return Ok(None);
        }
        let (entry, spec, mut wanted) = self.present(tenant, service)?;
        wanted.play(&entry, &spec, operation).map(Some)
    }

    async fn logs(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<LogLine>, ExecError> {
        self.with(tenant, service, |unit| unit.lines(limit))
    }
}
