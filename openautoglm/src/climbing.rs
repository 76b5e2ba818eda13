//! The ladder in the running loop: the loop, the pilot and the store as they are joined, over
//! simulated time, with an executor in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use oag_ledger::SigningKey;
use oag_ops::{Desk, HubConfig, Ops, OpsConfig, OpsParts, SignalHub};
use oag_pilot::{
    Caller, CheckpointSink, ExecError, Executor, LogKeys, LogLine, Mandate, NoCrashPoints,
    Observed, Operation, PageRequest, Phase, Pilot, PilotConfig, PilotParts, PlanFilter,
    PlanRecord,
};
use oag_runtime::{Clock, FakeClock, OnError, RandomIds, ShutdownHandle, Supervisor, TaskKind};
use oag_store::{SqliteConfig, SqliteStore};
use oag_types::{
    KindName, Problem, Receipt, Sample, SeriesKey, Service, ServiceName, Signal, Tenant, Timestamp,
};
use serde_json::{Value, json};

use crate::wiring::{HubMeter, LoopDesk};

const STEP_MS: i64 = 30_000;

/// Four replicas at first; what is asked for is there at once.
#[derive(Clone, Default)]
struct Stage(Arc<Mutex<BTreeMap<String, Value>>>);

impl Stage {
    fn replicas(&self) -> u64 {
        self.0.lock().unwrap()["replicas"].as_u64().unwrap()
    }
}

#[async_trait]
impl Executor for Stage {
    fn name(&self) -> &str {
        "stage"
    }

    fn check(&self, _: &Service) -> Result<(), Problem> {
        Ok(())
    }

    async fn adopt(&self, _: &Tenant, _: &Service) -> Result<(), ExecError> {
        let fields =
            [("replicas", json!(4)), ("ready_replicas", json!(4)), ("running", json!(true))];
        self.0.lock().unwrap().extend(fields.map(|(name, value)| (name.to_owned(), value)));
        Ok(())
    }

    async fn forget(&self, _: &Tenant, _: &ServiceName) -> Result<(), ExecError> {
        Ok(())
    }

    async fn observe(&self, _: &Tenant, _: &ServiceName) -> Result<Observed, ExecError> {
        Ok(Observed { revision: self.replicas(), fields: self.0.lock().unwrap().clone() })
    }

    async fn apply(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        operation: &Operation,
        _: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        let receipt = self.rehearse(tenant, service, operation).await?;
        let Some(receipt) = receipt else { return Err(ExecError::Refused("no".to_owned())) };
        let replicas = receipt.after["replicas"].clone();
        self.0.lock().unwrap().insert("ready_replicas".to_owned(), replicas.clone());
        self.0.lock().unwrap().insert("replicas".to_owned(), replicas);
        Ok(receipt)
    }

    async fn rehearse(
        &self,
        _: &Tenant,
        _: &ServiceName,
        operation: &Operation,
    ) -> Result<Option<Receipt>, ExecError> {
        let Operation::SetReplicas(to) = operation else { return Ok(None) };
        let from = self.replicas();
        let (before, after) = (json!({"replicas": from}), json!({"replicas": to}));
        let changed = from != u64::from(*to);
        Ok(Some(Receipt { changed, detail: String::new(), before, after }))
    }

    async fn logs(&self, _: &Tenant, _: &ServiceName, _: usize) -> Result<Vec<LogLine>, ExecError> {
        Ok(Vec::new())
    }
}

impl CheckpointSink for Stage {
    fn keep(&self, _: &Tenant, _: u64, _: &str) {}
}

struct House {
    _directory: tempfile::TempDir,
    clock: FakeClock,
    stage: Stage,
    pilot: Arc<Pilot>,
    ops: Ops,
    admin: Caller,
    tenant: Tenant,
}

impl House {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(directory.path().join("truth.db"), SqliteConfig::default()).unwrap();
        let clock = FakeClock::at(Timestamp::from_millis(1_795_000_020_000));
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let hub = Arc::new(SignalHub::new(HubConfig::default(), Arc::clone(&time), None));
        let (stage, tenant) = (Stage::default(), Tenant::default_tenant());
        let key = SigningKey::generate("test/default").unwrap();
        let pilot = Pilot::new(PilotParts {
            store: Arc::new(store),
            clock: Arc::clone(&time),
            ids: Arc::new(RandomIds),
            executors: vec![Arc::new(stage.clone())],
            meter: Arc::new(HubMeter { hub: Arc::clone(&hub), clock: Arc::clone(&time) }),
            log_keys: LogKeys::new("test", key.to_pkcs8().unwrap()).unwrap(),
            checkpoints: Arc::new(stage.clone()),
            crash_points: Arc::new(NoCrashPoints),
            config: PilotConfig { look_ms: 10, ..PilotConfig::default() },
        });
        pilot.take_over().await.unwrap();
        let secret = pilot.bootstrap(&tenant).await.unwrap().unwrap();
        let admin = pilot.authenticate(&tenant, secret.expose()).await.unwrap();
        let service = json!({
            "name": "shop", "group": "shops", "executor": "stage", "spec": {},
            "scaling": {"min_replicas": 4, "max_replicas": 20, "step_ms": STEP_MS,
                "capacity_per_replica": 200.0},
        });
        let service = serde_json::from_value(service).unwrap();
        pilot.put_service(&tenant, &admin, service, None).await.unwrap();
        let desk = LoopDesk { pilot: Arc::clone(&pilot), tenant: tenant.clone() };
        let ops = Ops::new(OpsParts {
            hub,
            desk: Arc::new(desk) as Arc<dyn Desk>,
            clock: time,
            ids: Arc::new(RandomIds),
            config: OpsConfig::default(),
        });
        Self { _directory: directory, clock, stage, pilot, ops, admin, tenant }
    }

    /// One step of the service with so many requests a second.
    async fn step(&self, load: f64) {
        let at = self.clock.now();
        let key = SeriesKey::of_service("request_rate", &"shop".parse().unwrap());
        let signal = Signal { key, sample: Sample { at, value: load } };
        self.ops.hub().ingest(&self.tenant, &[signal]);
        self.ops.step(&self.tenant, at).await.unwrap();
        self.pilot.expire_plans(&self.tenant).await.unwrap();
        self.clock.advance(STEP_MS);
    }

    async fn ladder(&self) -> Value {
        let book = self.pilot.book(&self.tenant, &self.admin).await.unwrap().value;
        serde_json::to_value(book.ladder.entry(&KindName::new("scale"))).unwrap()
    }

    async fn newest_plan(&self) -> PlanRecord {
        let page = PageRequest { after: None, limit: 1 };
        let (filter, pilot) = (PlanFilter::default(), &self.pilot);
        let plans = pilot.plans(&self.tenant, &self.admin, filter, page).await.unwrap();
        plans.items.into_iter().next().unwrap().value
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_climbs_by_what_came_until_people_have_to_agree() {
    let house = House::new().await;
    let mut rungs = vec!["observe".to_owned()];
    for _ in 0..1_200 {
        house.step(900.0).await;
        let rung = house.ladder().await["rung"].as_str().unwrap().to_owned();
        if *rungs.last().unwrap() != rung {
            rungs.push(rung);
        }
        if rungs.len() == 3 {
            break;
        }
    }
    assert_eq!(rungs, ["observe", "dry_run", "approve"], "{}", house.ladder().await);
    assert_eq!(house.stage.replicas(), 4, "nothing was done on the way");
    let counted = house.ops.counters();
    assert_eq!((counted.proved_right, counted.proved_wrong), (50, 0), "{counted:?}");
    let rows = house.pilot.ledger_by_subject(&house.tenant, &house.admin, "kind:scale").await;
    let reasons: Vec<_> =
        rows.unwrap().into_iter().map(|row| row.payload["reason"].clone()).collect();
    let reason = |at: usize| reasons[at].as_str().unwrap();
    assert!(reason(0).starts_with("25 of 25 proposals right"), "{reasons:?}");
    assert!(reason(1).starts_with("25 of 25 dry runs clean"), "{reasons:?}");

    // From here on people are asked, and what is done is verified.
    for _ in 0..25 {
        if house.newest_plan().await.phase == Phase::AwaitingApproval {
            break;
        }
        house.step(900.0).await;
    }
    let plan = house.newest_plan().await;
    assert_eq!(plan.phase, Phase::AwaitingApproval);
    let supervisor = Supervisor::new(ShutdownHandle::new());
    let work = Arc::clone(&house.pilot).work(house.tenant.clone(), supervisor.clone());
    supervisor.spawn("worker", TaskKind::Drains, OnError::Log, work);
    let (pilot, tenant, admin) = (&house.pilot, &house.tenant, &house.admin);
    pilot.approve(tenant, admin, plan.id(), &plan.digest).await.unwrap();
    let verified = async || house.ladder().await["record"]["verified"] == json!(1);
    oag_testkit::wait_until(
        "the plan is verified",
        std::time::Duration::from_secs(30),
        async || verified().await.then_some(()),
    )
    .await
    .unwrap();
    assert_eq!(house.stage.replicas(), 6);
    supervisor.shutdown().begin();
    supervisor.drain(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_is_wrong_stays_where_it_is() {
    let house = House::new().await;
    // A blip every eleven minutes: each time capacity is asked for that nobody needs afterwards.
    for step in 0..700 {
        house.step(if step % 22 == 12 { 900.0 } else { 300.0 }).await;
    }
    let ladder = house.ladder().await;
    assert_eq!(ladder["rung"], "observe", "{ladder}");
    let counted = house.ops.counters();
    assert!(counted.proved_wrong >= 20, "{counted:?}");
    assert!(ladder["record"]["proposals"].as_u64().unwrap() >= 20, "{ladder}");
}
