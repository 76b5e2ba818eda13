//! Proposals on trial: counted once, for the rung they were made on, and moving the ladder.

use oag_guard::{KillScope, Rung, TrackRecord};
use oag_pilot::{
    Caller, Claim, Fact, Fate, Figures, Foretold, Hindsight, Phase, PlanRecord, Rehearsal, Trial,
};
use oag_types::{Comparison, KindName, Origin, Timestamp};
use serde_json::json;

use crate::world::{World, asked, service_name, wish};

const START: i64 = 1_795_000_000_000;

fn scale() -> KindName {
    KindName::new("scale")
}

fn claim() -> Claim {
    let figures = Figures {
        metric: "request_rate".into(),
        limit: 680.0,
        foretold: Foretold::Passes,
        enough: Some(800.0),
        proves: true,
        rests_on: None,
    };
    Claim {
        action: 0,
        service: service_name(),
        like: Some(Fact::new("replicas", Comparison::Ge, 4)),
        figures: Some(figures),
        step_ms: 1_000,
        steps: 10,
    }
}

async fn propose(world: &World) -> PlanRecord {
    let mut proposal = asked(vec![wish("scale", json!({"replicas": 4}))]);
    proposal.origin = Origin::Loop;
    let looping: Caller = world.looping().await;
    let pilot = &world.pilot;
    pilot.propose_on_trial(&world.tenant, &looping, proposal, vec![claim()]).await.unwrap().value
}

async fn trial(world: &World, plan: &PlanRecord) -> Trial {
    let trials = world.pilot.trials(&world.tenant, Some(plan.id())).await.unwrap();
    assert_eq!(trials.len(), 1);
    trials.into_iter().next().unwrap()
}

fn seen(right: Option<bool>) -> Hindsight {
    Hindsight { right, text: "load reached 900".into(), values: Vec::new() }
}

impl World {
    async fn record(&self) -> (Rung, TrackRecord) {
        let book = self.pilot.book(&self.tenant, &self.admin).await.unwrap().value;
        let entry = book.ladder.entry(&scale());
        (entry.rung, entry.record)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_climbs_by_what_came_and_stops_below_acting_by_itself() {
    let world = World::at(Timestamp::from_millis(START)).await;
    let mut rungs = Vec::new();
    for _ in 0..50 {
        let plan = propose(&world).await;
        assert_eq!(plan.phase, Phase::Proposed, "nothing is done on these rungs");
        let trial = trial(&world, &plan).await;
        assert_eq!(trial.rung, world.record().await.0);
        assert_eq!(trial.rehearsal.is_some(), trial.rung == Rung::DryRun);
        let change = world.pilot.end_trial(&world.tenant, &trial, &seen(Some(true))).await.unwrap();
        rungs.extend(change.map(|change| change.to));
        world.fake_clock.as_ref().unwrap().advance(1_000);
    }
    assert_eq!(rungs, [Rung::DryRun, Rung::Approve]);
    assert_eq!(world.executor.effects("scale"), 0);
    assert_eq!(world.ledger_kinds("kind:scale").await, ["autonomy", "autonomy"]);
    let notices = world.pilot.notifications(&world.tenant, &world.admin, Default::default()).await;
    let told = notices.unwrap().items.into_iter().filter(|n| n.value.message.contains("'scale'"));
    assert_eq!(told.count(), 2, "people are told of each rung");

    let plan = propose(&world).await;
    assert_eq!(plan.phase, Phase::AwaitingApproval, "from here people decide");
    assert!(world.pilot.trials(&world.tenant, None).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_counts_once_and_stands_in_its_story() {
    let mut world = World::new().await;
    let plan = propose(&world).await;
    let trial = trial(&world, &plan).await;
    assert_eq!(trial.due_at().as_millis() % 1_000, 0, "at the end of a step");
    // The next process finds it, and hears of its end twice.
    world.restart().await;
    assert_eq!(
        world.pilot.trials(&world.tenant, None).await.unwrap(),
        std::slice::from_ref(&trial)
    );
    for _ in 0..2 {
        world.pilot.end_trial(&world.tenant, &trial, &seen(Some(false))).await.unwrap();
    }
    let counted = TrackRecord { proposals: 1, ..TrackRecord::default() };
    assert_eq!(world.record().await, (Rung::Observe, counted));
    let kinds = world.ledger_kinds(&plan.id().to_string()).await;
    assert_eq!(kinds, ["plan", "hindsight"]);
    let story = plan.sealed.plan().story;
    let story = world.pilot.story(&world.tenant, &world.admin, story).await.unwrap();
    assert!(story.ledger.iter().any(|row| row.kind == "hindsight"));

    let plan = propose(&world).await;
    let untold = self::trial(&world, &plan).await;
    world.pilot.end_trial(&world.tenant, &untold, &seen(None)).await.unwrap();
    assert_eq!(world.record().await.1.proposals, 1, "what cannot be told is not counted");
    assert!(world.pilot.trials(&world.tenant, None).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_of_before_a_change_of_rung_is_no_part_of_the_new_record() {
    let world = World::at(Timestamp::from_millis(START)).await;
    let (first, second) = (propose(&world).await, propose(&world).await);
    world.fake_clock.as_ref().unwrap().advance(10);
    world.autonomy("scale", Rung::DryRun).await;
    let ended = trial(&world, &first).await;
    world.pilot.end_trial(&world.tenant, &ended, &seen(Some(true))).await.unwrap();
    world.autonomy("scale", Rung::Observe).await;
    let ended = trial(&world, &second).await;
    world.pilot.end_trial(&world.tenant, &ended, &seen(Some(true))).await.unwrap();
    assert_eq!(world.record().await, (Rung::Observe, TrackRecord::default()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_asks_the_executor_and_changes_nothing() {
    let world = World::new().await;
    world.autonomy("scale", Rung::DryRun).await;
    let plan = propose(&world).await;
    let clean = trial(&world, &plan).await.rehearsal.unwrap();
    let Rehearsal::Clean(receipt) = &clean else { panic!("{clean:?}") };
    assert_eq!(receipt.after["replicas"], json!(4));
    assert_eq!(world.executor.stage().fields["replicas"], json!(2));
    assert_eq!(world.executor.effects("scale"), 0);
    let action = plan.sealed.plan().actions[0].id.to_string();
    assert_eq!(world.ledger_kinds(&action).await, ["dry_run"]);
    assert_eq!(world.record().await.1, TrackRecord::default(), "a draft alone proves nothing");

    world.executor.stage().refuses = Some("scale");
    let refused = trial(&world, &propose(&world).await).await.rehearsal.unwrap();
    assert_eq!(refused, Rehearsal::Fault("scale is refused".into()));
    world.executor.stage().refuses = None;
    world.executor.stage().cannot_rehearse = true;
    let untold = trial(&world, &propose(&world).await).await.rehearsal.unwrap();
    assert!(matches!(&untold, Rehearsal::Untold(why) if why.contains("cannot rehearse")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_could_not_be_seen_is_no_clean_dry_run() {
    let world = World::new().await;
    world.autonomy("scale", Rung::DryRun).await;
    let unseen = async |metric: &str| {
        let mut wish = wish("scale", json!({"replicas": 4}));
        wish.expect.push(oag_types::Expectation {
            observe: oag_types::Observable::Metric(metric.into()),
            is: Comparison::Le,
            value: json!(0.85),
            within_ms: 100,
            hold_ms: 0,
        });
        let proposal = oag_pilot::Proposal { origin: Origin::Loop, ..asked(vec![wish]) };
        let looping = world.looping().await;
        let made =
            world.pilot.propose_on_trial(&world.tenant, &looping, proposal, vec![claim()]).await;
        trial(&world, &made.unwrap().value).await.rehearsal.unwrap()
    };
    world.executor.stage().metrics.insert("utilisation".into(), 0.5);
    assert!(matches!(unseen("utilisation").await, Rehearsal::Clean(_)));
    let fault = unseen("tears_of_joy").await;
    assert!(matches!(&fault, Rehearsal::Fault(why) if why.contains("cannot be seen")), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_did_with_a_proposal_is_known() {
    let world = World::new().await;
    let (tenant, pilot) = (&world.tenant, &world.pilot);
    let approved = propose(&world).await;
    assert_eq!(pilot.fate(tenant, approved.id()).await.unwrap(), Fate::Waiting);
    pilot.approve(tenant, &world.admin, approved.id(), &approved.digest).await.unwrap();
    assert_eq!(pilot.fate(tenant, approved.id()).await.unwrap(), Fate::Approved);
    let rejected = propose(&world).await;
    pilot.cancel(tenant, &world.admin, rejected.id(), "no").await.unwrap();
    assert_eq!(pilot.fate(tenant, rejected.id()).await.unwrap(), Fate::Rejected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guard_denies_is_not_tried() {
    let world = World::new().await;
    let (tenant, admin, pilot) = (&world.tenant, &world.admin, &world.pilot);
    pilot.set_kill_switch(tenant, admin, true, KillScope::All, "trouble".into()).await.unwrap();
    assert_eq!(propose(&world).await.phase, Phase::Denied);
    assert!(pilot.trials(tenant, None).await.unwrap().is_empty());
}
