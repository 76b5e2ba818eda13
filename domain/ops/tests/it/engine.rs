//! The loop against a desk that writes everything down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use oag_ops::{
    ActivePlan, Desk, HubConfig, Ops, OpsConfig, OpsParts, SignalHub, Source, SourceError,
};
use oag_pilot::{Meter, Observed, Proposal};
use oag_runtime::{Clock, FakeClock, SeededIds, ShutdownHandle, Supervisor};
use oag_types::{
    Code, Finding, PlanId, Problem, Sample, SeriesKey, Service, ServiceName, Signal, StoryId,
    Tenant, Timestamp,
};

use crate::support::*;

#[derive(Default)]
struct Book {
    services: Mutex<Vec<Service>>,
    replicas: Mutex<u32>,
    active: Mutex<Option<ActivePlan>>,
    findings: Mutex<Vec<Finding>>,
    closed: Mutex<Vec<(StoryId, String)>>,
    proposals: Mutex<Vec<(Proposal, Vec<Finding>)>>,
    broken: AtomicBool,
    refuses: AtomicBool,
}

impl Book {
    fn broken(&self) -> Result<(), Problem> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Problem::new(Code::STORE_UNAVAILABLE, "away"));
        }
        Ok(())
    }
}

#[async_trait]
impl Desk for Book {
    async fn tenants(&self) -> Result<Vec<Tenant>, Problem> {
        Ok(vec![Tenant::default_tenant()])
    }

    async fn services(&self, _: &Tenant) -> Result<Vec<Service>, Problem> {
        Ok(self.services.lock().unwrap().clone())
    }

    async fn observe(&self, _: &Tenant, _: &Service) -> Option<Observed> {
        let replicas = *self.replicas.lock().unwrap();
        Some(observed(replicas, replicas))
    }

    async fn active_plan(
        &self,
        _: &Tenant,
        _: &ServiceName,
    ) -> Result<Option<ActivePlan>, Problem> {
        Ok(*self.active.lock().unwrap())
    }

    async fn record_findings(&self, _: &Tenant, findings: Vec<Finding>) -> Result<(), Problem> {
        self.broken()?;
        self.findings.lock().unwrap().extend(findings);
        Ok(())
    }

    async fn close_story(&self, _: &Tenant, story: StoryId, note: String) -> Result<(), Problem> {
        self.closed.lock().unwrap().push((story, note));
        Ok(())
    }

    async fn propose(
        &self,
        _: &Tenant,
        proposal: Proposal,
        findings: Vec<Finding>,
    ) -> Result<PlanId, Problem> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Problem::new(Code::GUARD_DENIED, "no"));
        }
        self.proposals.lock().unwrap().push((proposal, findings));
        Ok(PlanId::from_uuid(Default::default()))
    }
}

struct Setup {
    ops: Arc<Ops>,
    book: Arc<Book>,
    clock: FakeClock,
    tenant: Tenant,
}

fn setup() -> Setup {
    let clock = FakeClock::at(now());
    let book = Arc::new(Book::default());
    let mut order = service("order");
    order.scaling.min_replicas = 4;
    book.services.lock().unwrap().push(order);
    *book.replicas.lock().unwrap() = 4;
    let hub = Arc::new(SignalHub::new(HubConfig::default(), Arc::new(clock.clone()), None));
    let ops = Arc::new(Ops::new(OpsParts {
        hub,
        desk: Arc::clone(&book) as _,
        clock: Arc::new(clock.clone()),
        ids: Arc::new(SeededIds::new(1)),
        config: OpsConfig::default(),
    }));
    Setup { ops, book, clock, tenant: Tenant::default_tenant() }
}

impl Setup {
    /// One step of load on the service's replicas.
    async fn step(&self, load: f64) -> oag_ops::StepReport {
        let replicas = f64::from(*self.book.replicas.lock().unwrap());
        let at = self.clock.now();
        let signals =
            [("request_rate", load), ("utilisation", (load / (replicas * 200.0)).min(1.0))];
        let signals = signals.map(|(metric, value)| Signal {
            key: SeriesKey::of_service(metric, &name("order")),
            sample: Sample { at, value },
        });
        self.ops.hub().ingest(&self.tenant, &signals);
        let report = self.ops.step(&self.tenant, at).await.unwrap();
        self.clock.advance(STEP_MS);
        report
    }
}

#[tokio::test]
async fn a_finding_is_told_once_and_closed_when_it_is_over() {
    let setup = setup();
    for _ in 0..12 {
        let report = setup.step(400.0).await;
        assert_eq!((report.due, report.findings.len()), (1, 0));
    }
    for _ in 0..3 {
        setup.step(900.0).await;
    }
    let (findings, proposals) = {
        let findings = setup.book.findings.lock().unwrap();
        (findings.clone(), setup.book.proposals.lock().unwrap().clone())
    };
    let kinds: Vec<_> = findings.iter().map(|f| format!("{:?}", f.kind)).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "Overload").count(), 1, "{kinds:?}");
    // The same wish is not repeated while it is in the desk's hands; a larger one is.
    assert!((1..=3).contains(&proposals.len()));
    let (proposal, answered) = &proposals[0];
    assert_eq!(proposal.findings, [answered[0].id]);
    assert_eq!(proposal.story, Some(findings[0].story));
    assert_eq!(proposal.actions[0].kind.as_str(), "scale");
    assert!(proposal.reason.contains("ceil("));
    *setup.book.replicas.lock().unwrap() = 10;
    for _ in 0..6 {
        setup.step(900.0).await;
    }
    let closed = setup.book.closed.lock().unwrap().clone();
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0].0, findings[0].story);
    assert!(closed[0].1.contains("over after"), "{closed:?}");
    let counters = setup.ops.counters();
    assert_eq!(counters.open_findings, 0);
    assert!(counters.findings >= 1 && counters.findings == counters.closed);
    let snapshot = setup.ops.snapshot(&setup.tenant, &name("order")).unwrap();
    assert_eq!(snapshot.wanted(), Some(10));
    assert!(snapshot.last_up_at.is_some());
}

#[tokio::test]
async fn a_step_only_looks_at_what_is_due() {
    let setup = setup();
    assert_eq!(setup.step(100.0).await.due, 1);
    setup.clock.advance(-STEP_MS / 2);
    let report = setup.ops.step(&setup.tenant, setup.clock.now()).await.unwrap();
    assert_eq!(report.due, 0);
    // Steps that were missed are counted, not made up for.
    setup.clock.advance(5 * STEP_MS);
    assert_eq!(setup.step(100.0).await.due, 1);
    assert!(setup.ops.counters().skipped >= 3);
    assert_eq!(setup.ops.counters().decisions, 2);
    // A clock that was set back does not silence the service.
    setup.clock.advance(-100 * STEP_MS);
    let report = setup.ops.step(&setup.tenant, setup.clock.now()).await.unwrap();
    assert_eq!(report.due, 1);
}

#[tokio::test]
async fn what_could_not_be_recorded_is_told_again_and_nothing_is_done_on_it() {
    let setup = setup();
    setup.book.broken.store(true, Ordering::SeqCst);
    let report = setup.step(900.0).await;
    assert!(report.findings.is_empty() && report.plans.is_empty());
    assert!(!report.decision.proposals.is_empty());
    setup.book.broken.store(false, Ordering::SeqCst);
    let report = setup.step(900.0).await;
    assert_eq!((report.findings.len(), report.plans.len()), (1, 1));
}

#[tokio::test]
async fn a_refused_proposal_is_not_repeated_each_step() {
    let setup = setup();
    setup.book.refuses.store(true, Ordering::SeqCst);
    for _ in 0..8 {
        setup.step(2_000.0).await;
    }
    let counters = setup.ops.counters();
    assert!(counters.refused <= 3, "{counters:?}");
    assert!(counters.held_back >= 5, "{counters:?}");
}

#[tokio::test]
async fn a_service_that_leaves_the_catalogue_takes_its_story_along() {
    let setup = setup();
    setup.step(900.0).await;
    setup.book.services.lock().unwrap().clear();
    setup.step(900.0).await;
    assert_eq!(setup.book.closed.lock().unwrap().len(), 1);
    assert!(setup.ops.snapshot(&setup.tenant, &name("order")).is_none());
}

#[tokio::test]
async fn the_meter_gives_fresh_values_only() {
    let setup = setup();
    setup.step(300.0).await;
    let latest = |metric: &'static str| {
        let ops = Arc::clone(&setup.ops);
        let tenant = setup.tenant.clone();
        async move { ops.latest(&tenant, &name("order"), metric).await }
    };
    assert_eq!(latest("request_rate").await, Some(300.0));
    assert_eq!(latest("nothing").await, None);
    setup.clock.advance(2 * STEP_MS);
    assert_eq!(latest("request_rate").await, None);
}

struct Feed {
    slow: bool,
}

#[async_trait]
impl Source for Feed {
    fn name(&self) -> &str {
        if self.slow { "slow" } else { "feed" }
    }

    fn interval_ms(&self) -> i64 {
        1_000
    }

    async fn collect(&self, at: Timestamp) -> Result<Vec<Signal>, SourceError> {
        if self.slow {
            std::future::pending::<()>().await;
        }
        let key = SeriesKey::of_service("request_rate", &name("order"));
        Ok(vec![Signal { key, sample: Sample { at, value: 1.0 } }])
    }
}

#[tokio::test(start_paused = true)]
async fn sources_are_asked_at_their_interval_and_a_slow_one_holds_up_nothing() {
    let setup = setup();
    let supervisor = Supervisor::new(ShutdownHandle::new());
    let sources: Vec<Arc<dyn Source>> =
        vec![Arc::new(Feed { slow: true }), Arc::new(Feed { slow: false })];
    setup.ops.run_sources(&setup.tenant, sources, &supervisor);
    setup.ops.start(&supervisor);
    tokio::time::sleep(std::time::Duration::from_millis(21_500)).await;
    let counters = setup.ops.counters();
    assert_eq!((counters.collected, counters.source_errors), (22, 2));
    assert!(counters.steps >= 20);
    supervisor.shutdown().begin();
    assert!(supervisor.drain(std::time::Duration::from_secs(5)).await.is_empty());
}
