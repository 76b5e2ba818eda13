//! The process dies at every point of an action; the next one must leave exactly one effect, or
//! say that it does not know.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oag_pilot::{Phase, Resolution, StepPhase};
use serde_json::{Value, json};

use crate::world::{DieAt, World, wish};

const POINTS: [&str; 8] = [
    "after_admit",
    "after_intent",
    "after_act",
    "after_applied",
    "after_outcome",
    "before_finish",
    "after_finish",
    "never",
];

async fn dies_at(
    point: &'static str,
    kind: &str,
    params: Value,
) -> (World, Phase, oag_types::PlanId) {
    let points = DieAt::point(point);
    let mut world = World::with(Arc::clone(&points) as Arc<_>, None).await;
    world.store.look();
    let id = world.set_to_work(vec![wish(kind, params)]).await;
    world.start_worker();
    // The worker's task for this plan ends by the panic, or the plan is over.
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let over = match point {
                "never" => world.plan(id).await.phase.is_final(),
                _ => points.died.load(Ordering::SeqCst) && world.supervisor.running() == 1,
            };
            if over {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    world.restart().await;
    world.start_worker();
    let record = world
        .until(id, &[Phase::Succeeded, Phase::Failed, Phase::Undone, Phase::OutcomeUnknown])
        .await;
    (world, record.phase, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_action_ends_verified_with_one_effect() {
    for point in POINTS {
        let (world, phase, id) = dies_at(point, "scale", json!({"replicas": 3})).await;
        assert_eq!(phase, Phase::Succeeded, "{point}");
        assert_eq!(world.executor.effects("scale"), 1, "{point}");
        let action = world.plan(id).await.sealed.plan().actions[0].id.to_string();
        assert_eq!(world.ledger_kinds(&action).await, ["intent", "outcome"], "{point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observable_action_ends_verified_with_one_effect() {
    for point in POINTS {
        let (world, phase, _) = dies_at(point, "restart", json!({})).await;
        assert_eq!(phase, Phase::Succeeded, "{point}");
        assert_eq!(world.executor.effects("restart"), 1, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_neither_be_repeated_nor_seen_is_never_repeated_by_itself() {
    for point in POINTS {
        let (world, phase, id) = dies_at(point, "script", json!({"script": "reindex"})).await;
        let known = !matches!(point, "after_intent" | "after_act");
        let wanted = if known { Phase::Succeeded } else { Phase::OutcomeUnknown };
        assert_eq!(phase, wanted, "{point}");
        assert!(world.executor.effects("script") <= 1, "{point}");
        if known {
            assert_eq!(world.executor.effects("script"), 1, "{point}");
            continue;
        }
        let notices = world
            .pilot
            .notifications(&world.tenant, &world.admin, Default::default())
            .await
            .unwrap();
        assert!(notices.items.iter().any(|n| n.value.plan == Some(id)), "a person is asked");
        let ran = world.executor.effects("script");
        let resolved = world
            .pilot
            .resolve(&world.tenant, &world.admin, id, Resolution::NotDone)
            .await
            .unwrap();
        assert_eq!(resolved.value.phase, Phase::Failed);
        assert_eq!(world.executor.effects("script"), ran, "resolving repeats nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_that_was_interrupted_is_finished() {
    for point in ["after_undo_intent", "after_undo"] {
        let mut world = World::with(DieAt::point(point), None).await;
        world.executor.stage().stuck_ready = Some(2);
        let mut scale = wish("scale", json!({"replicas": 3}));
        scale.expect.clear();
        let id = world.set_to_work(vec![scale]).await;
        world.start_worker();
        // Verification of a stuck service takes its full time; the crash comes after it.
        tokio::time::timeout(Duration::from_secs(60), async {
            while world.supervisor.running() != 1
                || world.plan(id).await.steps[0].phase != StepPhase::UndoIntended
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        world.executor.stage().stuck_ready = None;
        world.restart().await;
        world.start_worker();
        let record = world.until(id, &[Phase::Undone, Phase::Failed]).await;
        assert_eq!(record.phase, Phase::Undone, "{point}");
        assert_eq!(world.executor.stage().fields["replicas"], json!(2), "{point}");
        let action = record.sealed.plan().actions[0].id.to_string();
        let rows = world.ledger_kinds(&action).await;
        assert_eq!(rows, ["intent", "outcome", "undo_intent", "undo_outcome"], "{point}");
    }
}
