//! A pilot over a real store and an executor that a test can make fail, lie or be slow.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use oag_guard::Rung;
use oag_pilot::{
    ActionWish, Caller, CheckpointSink, CrashPoints, ExecError, Executor, Happening, LogKeys,
    LogLine, Mandate, Meter, NewPrincipal, NoCrashPoints, Observed, Operation, Phase, Pilot,
    PilotConfig, PilotParts, PlanRecord, Proposal,
};
use oag_runtime::{
    Clock, FakeClock, OnError, RandomIds, ShutdownHandle, Supervisor, SystemClock, TaskKind,
};
use oag_store::{SqliteConfig, SqliteStore};
use oag_store_port::Store;
use oag_types::{
    KindName, Origin, PlanId, PrincipalKind, Problem, Receipt, Role, RoleBinding, Scope, Service,
    ServiceName, Tenant, Timestamp,
};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::checked::CheckedStore;

/// The state of the executor's world; it outlives a pilot, as the real world does.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) fields: BTreeMap<String, Value>,
    pub(crate) revision: u64,
    /// How often the world was really changed, by operation name.
    pub(crate) effects: HashMap<&'static str, u32>,
    pub(crate) done: HashSet<String>,
    /// Errors to answer with, first come first served.
    pub(crate) errors: Vec<ExecError>,
    /// Refuses this operation, whenever it is asked.
    pub(crate) refuses: Option<&'static str>,
    /// Ready replicas stay at this, whatever is wanted.
    pub(crate) stuck_ready: Option<u64>,
    pub(crate) metrics: HashMap<String, f64>,
    /// Cannot say beforehand what it would do.
    pub(crate) cannot_rehearse: bool,
    /// Where it reports what happens by itself.
    pub(crate) reports: Option<broadcast::Sender<Happening>>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeExecutor(pub(crate) Arc<Mutex<Stage>>);

impl FakeExecutor {
    pub(crate) fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap()
    }

    pub(crate) fn effects(&self, name: &str) -> u32 {
        self.stage().effects.get(name).copied().unwrap_or(0)
    }
}

#[async_trait]
impl Executor for FakeExecutor {
    fn name(&self) -> &str {
        "fake"
    }

    fn check(&self, _: &Service) -> Result<(), Problem> {
        Ok(())
    }

    async fn adopt(&self, _: &Tenant, _: &Service) -> Result<(), ExecError> {
        let mut stage = self.stage();
        if stage.fields.is_empty() {
            stage.revision = 1;
            stage.fields = BTreeMap::from([
                ("replicas".into(), json!(2)),
                ("ready_replicas".into(), json!(2)),
                ("running".into(), json!(true)),
                ("version".into(), json!("1")),
                ("restarts".into(), json!(0)),
                ("breaker".into(), json!("closed")),
                ("feature.reviews".into(), json!("on")),
            ]);
        }
        Ok(())
    }

    async fn forget(&self, _: &Tenant, _: &ServiceName) -> Result<(), ExecError> {
        Ok(())
    }

    async fn observe(&self, _: &Tenant, _: &ServiceName) -> Result<Observed, ExecError> {
        let stage = self.stage();
        let mut fields = stage.fields.clone();
        if let Some(stuck) = stage.stuck_ready {
            fields.insert("ready_replicas".into(), json!(stuck));
        }
        Ok(Observed { revision: stage.revision, fields })
    }

    async fn apply(
        &self,
        _: &Tenant,
        _: &ServiceName,
        operation: &Operation,
        mandate: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        let mut stage = self.stage();
        if !stage.errors.is_empty() {
            return Err(stage.errors.remove(0));
        }
        let (before, kept) = (json!(stage.fields), stage.fields.clone());
        let name = change(&mut stage, operation);
        if stage.refuses == Some(name) {
            stage.fields = kept;
            return Err(ExecError::Refused(format!("{name} is refused")));
        }
        let changed = json!(stage.fields) != before || name == "script";
        if changed {
            *stage.effects.entry(name).or_default() += 1;
            stage.revision += 1;
        }
        stage.done.insert(mandate.key.to_owned());
        Ok(Receipt { changed, detail: name.into(), before, after: json!(stage.fields) })
    }

    async fn rehearse(
        &self,
        _: &Tenant,
        _: &ServiceName,
        operation: &Operation,
    ) -> Result<Option<Receipt>, ExecError> {
        let stage = self.stage();
        let mut played = Stage { fields: stage.fields.clone(), ..Stage::default() };
        let name = change(&mut played, operation);
        if stage.refuses == Some(name) {
            return Err(ExecError::Refused(format!("{name} is refused")));
        }
        let (before, after) = (json!(stage.fields), json!(played.fields));
        let receipt = Receipt { changed: before != after, detail: name.into(), before, after };
        Ok((!stage.cannot_rehearse).then_some(receipt))
    }

    fn happenings(&self) -> Option<broadcast::Receiver<Happening>> {
        self.stage().reports.as_ref().map(broadcast::Sender::subscribe)
    }

    async fn logs(&self, _: &Tenant, _: &ServiceName, _: usize) -> Result<Vec<LogLine>, ExecError> {
        Ok(Vec::new())
    }
}

fn change(stage: &mut Stage, operation: &Operation) -> &'static str {
    let fields = &mut stage.fields;
    let mut set = |name: String, value: Value| fields.insert(name, value);
    match operation {
        Operation::SetReplicas(n) => {
            set("replicas".into(), json!(n));
            set("ready_replicas".into(), json!(n));
            "scale"
        }
        Operation::SetRunning(run) => {
            set("running".into(), json!(run));
            set("ready_replicas".into(), json!(if *run { 2 } else { 0 }));
            "running"
        }
        Operation::Restart(count) => {
            set("restarts".into(), json!(count));
            "restart"
        }
        Operation::Deploy(version) => {
            set("version".into(), json!(version));
            "deploy"
        }
        Operation::Configure(values) => {
            for (key, value) in values {
                set(format!("config.{key}"), json!(value));
            }
            "configure"
        }
        Operation::SetBreaker(open) => {
            set("breaker".into(), json!(if *open { "open" } else { "closed" }));
            "breaker"
        }
        Operation::Shed { feature, shed } => {
            set(format!("feature.{feature}"), json!(if *shed { "shed" } else { "on" }));
            "feature"
        }
        Operation::RunScript { .. } => "script",
        Operation::Notify { .. } => "notify",
    }
}

#[async_trait]
impl Meter for FakeExecutor {
    async fn latest(&self, _: &Tenant, _: &ServiceName, metric: &str) -> Option<f64> {
        self.stage().metrics.get(metric).copied()
    }
}

/// Keeps exported checkpoints in memory.
#[derive(Clone, Default)]
pub(crate) struct KeptCheckpoints(pub(crate) Arc<Mutex<Vec<String>>>);

impl CheckpointSink for KeptCheckpoints {
    fn keep(&self, _: &Tenant, _: u64, note: &str) {
        self.0.lock().unwrap().push(note.to_owned());
    }
}

/// Ends the worker's task at a point, as if the process had died there.
pub(crate) struct DieAt {
    pub(crate) point: &'static str,
    pub(crate) died: AtomicBool,
}

impl DieAt {
    pub(crate) fn point(point: &'static str) -> Arc<Self> {
        Arc::new(Self { point, died: AtomicBool::new(false) })
    }
}

impl CrashPoints for DieAt {
    fn reached(&self, point: &'static str) {
        if point == self.point {
            self.died.store(true, Ordering::SeqCst);
            panic!("the process dies at {point}");
        }
    }
}

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Arc<CheckedStore>,
    pub(crate) pilot: Arc<Pilot>,
    pub(crate) executor: FakeExecutor,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fake_clock: Option<FakeClock>,
    pub(crate) kept: KeptCheckpoints,
    pub(crate) tenant: Tenant,
    pub(crate) admin: Caller,
    pub(crate) supervisor: Supervisor,
    keys: LogKeys,
}

pub(crate) fn service_name() -> ServiceName {
    "order-service".parse().unwrap()
}

pub(crate) fn service() -> Service {
    serde_json::from_value(json!({
        "name": "order-service", "group": "orders", "executor": "fake",
        "spec": {"scripts": {"reindex": {"command": ["true"]}}},
        "scaling": {"min_replicas": 1, "max_replicas": 20, "step_ms": 1000},
        "features": [{"name": "reviews", "path_prefix": "/reviews"},
                     {"name": "checkout", "path_prefix": "/checkout", "core": true}],
    }))
    .unwrap()
}

pub(crate) fn wish(kind: &str, params: Value) -> ActionWish {
    ActionWish { kind: KindName::new(kind), service: service_name(), params, expect: Vec::new() }
}

pub(crate) fn asked(actions: Vec<ActionWish>) -> Proposal {
    Proposal {
        story: None,
        origin: Origin::Request,
        reason: "a test asks for it".into(),
        findings: Vec::new(),
        actions,
        expires_in_ms: None,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Arc::new(NoCrashPoints), None).await
    }

    /// With time standing still until the test moves it.
    pub(crate) async fn at(now: Timestamp) -> Self {
        Self::with(Arc::new(NoCrashPoints), Some(FakeClock::at(now))).await
    }

    pub(crate) async fn with(points: Arc<dyn CrashPoints>, fake: Option<FakeClock>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("truth.db");
        let store = SqliteStore::open(&path, SqliteConfig::default()).unwrap();
        let store = Arc::new(CheckedStore::new(store));
        let clock: Arc<dyn Clock> = match &fake {
            Some(clock) => Arc::new(clock.clone()),
            None => SystemClock::shared(),
        };
        let key = oag_ledger::SigningKey::generate("test/default").unwrap();
        let keys = LogKeys::new("test", key.to_pkcs8().unwrap()).unwrap();
        let (executor, kept) = (FakeExecutor::default(), KeptCheckpoints::default());
        let tenant = Tenant::default_tenant();
        let parts = parts(&store, &clock, &executor, &kept, &keys, points);
        let pilot = Pilot::new(parts);
        pilot.take_over().await.unwrap();
        let secret = pilot.bootstrap(&tenant).await.unwrap().unwrap();
        let admin = pilot.authenticate(&tenant, secret.expose()).await.unwrap();
        pilot.put_service(&tenant, &admin, service(), None).await.unwrap();
        let supervisor = Supervisor::new(ShutdownHandle::new());
        Self {
            directory,
            store,
            pilot,
            executor,
            clock,
            fake_clock: fake,
            kept,
            tenant,
            admin,
            supervisor,
            keys,
        }
    }

    /// The next process on the same store: new epoch, empty memory, same world.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(Arc::new(NoCrashPoints)).await;
    }

    pub(crate) async fn restart_with(&mut self, points: Arc<dyn CrashPoints>) {
        self.supervisor.shutdown().begin();
        self.supervisor.drain(Duration::from_secs(5)).await;
        self.supervisor = Supervisor::new(ShutdownHandle::new());
        let store = &self.store;
        self.pilot =
            Pilot::new(parts(store, &self.clock, &self.executor, &self.kept, &self.keys, points));
        self.pilot.take_over().await.unwrap();
        assert_eq!(self.pilot.rebuild_index(&self.tenant).await.unwrap(), 0, "it was right");
        self.pilot.adopt_all(&self.tenant).await.unwrap();
    }

    /// The loop, asking.
    pub(crate) async fn looping(&self) -> Caller {
        Caller::of(self.pilot.loop_account(&self.tenant).await.unwrap())
    }

    pub(crate) fn start_worker(&self) {
        let work = Arc::clone(&self.pilot).work(self.tenant.clone(), self.supervisor.clone());
        self.supervisor.spawn("worker", TaskKind::Drains, OnError::Log, work);
    }

    pub(crate) async fn plan(&self, id: PlanId) -> PlanRecord {
        self.pilot.plan(&self.tenant, &self.admin, id).await.unwrap().value
    }

    /// Waits until the plan stands at one of these, and returns it.
    pub(crate) async fn until(&self, id: PlanId, phases: &[Phase]) -> PlanRecord {
        let deadline = std::time::Duration::from_secs(30);
        let wait = async {
            loop {
                let record = self.plan(id).await;
                if phases.contains(&record.phase) {
                    return record;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(deadline, wait).await {
            Ok(record) => record,
            Err(_) => panic!("not at {phases:?}: {:#?}", self.plan(id).await),
        }
    }

    /// Proposes, approves by a second person where the guard asks, and applies.
    pub(crate) async fn set_to_work(&self, actions: Vec<ActionWish>) -> PlanId {
        let (tenant, pilot) = (&self.tenant, &self.pilot);
        let plan = pilot.propose(tenant, &self.admin, asked(actions)).await.unwrap().value;
        let id = plan.id();
        let applied = pilot.apply(tenant, &self.admin, id, &plan.digest).await.unwrap();
        let mut phase = applied.value.phase;
        for name in ["second"] {
            if phase == Phase::AwaitingApproval {
                let person = self.person(name, Role::ADMIN).await;
                let approved = pilot.approve(tenant, &person, id, &plan.digest).await.unwrap();
                phase = approved.value.phase;
            }
        }
        assert_ne!(phase, Phase::AwaitingApproval, "{:#?}", self.plan(id).await.verdict);
        id
    }

    pub(crate) async fn person(&self, name: &str, role: &str) -> Caller {
        self.principal(name, PrincipalKind::Person, role, Scope::All).await
    }

    pub(crate) async fn principal(
        &self,
        name: &str,
        kind: PrincipalKind,
        role: &str,
        scope: Scope,
    ) -> Caller {
        let roles = vec![RoleBinding { role: Role::new(role), scope }];
        let wanted = NewPrincipal { kind, name: name.into(), roles };
        let made = self.pilot.create_principal(&self.tenant, &self.admin, wanted).await.unwrap();
        Caller::of(made.value)
    }

    pub(crate) async fn autonomy(&self, kind: &str, rung: Rung) {
        let kind = KindName::new(kind);
        self.pilot
            .set_autonomy(&self.tenant, &self.admin, &kind, rung, Rung::Automatic, "a test")
            .await
            .unwrap();
    }

    /// Kinds of the ledger rows about a subject, oldest first.
    pub(crate) async fn ledger_kinds(&self, subject: &str) -> Vec<String> {
        let rows = self.pilot.ledger_by_subject(&self.tenant, &self.admin, subject).await.unwrap();
        rows.into_iter().map(|row| row.kind).collect()
    }
}

/// The index of plans in hand was never other than the plans.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.store.wrong(), Vec::<String>::new());
        }
    }
}

fn parts(
    store: &Arc<CheckedStore>,
    clock: &Arc<dyn Clock>,
    executor: &FakeExecutor,
    kept: &KeptCheckpoints,
    keys: &LogKeys,
    crash_points: Arc<dyn CrashPoints>,
) -> PilotParts {
    PilotParts {
        store: Arc::clone(store) as Arc<dyn Store>,
        clock: Arc::clone(clock),
        ids: Arc::new(RandomIds),
        executors: vec![Arc::new(executor.clone())],
        meter: Arc::new(executor.clone()),
        log_keys: keys.clone(),
        checkpoints: Arc::new(kept.clone()),
        crash_points,
        config: PilotConfig { look_ms: 10, retry_ms: 1, ..PilotConfig::default() },
    }
}
