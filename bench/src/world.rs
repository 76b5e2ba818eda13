//! The product's parts joined as the binary joins them, around an executor that only remembers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use oag_api::{ApiConfig, ApiParts};
use oag_ops::{ActivePlan, Desk, HubConfig, LongTerm, Ops, OpsConfig, OpsParts, SignalHub};
use oag_pilot::{
    Caller, CheckpointSink, Claim, ExecError, Executor, Fate, Hindsight, InHand, LogKeys, LogLine,
    Mandate, Meter, NoCrashPoints, Observed, Operation, Pilot, PilotConfig, PilotParts, Proposal,
    Trial,
};
use oag_runtime::{
    Clock, IdSource, Metrics, OnError, RandomIds, ShutdownHandle, Supervisor, TaskKind,
};
use oag_series::{SeriesConfig, SeriesStore};
use oag_store::{SqliteConfig, SqliteStore};
use oag_store_port::Store;
use oag_types::{Finding, PlanId, Problem, Receipt, Service, ServiceName, StoryId, Tenant};
use serde_json::json;
use tokio::net::TcpListener;

/// The name services use for the executor.
pub(crate) const EXECUTOR: &str = "memory";

/// Everything a process holds.
pub(crate) struct World {
    pub(crate) tenant: Tenant,
    pub(crate) pilot: Arc<Pilot>,
    pub(crate) hub: Arc<SignalHub>,
    pub(crate) ops: Arc<Ops>,
    pub(crate) series: Arc<SeriesStore>,
    pub(crate) executor: Arc<Memory>,
    pub(crate) admin: Caller,
    clock: Arc<dyn Clock>,
    key: String,
}

/// A server on loopback.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) key: String,
    supervisor: Supervisor,
}

impl World {
    /// Over a store of SQLite and chunk files in `dir`.
    pub(crate) async fn new(dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let store = Arc::new(SqliteStore::open(dir.join("truth"), SqliteConfig::default())?);
        Self::over(store, dir, clock).await
    }

    /// Over a store that is open.
    pub(crate) async fn over(
        store: Arc<dyn Store>,
        dir: &Path,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let tenant = Tenant::default_tenant();
        let ids: Arc<dyn IdSource> = Arc::new(RandomIds);
        let config = SeriesConfig::default();
        let series = Arc::new(SeriesStore::open(dir.join("series"), config, Arc::clone(&clock))?);
        let months = Arc::clone(&series) as Arc<dyn LongTerm>;
        let hub = SignalHub::new(HubConfig::default(), Arc::clone(&clock), Some(months));
        let hub = Arc::new(hub);
        let executor = Arc::new(Memory::default());
        let key = oag_ledger::SigningKey::generate("bench/default")?;
        let pilot = Pilot::new(PilotParts {
            store,
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            executors: vec![Arc::clone(&executor) as Arc<dyn Executor>],
            meter: Arc::clone(&executor) as Arc<dyn Meter>,
            log_keys: LogKeys::new("bench", key.to_pkcs8()?)?,
            checkpoints: Arc::clone(&executor) as Arc<dyn CheckpointSink>,
            crash_points: Arc::new(NoCrashPoints),
            config: PilotConfig::default(),
        });
        pilot.take_over().await?;
        let secret = pilot.bootstrap(&tenant).await?.context("the store is not empty")?;
        let key = secret.expose().to_owned();
        let admin = pilot.authenticate(&tenant, &key).await?;
        let ops = Arc::new(Ops::new(OpsParts {
            hub: Arc::clone(&hub),
            desk: Arc::new(PilotDesk(Arc::clone(&pilot))),
            clock: Arc::clone(&clock),
            ids,
            config: OpsConfig::default(),
        }));
        Ok(Self { tenant, pilot, hub, ops, series, executor, admin, clock, key })
    }

    /// Serves the API on a free port of loopback.
    pub(crate) async fn serve(&self) -> anyhow::Result<Served> {
        let supervisor = Supervisor::new(ShutdownHandle::new());
        let config = ApiConfig::default();
        let surface = oag_api::surface(ApiParts {
            pilot: Arc::clone(&self.pilot),
            hub: Arc::clone(&self.hub),
            ops: Some(Arc::clone(&self.ops)),
            engines: Arc::default(),
            fleet: None,
            kept: None,
            gate: None,
            metrics: Metrics::new(),
            clock: Arc::clone(&self.clock),
            ids: Arc::new(RandomIds),
            supervisor: supervisor.clone(),
            probes: Vec::new(),
            process: None,
            config: config.clone(),
        })?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shutdown = supervisor.shutdown().clone();
        supervisor.spawn("api", TaskKind::Drains, OnError::Log, async move {
            oag_api::serve(listener, surface.router, &config, shutdown).await
        });
        Ok(Served { url, key: self.key.clone(), supervisor })
    }
}

impl Served {
    /// Stops it.
    pub(crate) async fn stop(self) {
        self.supervisor.shutdown().begin();
        self.supervisor.drain(std::time::Duration::from_secs(5)).await;
    }
}

/// Remembers replicas and does nothing else; also a meter without values, and a sink that drops.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<ServiceName, u32>>);

impl Memory {
    /// States how many replicas there are.
    pub(crate) fn set(&self, service: &ServiceName, replicas: u32) {
        self.lock().insert(service.clone(), replicas);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Executor for Memory {
    fn name(&self) -> &str {
        EXECUTOR
    }

    fn check(&self, _: &Service) -> Result<(), Problem> {
        Ok(())
    }

    async fn adopt(&self, _: &Tenant, service: &Service) -> Result<(), ExecError> {
        self.lock().entry(service.name.clone()).or_insert(service.scaling.min_replicas);
        Ok(())
    }

    async fn forget(&self, _: &Tenant, service: &ServiceName) -> Result<(), ExecError> {
        self.lock().remove(service);
        Ok(())
    }

    async fn observe(&self, _: &Tenant, service: &ServiceName) -> Result<Observed, ExecError> {
        let replicas = self.lock().get(service).copied();
        let replicas = replicas.ok_or_else(|| ExecError::Refused("not known".to_owned()))?;
        let fields = [
            ("replicas".to_owned(), json!(replicas)),
            ("ready_replicas".to_owned(), json!(replicas)),
            ("running".to_owned(), json!(true)),
            ("version".to_owned(), json!("1")),
            ("restarts".to_owned(), json!(0)),
            ("breaker".to_owned(), json!("closed")),
        ];
        Ok(Observed { revision: u64::from(replicas), fields: fields.into() })
    }

    async fn apply(
        &self,
        _: &Tenant,
        service: &ServiceName,
        operation: &Operation,
        _: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        let Operation::SetReplicas(replicas) = operation else {
            return Err(ExecError::Refused("only replicas can be set".to_owned()));
        };
        let before = self.lock().insert(service.clone(), *replicas);
        let (before, after) = (json!(before), json!(replicas));
        Ok(Receipt { changed: before != after, detail: String::new(), before, after })
    }

    async fn logs(&self, _: &Tenant, _: &ServiceName, _: usize) -> Result<Vec<LogLine>, ExecError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Meter for Memory {
    async fn latest(&self, _: &Tenant, _: &ServiceName, _: &str) -> Option<f64> {
        None
    }
}

impl CheckpointSink for Memory {
    fn keep(&self, _: &Tenant, _: u64, _: &str) {}
}

/// The pilot as the loop sees it. It asks what the binary's own asks, so that a step costs the
/// same reads.
struct PilotDesk(Arc<Pilot>);

#[async_trait]
impl Desk for PilotDesk {
    async fn tenants(&self) -> Result<Vec<Tenant>, Problem> {
        Ok(vec![Tenant::default_tenant()])
    }

    async fn services(&self, tenant: &Tenant) -> Result<Vec<Service>, Problem> {
        let services = self.0.all_services(tenant).await?;
        Ok(services.into_iter().map(|service| service.value).collect())
    }

    async fn observe(&self, tenant: &Tenant, service: &Service) -> Option<Observed> {
        self.0.state_of(tenant, service).await.ok()
    }

    async fn active_plan(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
    ) -> Result<Option<ActivePlan>, Problem> {
        let found = self.0.active_plan(tenant, service).await?;
        Ok(found.map(|(InHand { plan, replicas, .. }, verifying)| ActivePlan {
            plan,
            verifying,
            replicas,
        }))
    }

    async fn record_findings(
        &self,
        tenant: &Tenant,
        findings: Vec<Finding>,
    ) -> Result<(), Problem> {
        self.0.record_findings(tenant, findings).await
    }

    async fn close_story(&self, tenant: &Tenant, story: StoryId, _: String) -> Result<(), Problem> {
        self.0.close_story(tenant, story).await
    }

    async fn propose(
        &self,
        tenant: &Tenant,
        proposal: Proposal,
        _: Vec<Finding>,
        claims: Vec<Claim>,
    ) -> Result<PlanId, Problem> {
        let looping = Caller::of(self.0.loop_account(tenant).await?);
        Ok(self.0.propose_on_trial(tenant, &looping, proposal, claims).await?.value.id())
    }

    async fn trials(&self, tenant: &Tenant, plan: Option<PlanId>) -> Result<Vec<Trial>, Problem> {
        self.0.trials(tenant, plan).await
    }

    async fn fate(&self, tenant: &Tenant, plan: PlanId) -> Result<Fate, Problem> {
        self.0.fate(tenant, plan).await
    }

    async fn end_trial(
        &self,
        tenant: &Tenant,
        trial: &Trial,
        hindsight: &Hindsight,
    ) -> Result<(), Problem> {
        self.0.end_trial(tenant, trial, hindsight).await.map(|_| ())
    }
}
