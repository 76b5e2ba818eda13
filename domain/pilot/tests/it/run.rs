//! Plans that run: verified, undone, superseded, stopped, expired.

use oag_guard::{KillScope, Rung};
use oag_pilot::{ExecError, InHand, Phase, StepPhase};
use oag_types::{Code, Comparison, Expectation, Observable, Origin, Timestamp};
use serde_json::json;

use crate::world::{World, asked, service_name, wish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_runs_is_verified_and_stands_on_the_ledger_twice() {
    let world = World::new().await;
    let id = world.set_to_work(vec![wish("scale", json!({"replicas": 4}))]).await;
    world.start_worker();
    let record = world.until(id, &[Phase::Succeeded]).await;
    assert_eq!(record.steps[0].phase, StepPhase::Verified);
    let action = record.sealed.plan().actions[0].id.to_string();
    assert_eq!(world.ledger_kinds(&action).await, ["intent", "outcome"]);
    let story = record.sealed.plan().story;
    let view = world.pilot.story(&world.tenant, &world.admin, story).await.unwrap();
    assert_eq!(view.plans.len(), 1);
    assert!(view.ledger.len() >= 4, "plan rows and action rows belong to the story");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_that_is_not_kept_is_undone_and_costs_a_rung() {
    let world = World::new().await;
    world.autonomy("scale", Rung::Automatic).await;
    world.executor.stage().metrics.insert("utilisation".into(), 0.99);
    let mut down = wish("scale", json!({"replicas": 1}));
    down.expect.push(Expectation {
        observe: Observable::Metric("utilisation".into()),
        is: Comparison::Le,
        value: json!(0.85),
        within_ms: 100,
        hold_ms: 0,
    });
    let id = world.set_to_work(vec![down]).await;
    world.start_worker();
    let record = world.until(id, &[Phase::Undone]).await;
    assert_eq!(record.steps[0].phase, StepPhase::Undone);
    assert_eq!(world.executor.stage().fields["replicas"], json!(2));
    let book = world.pilot.book(&world.tenant, &world.admin).await.unwrap().value;
    assert_eq!(book.ladder.rung(&oag_types::KindName::new("scale")), Rung::Approve);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_that_must_last_and_does_not_is_undone() {
    let world = World::new().await;
    world.executor.stage().metrics.insert("utilisation".into(), 0.5);
    let mut down = wish("scale", json!({"replicas": 1}));
    down.expect.push(Expectation {
        observe: Observable::Metric("utilisation".into()),
        is: Comparison::Le,
        value: json!(0.85),
        within_ms: 1_000,
        hold_ms: 20_000,
    });
    let id = world.set_to_work(vec![down]).await;
    world.start_worker();
    world.until(id, &[Phase::Running]).await;
    while world.executor.effects("scale") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.executor.stage().metrics.insert("utilisation".into(), 0.97);
    let record = world.until(id, &[Phase::Undone, Phase::Succeeded]).await;
    assert_eq!(record.phase, Phase::Undone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_is_away_is_asked_again_and_one_that_refuses_is_not() {
    let world = World::new().await;
    world.executor.stage().errors = vec![ExecError::Unavailable("away".into()); 2];
    let id = world.set_to_work(vec![wish("scale", json!({"replicas": 3}))]).await;
    world.start_worker();
    world.until(id, &[Phase::Succeeded]).await;

    world.executor.stage().errors = vec![ExecError::Refused("no such place".into())];
    let id = world.set_to_work(vec![wish("deploy", json!({"version": "2"}))]).await;
    let record = world.until(id, &[Phase::Failed]).await;
    assert!(record.notes.iter().any(|n| n.text.contains("no such place")));
    assert_eq!(world.executor.effects("deploy"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_actions_that_fail_take_earlier_ones_back() {
    let world = World::new().await;
    world.executor.stage().refuses = Some("breaker");
    let actions = vec![
        wish("shed", json!({"feature": "reviews"})),
        wish("breaker", json!({"state": "open"})),
    ];
    let id = world.set_to_work(actions).await;
    world.start_worker();
    let record = world.until(id, &[Phase::Undone]).await;
    assert_eq!(record.steps[0].phase, StepPhase::Undone);
    assert_eq!(record.steps[1].phase, StepPhase::Missed);
    assert_eq!(world.executor.stage().fields["feature.reviews"], json!("on"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kill_switch_stops_what_was_queued_and_what_is_asked() {
    let world = World::new().await;
    let (tenant, admin, pilot) = (&world.tenant, &world.admin, &world.pilot);
    let id = world.set_to_work(vec![wish("scale", json!({"replicas": 4}))]).await;
    pilot.set_kill_switch(tenant, admin, true, KillScope::All, "trouble".into()).await.unwrap();
    world.start_worker();
    let record = world.until(id, &[Phase::Denied, Phase::Cancelled]).await;
    assert_eq!(world.executor.effects("scale"), 0);
    assert!(record.verdict.reasons.iter().any(|r| r.rule.contains("kill")), "{record:#?}");
    let denied =
        pilot.propose(tenant, admin, asked(vec![wish("scale", json!({"replicas": 5}))])).await;
    assert_eq!(denied.unwrap().value.phase, Phase::Denied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_whose_base_moved_is_not_carried_out() {
    let world = World::new().await;
    let proposal = asked(vec![wish("scale", json!({"replicas": 4}))]);
    let plan = world.pilot.propose(&world.tenant, &world.admin, proposal).await.unwrap().value;
    world.executor.stage().revision += 1;
    let refused = world.pilot.apply(&world.tenant, &world.admin, plan.id(), &plan.digest).await;
    assert_eq!(refused.unwrap_err().code, Code::PLAN_STALE);
    assert_eq!(world.executor.effects("scale"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_waited_too_long_expires() {
    let world = World::at(Timestamp::from_millis(1_795_000_000_000)).await;
    let proposal = asked(vec![wish("scale", json!({"replicas": 4}))]);
    let plan = world.pilot.propose(&world.tenant, &world.admin, proposal).await.unwrap().value;
    world.fake_clock.as_ref().unwrap().advance(31 * 60_000);
    assert_eq!(world.pilot.expire_plans(&world.tenant).await.unwrap(), 1);
    assert_eq!(world.plan(plan.id()).await.phase, Phase::Expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_installation_observes_and_a_grown_one_acts() {
    let world = World::new().await;
    let pilot = &world.pilot;
    let looping = oag_pilot::Caller::of(pilot.loop_account(&world.tenant).await.unwrap());
    let wanted = |replicas: u32| {
        let mut proposal = asked(vec![wish("scale", json!({"replicas": replicas}))]);
        proposal.origin = Origin::Loop;
        proposal
    };
    let plan = pilot.propose(&world.tenant, &looping, wanted(3)).await.unwrap().value;
    assert_eq!(plan.phase, Phase::Proposed);
    let active = pilot.active_plan(&world.tenant, &service_name()).await.unwrap();
    let proposed = InHand { plan: plan.id(), phase: Phase::Proposed, replicas: Some(3) };
    assert_eq!(active, Some((proposed, false)));

    world.autonomy("scale", Rung::Approve).await;
    let plan = pilot.propose(&world.tenant, &looping, wanted(4)).await.unwrap().value;
    assert_eq!(plan.phase, Phase::AwaitingApproval);
    let queued =
        pilot.approve(&world.tenant, &world.admin, plan.id(), &plan.digest).await.unwrap().value;
    assert_eq!(queued.phase, Phase::Queued);
    world.start_worker();
    world.until(plan.id(), &[Phase::Succeeded]).await;

    world.autonomy("scale", Rung::Automatic).await;
    let plan = pilot.propose(&world.tenant, &looping, wanted(5)).await.unwrap().value;
    // The cool-down of the limits still holds for the loop.
    assert!(matches!(plan.phase, Phase::Queued | Phase::Denied), "{plan:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_plan_takes_over_from_one_that_is_only_being_verified() {
    let world = World::new().await;
    let limits = oag_guard::Limits { rules: Vec::new() };
    world.pilot.set_limits(&world.tenant, &world.admin, limits, None).await.unwrap();
    world.executor.stage().stuck_ready = Some(2);
    let first = world.set_to_work(vec![wish("scale", json!({"replicas": 3}))]).await;
    world.start_worker();
    while world.plan(first).await.steps[0].phase != StepPhase::Applied {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let second = world.set_to_work(vec![wish("scale", json!({"replicas": 5}))]).await;
    world.until(first, &[Phase::Superseded]).await;
    world.executor.stage().stuck_ready = None;
    world.until(second, &[Phase::Succeeded]).await;
    assert_eq!(world.executor.stage().fields["replicas"], json!(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_signed_and_exported() {
    let world = World::new().await;
    let size = world.pilot.checkpoint(&world.tenant, true).await.unwrap().unwrap();
    assert_eq!(world.pilot.checkpoint(&world.tenant, true).await.unwrap(), None, "nothing new");
    let notes = world.kept.0.lock().unwrap().clone();
    let head = world.pilot.ledger_head(&world.tenant, &world.admin).await.unwrap();
    let key = head.verifier_key.parse().unwrap();
    let opened = oag_ledger::Checkpoint::open(&notes[0], &key).unwrap();
    assert_eq!((opened.size, opened.root.to_string()), (size, head.root));
    let proof = world.pilot.ledger_proof(&world.tenant, &world.admin, size - 1).await.unwrap();
    proof.verify(&key).unwrap();
    assert!(world.directory.path().join("truth.db").exists());
}
