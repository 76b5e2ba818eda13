//! Reports of executors: each is written down, and one look at the state makes up for those lost.

use std::time::Duration;

use oag_pilot::{Happened, Happening};
use oag_types::Timestamp;
use serde_json::json;
use tokio::sync::broadcast;

use crate::world::{World, service_name};

const SUBJECT: &str = "service:order-service";

fn report(world: &World, from: &str, to: &str) -> Happening {
    let (from, to, snapshot) = (from.to_owned(), to.to_owned(), "12 of 20 failed".to_owned());
    Happening {
        tenant: world.tenant.clone(),
        service: service_name(),
        at: Timestamp::from_millis(0),
        what: Happened::Breaker { from, to, snapshot },
    }
}

/// A world whose executor reports into a channel with so many places, not followed yet.
async fn reporting(places: usize) -> (World, broadcast::Sender<Happening>) {
    let world = World::new().await;
    let (sender, _) = broadcast::channel(places);
    world.executor.stage().reports = Some(sender.clone());
    (world, sender)
}

impl World {
    async fn breaker_rows(&self) -> Vec<String> {
        let rows = self.pilot.ledger_by_subject(&self.tenant, &self.admin, SUBJECT).await.unwrap();
        let breaker = rows.into_iter().filter(|row| row.kind == "breaker");
        let text = |row: oag_pilot::LedgerRow| {
            let part = |name: &str| row.payload[name].as_str().unwrap().to_owned();
            format!("{} {}", part("from"), part("to"))
        };
        breaker.map(text).collect()
    }

    async fn rows_are(&self, wanted: &[&str]) {
        let came = tokio::time::timeout(Duration::from_secs(20), async {
            while self.breaker_rows().await != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if came.await.is_err() {
            panic!("{:?} instead of {wanted:?}", self.breaker_rows().await);
        }
    }

    async fn told(&self) -> usize {
        let notices = self.pilot.notifications(&self.tenant, &self.admin, Default::default()).await;
        let opened = |n: &str| n.contains("circuit breaker of order-service opened");
        notices.unwrap().items.iter().filter(|n| opened(&n.value.message)).count()
    }

    /// Waits for so many reports written, reports lost and looks at the state.
    async fn counts_are(&self, wanted: (u64, u64, u64)) {
        let counts = || {
            let counts = self.pilot.happening_counts();
            (counts.written, counts.lost, counts.resyncs)
        };
        let came = tokio::time::timeout(Duration::from_secs(20), async {
            while counts() != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(came.await.is_ok(), "{:?} instead of {wanted:?}", counts());
    }

    async fn looked(&self, times: u64) {
        let came = tokio::time::timeout(Duration::from_secs(20), async {
            while self.pilot.happening_counts().resyncs < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        came.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_that_opens_and_closes_between_two_looks_is_on_the_ledger() {
    let (world, sender) = reporting(16).await;
    world.pilot.follow_executors(&world.tenant, &world.supervisor);
    world.looked(1).await;
    for (from, to) in [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ] {
        sender.send(report(&world, from, to)).unwrap();
    }
    world
        .rows_are(&[
            "closed open",
            "open half_open",
            "half_open open",
            "open half_open",
            "half_open closed",
        ])
        .await;
    assert_eq!(world.told().await, 1, "people are told when it opens, not at each failed probe");
    world.counts_are((5, 0, 1)).await;
}

// One thread: nobody reads between two reports that are sent without a pause.
#[tokio::test]
async fn reports_that_are_lost_are_counted_and_made_up_for_by_one_look() {
    let (world, sender) = reporting(2).await;
    world.pilot.follow_executors(&world.tenant, &world.supervisor);
    world.looked(1).await;
    world.executor.stage().fields.insert("breaker".into(), json!("open"));
    for (from, to) in [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
    ] {
        sender.send(report(&world, from, to)).unwrap();
    }
    world.rows_are(&["closed open", "open half_open", "half_open open"]).await;
    world.counts_are((3, 3, 2)).await;
    assert_eq!(world.told().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_while_nobody_followed_is_found_at_the_start() {
    let (mut world, sender) = reporting(16).await;
    world.executor.stage().fields.insert("breaker".into(), json!("open"));
    world.pilot.follow_executors(&world.tenant, &world.supervisor);
    world.rows_are(&["closed open"]).await;
    // The report of it comes late and says nothing new.
    sender.send(report(&world, "closed", "open")).unwrap();
    world.restart().await;
    world.pilot.follow_executors(&world.tenant, &world.supervisor);
    world.looked(1).await;
    world.executor.stage().fields.insert("breaker".into(), json!("closed"));
    world.restart().await;
    world.pilot.follow_executors(&world.tenant, &world.supervisor);
    world.rows_are(&["closed open", "open closed"]).await;
    assert_eq!(world.told().await, 1);
}
