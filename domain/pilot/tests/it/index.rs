//! The index of plans in hand: whatever is done, and wherever the process dies, it says what the
//! plans say.

use std::sync::atomic::Ordering;
use std::time::Duration;

use oag_guard::{Limits, Rung};
use oag_pilot::{ActionWish, Phase, PlanFilter};
use oag_store_port::{Batch, Store};
use oag_types::{Origin, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use crate::checked::IN_HAND;
use crate::world::{DieAt, World, asked, service_name, wish};

const POINTS: [&str; 10] = [
    "after_admit",
    "after_intent",
    "after_act",
    "after_applied",
    "after_outcome",
    "after_undo_intent",
    "after_undo",
    "before_finish",
    "after_finish",
    "never",
];

#[derive(Debug, Clone)]
enum Move {
    Propose(Origin, bool, u32),
    Approve(usize),
    Cancel(usize),
    Expire,
    Stand(&'static str, Rung),
    /// The process dies at the point, and the next one goes on.
    Work(&'static str),
}

fn moves() -> impl Strategy<Value = Move> {
    let origin = prop_oneof![
        4 => Just(Origin::Loop), 1 => Just(Origin::Model), 1 => Just(Origin::Request)
    ];
    let kind = prop_oneof![Just("scale"), Just("shed"), Just("restart")];
    let rung = prop_oneof![
        1 => Just(Rung::Observe),
        1 => Just(Rung::DryRun),
        1 => Just(Rung::Approve),
        3 => Just(Rung::Automatic)
    ];
    prop_oneof![
        4 => (origin, any::<bool>(), 1..8_u32).prop_map(|(o, two, n)| Move::Propose(o, two, n)),
        2 => (0..4_usize).prop_map(Move::Approve),
        1 => (0..4_usize).prop_map(Move::Cancel),
        1 => Just(Move::Expire),
        2 => (kind, rung).prop_map(|(kind, rung)| Move::Stand(kind, rung)),
        4 => proptest::sample::select(&POINTS[..]).prop_map(Move::Work),
    ]
}

/// A scale, or a shed and a restart; the restart is refused, so that the shed is taken back.
fn actions(two: bool, replicas: u32) -> Vec<ActionWish> {
    if !two {
        return vec![wish("scale", json!({"replicas": replicas}))];
    }
    vec![wish("shed", json!({"feature": "reviews"})), wish("restart", json!({}))]
}

async fn make(world: &mut World, what: &Move) {
    let (tenant, pilot) = (world.tenant.clone(), world.pilot.clone());
    // What the guard or the state of things refuses is refused; the index must not care.
    match what {
        Move::Propose(origin, two, replicas) => {
            let mut proposal = asked(actions(*two, *replicas));
            proposal.origin = *origin;
            let looping = world.looping().await;
            let caller = if *origin == Origin::Request { &world.admin } else { &looping };
            let _ = pilot.propose(&tenant, caller, proposal).await;
        }
        Move::Approve(place) => {
            let all = pilot.plans(&tenant, &world.admin, PlanFilter::default(), Default::default());
            if let Some(plan) = all.await.unwrap().items.get(*place).map(|plan| &plan.value) {
                let _ = pilot.apply(&tenant, &world.admin, plan.id(), &plan.digest).await;
            }
        }
        Move::Cancel(place) => {
            let all = pilot.plans(&tenant, &world.admin, PlanFilter::default(), Default::default());
            if let Some(plan) = all.await.unwrap().items.get(*place).map(|plan| &plan.value) {
                let _ = pilot.cancel(&tenant, &world.admin, plan.id(), "a test").await;
            }
        }
        Move::Expire => {
            world.fake_clock.as_ref().unwrap().advance(31 * 60_000);
            pilot.expire_plans(&tenant).await.unwrap();
        }
        Move::Stand(kind, rung) => world.autonomy(kind, *rung).await,
        Move::Work(point) => work(world, point).await,
    }
}

async fn work(world: &mut World, point: &'static str) {
    let points = DieAt::point(point);
    world.restart_with(points.clone()).await;
    world.start_worker();
    let at_work = async |world: &World| {
        let (index, _) = world.store.index(&world.tenant).await;
        index.values().any(|entry| matches!(entry.phase, Phase::Queued | Phase::Running))
    };
    tokio::time::timeout(Duration::from_secs(20), async {
        while !points.died.load(Ordering::SeqCst) && at_work(world).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    world.restart().await;
}

async fn played(moves: &[Move]) {
    let mut world = World::at(Timestamp::from_millis(1_795_000_000_000)).await;
    world.store.look();
    let limits = Limits { rules: Vec::new() };
    world.pilot.set_limits(&world.tenant, &world.admin, limits, None).await.unwrap();
    world.executor.stage().refuses = Some("restart");
    for what in moves {
        make(&mut world, what).await;
        let (index, plans) = world.store.index(&world.tenant).await;
        assert_eq!(index, plans, "after {what:?}");
        let furthest = plans.values().max_by_key(|e| (rank(e.phase), e.plan)).cloned();
        let active = world.pilot.active_plan(&world.tenant, &service_name()).await.unwrap();
        assert_eq!(active.map(|(entry, _)| entry), furthest);
    }
}

fn rank(phase: Phase) -> usize {
    let phases = [Phase::Proposed, Phase::AwaitingApproval, Phase::Queued, Phase::Running];
    phases.iter().position(|known| *known == phase).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..Default::default() })]

    #[test]
    fn the_index_never_disagrees_with_the_plans(moves in prop::collection::vec(moves(), 4..12)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(played(&moves));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_plan_of_the_loop_leaves_the_index_right() {
    for point in POINTS {
        played(&[
            Move::Stand("scale", Rung::Automatic),
            Move::Stand("shed", Rung::Automatic),
            Move::Stand("restart", Rung::Automatic),
            Move::Propose(Origin::Loop, false, 4),
            Move::Work(point),
            Move::Work("never"),
            Move::Propose(Origin::Loop, true, 0),
            Move::Work(point),
            Move::Work("never"),
        ])
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_from_before_the_index_gets_one() {
    let world = World::new().await;
    let looping = world.looping().await;
    let mut proposal = asked(vec![wish("scale", json!({"replicas": 4}))]);
    proposal.origin = Origin::Loop;
    let plan = world.pilot.propose(&world.tenant, &looping, proposal).await.unwrap().value;
    let (before, _) = world.store.index(&world.tenant).await;
    assert_eq!(before.len(), 1);
    let raw = world.store.raw();
    let id = before.keys().next().unwrap().clone();
    let other = id.replace("order-service", "another");
    let stray = serde_json::to_string(&before[&id]).unwrap();
    let batch = Batch::at(world.clock.now()).delete(IN_HAND, id).put(IN_HAND, other, stray, "x");
    raw.commit(&world.tenant, batch).await.unwrap();
    let active = world.pilot.active_plan(&world.tenant, &service_name()).await.unwrap();
    assert_eq!(active, None, "not known without the index");

    assert_eq!(world.pilot.rebuild_index(&world.tenant).await.unwrap(), 2);
    let (after, _) = world.store.index(&world.tenant).await;
    assert_eq!(after, before);
    let active = world.pilot.active_plan(&world.tenant, &service_name()).await.unwrap();
    assert_eq!(active.unwrap().0.plan, plan.id());
    assert_eq!(world.pilot.rebuild_index(&world.tenant).await.unwrap(), 0);
}
