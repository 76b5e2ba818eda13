//! The power goes at every point of an action; what is started next must leave exactly one effect
//! in the world, or say that it does not know.

use std::collections::BTreeSet;

use oag_testkit::wait_until;
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

use crate::world::{Home, LONG, Site};

const POINTS: [&str; 7] = [
    "after_admit",
    "after_intent",
    "after_act",
    "after_applied",
    "after_outcome",
    "before_finish",
    "after_finish",
];

/// A product that was killed at a point and started again.
struct Survivor {
    point: &'static str,
    home: Home,
    site: Site,
    /// The plan, once it is over.
    plan: Value,
    /// The replicas before the plan.
    first: BTreeSet<i32>,
    /// The replicas that were there when the product was gone.
    orphans: BTreeSet<i32>,
}

impl Survivor {
    async fn of(point: &'static str, action: Value) -> Self {
        let home = Home::new();
        let options = home.options().env("OPENAUTOGLM_CRASH_POINT", point);
        let mut site = Site::start(options).await;
        site.serve(home.service("shop", 2)).await;
        let first = home.replicas().into_iter().collect();
        let plan = site.propose_with(action).await;
        let id = site.apply(&plan).await;
        let marker = home.data().join("crash-point");
        let reached = wait_until("the crash point", LONG, async || {
            std::fs::read_to_string(&marker).is_ok_and(|text| text == point).then_some(())
        });
        reached.await.unwrap_or_else(|error| panic!("{point}: {error}\n{}", site.product.log()));
        site.product.kill9().unwrap();
        let orphans = home.replicas().into_iter().collect();
        site.product.forget_env("OPENAUTOGLM_CRASH_POINT");
        site.product.restart().await.unwrap();
        let plan = site.ended(&id).await;
        site.settled("shop").await;
        Self { point, home, site, plan, first, orphans }
    }

    fn phase(&self) -> &str {
        self.plan["phase"].as_str().unwrap()
    }

    fn replicas(&self) -> BTreeSet<i32> {
        self.home.replicas().into_iter().collect()
    }

    /// Replicas that ever ran. One that was started right before the end is named only by the
    /// process that adopts it.
    fn started(&self) -> usize {
        let log = self.site.product.log();
        let ran =
            |line: &&str| line.contains("replica started") || line.contains("replica adopted");
        let ids = log.lines().filter(ran).filter_map(|line| line.split("replica=").nth(1));
        ids.filter_map(|rest| rest.split(' ').next()).collect::<BTreeSet<_>>().len()
    }

    async fn ledger_kinds(&self) -> Vec<String> {
        let action = self.plan["plan"]["actions"][0]["id"].as_str().unwrap();
        self.site.ledger_kinds(action).await
    }

    fn ledger_is_sound(&self) {
        let data = self.home.data().display().to_string();
        let (code, out, error) = self.home.run(&["ledger", "verify", "--data", &data]);
        assert_eq!(code, 0, "{}: {out}{error}", self.point);
    }
}

/// Kills at each point, a few at a time, and hands each survivor to the judge.
async fn at_each<F>(
    points: &'static [&'static str],
    action: Value,
    judge: impl Fn(Survivor) -> F + Copy + 'static,
) where
    F: Future<Output = ()> + 'static,
{
    let here = LocalSet::new();
    for few in points.chunks(3) {
        let mut running = JoinSet::new();
        for point in few {
            let action = action.clone();
            let one = async move { judge(Survivor::of(point, action).await).await };
            running.spawn_local_on(one, &here);
        }
        here.run_until(running.join_all()).await;
    }
}

#[tokio::test]
async fn an_idempotent_action_has_one_effect() {
    let action = json!({"kind": "scale", "service": "shop", "params": {"replicas": 4}});
    at_each(&POINTS, action, async |it: Survivor| {
        let point = it.point;
        assert_eq!(it.phase(), "succeeded", "{point}: {}", it.plan);
        let now = it.replicas();
        assert_eq!(now.len(), 4, "{point}: {now:?}");
        assert!(now.is_superset(&it.first), "{point}: the first ones still run");
        assert!(now.is_superset(&it.orphans), "{point}: {:?} in {now:?}", it.orphans);
        assert_eq!(it.started(), 4, "{point}: each replica was started once");
        assert_eq!(it.ledger_kinds().await, ["intent", "outcome"], "{point}");
        it.ledger_is_sound();
    })
    .await;
}

#[tokio::test]
async fn an_observable_action_has_one_effect() {
    let action = json!({"kind": "restart", "service": "shop"});
    at_each(&POINTS, action, async |it: Survivor| {
        let point = it.point;
        assert_eq!(it.phase(), "succeeded", "{point}: {}", it.plan);
        let seen = it.site.settled("shop").await;
        assert_eq!(seen["restarts"], 1, "{point}");
        let now = it.replicas();
        assert_eq!(now.len(), 2, "{point}: {now:?}");
        assert!(now.is_disjoint(&it.first), "{point}: every replica is a fresh one");
        assert_eq!(it.started(), 4, "{point}: each was replaced once");
        assert_eq!(it.ledger_kinds().await, ["intent", "outcome"], "{point}");
        it.ledger_is_sound();
    })
    .await;
}

#[tokio::test]
async fn what_can_neither_be_repeated_nor_seen_is_left_to_a_person() {
    let action = json!({"kind": "script", "service": "shop", "params": {"script": "touch"}});
    at_each(&POINTS, action, async |it: Survivor| {
        let point = it.point;
        if !matches!(point, "after_intent" | "after_act") {
            assert_eq!(it.phase(), "succeeded", "{point}: {}", it.plan);
            assert_eq!(it.home.effects(), 1, "{point}");
            return;
        }
        let (ran, resolution, end) = match point {
            "after_intent" => (0, "not_done", "failed"),
            _ => (1, "done", "succeeded"),
        };
        assert_eq!(it.home.effects(), ran, "{point}");
        a_person_ends_it(&it, resolution, end).await;
        assert_eq!(it.home.effects(), ran, "{point}: it is never run again");
        assert_eq!(it.ledger_kinds().await, ["intent", "outcome"], "{point}");
        it.ledger_is_sound();
    })
    .await;
}

/// A person is asked, looks, and says how it was.
async fn a_person_ends_it(it: &Survivor, resolution: &str, end: &str) {
    assert_eq!(it.phase(), "outcome_unknown", "{}: {}", it.point, it.plan);
    let id = it.plan["id"].as_str().unwrap();
    let notices = it.site.get("/api/v1/notifications").await;
    let asked = notices["items"].as_array().unwrap().iter().any(|notice| notice["plan"] == id);
    assert!(asked, "{}: {notices}", it.point);
    let path = format!("/api/v1/plans/{id}/resolve");
    let resolved = it.site.post(&path, json!({"resolution": resolution})).await;
    assert_eq!(resolved["phase"], end, "{}", it.point);
}

#[tokio::test]
async fn a_script_that_ran_when_the_power_went_is_not_run_again() {
    let home = Home::new();
    let mut site = home.start().await;
    site.serve(home.service("shop", 1)).await;
    let plan = site.propose("script", "shop", json!({"script": "slow"})).await;
    let id = site.apply(&plan).await;
    let begun = wait_until("the script runs", LONG, async || (home.effects() == 1).then_some(()));
    begun.await.unwrap();
    site.product.kill9().unwrap();
    site.product.restart().await.unwrap();
    assert_eq!(site.ended(&id).await["phase"], "outcome_unknown");
    assert_eq!(home.effects(), 1);
}

#[tokio::test]
async fn taking_back_goes_on_where_it_was() {
    // Nothing will ever be true of this state, so the plan is taken back.
    let never = json!({"observe": {"state": "replicas"}, "is": "eq", "value": 99,
        "within_ms": 100, "hold_ms": 0});
    let action = json!({"kind": "scale", "service": "shop", "params": {"replicas": 4},
        "expect": [never]});
    at_each(&["after_undo_intent", "after_undo"], action, async |it: Survivor| {
        let point = it.point;
        assert_eq!(it.phase(), "undone", "{point}: {}", it.plan);
        assert_eq!(it.replicas(), it.first, "{point}: the first ones are left, and only they");
        assert_eq!(it.started(), 4, "{point}");
        let rows = it.ledger_kinds().await;
        assert_eq!(rows, ["intent", "outcome", "undo_intent", "undo_outcome"], "{point}");
        it.ledger_is_sound();
    })
    .await;
}
