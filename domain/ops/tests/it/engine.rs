//! The loop against a desk that writes everything down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use oag_guard::Rung;
use oag_ops::{
    ActivePlan, Desk, HubConfig, Ops, OpsConfig, OpsParts, SignalHub, Source, SourceError,
};
use oag_pilot::{Claim, Fate, Hindsight, Meter, Observed, Proposal, Trial};
use oag_runtime::{Clock, FakeClock, SeededIds, ShutdownHandle, Supervisor};
use oag_types::{
    ActionId, Code, Finding, PlanId, Problem, Sample, SeriesKey, Service, ServiceName, Signal,
    StoryId, Tenant, Timestamp,
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
    trials: Mutex<Vec<Trial>>,
    ended: Mutex<Vec<(Trial, Hindsight)>>,
    fate: Mutex<Option<Fate>>,
    now: Mutex<Timestamp>,
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
        claims: Vec<Claim>,
    ) -> Result<PlanId, Problem> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Problem::new(Code::GUARD_DENIED, "no"));
        }
        let count = self.proposals.lock().unwrap().len();
        let plan: PlanId = format!("{}_{count:032x}", PlanId::PREFIX).parse().unwrap();
        self.trials.lock().unwrap().extend(claims.into_iter().map(|claim| Trial {
            plan,
            action: ActionId::from_uuid(plan.uuid()),
            kind: proposal.actions[claim.action].kind.clone(),
            rung: Rung::Observe,
            made_at: *self.now.lock().unwrap(),
            claim,
            rehearsal: None,
        }));
        self.proposals.lock().unwrap().push((proposal, findings));
        Ok(plan)
    }

    async fn trials(&self, _: &Tenant, plan: Option<PlanId>) -> Result<Vec<Trial>, Problem> {
        self.broken()?;
        let mut trials = self.trials.lock().unwrap().clone();
        trials.retain(|trial| plan.is_none_or(|plan| trial.plan == plan));
        Ok(trials)
    }

    async fn fate(&self, _: &Tenant, _: PlanId) -> Result<Fate, Problem> {
        self.broken()?;
        Ok(self.fate.lock().unwrap().unwrap_or(Fate::Waiting))
    }

    async fn end_trial(&self, _: &Tenant, trial: &Trial, what: &Hindsight) -> Result<(), Problem> {
        self.trials.lock().unwrap().retain(|known| known.plan != trial.plan);
        self.ended.lock().unwrap().push((trial.clone(), what.clone()));
        Ok(())
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
        *self.book.now.lock().unwrap() = at;
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

impl Setup {
    async fn calm(&self) {
        for _ in 0..12 {
            self.step(400.0).await;
        }
        assert!(self.book.proposals.lock().unwrap().is_empty());
    }

    /// What looking back on the first proposal showed, when it has.
    fn first_ended(&self) -> Option<(Claim, Hindsight)> {
        let ended = self.book.ended.lock().unwrap();
        ended.first().map(|(trial, hindsight)| (trial.claim.clone(), hindsight.clone()))
    }
}

#[tokio::test]
async fn a_proposal_is_looked_back_on_when_its_time_is_over() {
    let setup = setup();
    setup.calm().await;
    setup.step(900.0).await;
    assert_eq!(setup.ops.counters().open_trials, 1);
    for _ in 0..10 {
        setup.step(700.0).await;
        assert_eq!(setup.first_ended(), None, "its time is not over");
    }
    setup.step(700.0).await;
    setup.step(700.0).await;
    let (claim, seen) = setup.first_ended().unwrap();
    let figures = claim.figures.unwrap();
    assert_eq!((figures.metric.as_str(), figures.limit.round()), ("request_rate", 680.0));
    assert_eq!(figures.enough, Some(1_200.0), "ceil(900 / 170) = 6 replicas of 200");
    assert_eq!(claim.steps, 10);
    assert_eq!((seen.right, seen.values.len()), (Some(true), 10), "{}", seen.text);
    assert_eq!(setup.ops.counters().proved_right, 1);
}

#[tokio::test]
async fn a_proposal_for_a_moment_that_passed_was_wrong() {
    let setup = setup();
    setup.calm().await;
    setup.step(900.0).await;
    for _ in 0..13 {
        setup.step(400.0).await;
    }
    let (_, seen) = setup.first_ended().unwrap();
    assert_eq!(seen.right, Some(false), "{}", seen.text);
    assert!(setup.ops.counters().proved_wrong >= 1);
}

#[tokio::test]
async fn a_removal_is_measured_by_what_its_plan_promises() {
    let setup = setup();
    *setup.book.replicas.lock().unwrap() = 10;
    for _ in 0..60 {
        setup.step(400.0).await;
        if setup.ops.counters().open_trials > 0 {
            break;
        }
    }
    let claim = setup.book.trials.lock().unwrap()[0].claim.clone();
    let wish = setup.book.proposals.lock().unwrap()[0].0.actions[0].clone();
    let (left, figures) = (wish.params["replicas"].as_u64().unwrap(), claim.figures.unwrap());
    assert!(left < 10 && claim.like.is_none(), "{wish:?}");
    let share = wish.expect[0].value.as_f64().unwrap();
    assert!((figures.limit - share * 200.0 * left as f64).abs() < 1e-6, "{figures:?} {wish:?}");
    for _ in 0..12 {
        setup.step(400.0).await;
    }
    let (_, seen) = setup.first_ended().unwrap();
    assert_eq!(seen.right, Some(true), "{}", seen.text);
    assert!(seen.text.contains("stayed within"), "{}", seen.text);
}

#[tokio::test]
async fn a_person_who_does_what_was_proposed_shows_at_once_that_it_was_right() {
    let setup = setup();
    setup.calm().await;
    setup.step(900.0).await;
    *setup.book.replicas.lock().unwrap() = 5;
    setup.step(400.0).await;
    assert_eq!(setup.first_ended(), None, "five are fewer than were proposed");
    *setup.book.replicas.lock().unwrap() = 6;
    setup.step(400.0).await;
    let (_, seen) = setup.first_ended().unwrap();
    assert_eq!(seen.right, Some(true), "{}", seen.text);
}

#[tokio::test]
async fn silence_after_a_proposal_is_not_counted_and_trials_wait_for_a_desk_that_is_away() {
    let setup = setup();
    setup.calm().await;
    setup.step(900.0).await;
    setup.clock.advance(12 * STEP_MS);
    setup.book.broken.store(true, Ordering::SeqCst);
    setup.step(400.0).await;
    assert_eq!(setup.first_ended(), None);
    setup.book.broken.store(false, Ordering::SeqCst);
    setup.step(400.0).await;
    let (_, seen) = setup.first_ended().unwrap();
    assert_eq!(seen.right, None, "{}", seen.text);
    assert_eq!(setup.ops.counters().proved_nothing, 1);
}

#[tokio::test]
async fn trials_of_before_the_start_are_watched_and_those_of_services_that_left_are_ended() {
    let first = setup();
    first.calm().await;
    first.step(900.0).await;
    let mut left = first.book.trials.lock().unwrap()[0].clone();
    left.claim.service = name("gone");
    left.action = format!("{}_{:032x}", ActionId::PREFIX, 9).parse().unwrap();
    left.plan = format!("{}_{:032x}", PlanId::PREFIX, 9).parse().unwrap();
    let (kept, next) = (first.book.trials.lock().unwrap()[0].clone(), setup());
    *next.book.trials.lock().unwrap() = vec![kept, left];
    next.step(400.0).await;
    let (claim, seen) = next.first_ended().unwrap();
    assert_eq!((claim.service, seen.right), (name("gone"), None));
    assert_eq!(next.ops.counters().open_trials, 1);
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
