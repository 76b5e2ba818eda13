//! How fast commands become durable; a figure to look at, with a floor that only a broken group
//! commit falls below.

use std::time::Instant;

use futures::future::join_all;
use oag_store::{PostgresConfig, PostgresStore, SqliteConfig, SqliteStore, Upkeep};
use oag_testkit::postgres::Postgres;

use crate::backend::{batch, tenant};

/// `OAG_STORE_RATE=20000 cargo test -p oag-store --test it rate:: -- --nocapture --test-threads=1`
fn total() -> usize {
    std::env::var("OAG_STORE_RATE").ok().and_then(|total| total.parse().ok()).unwrap_or(600)
}

#[expect(clippy::disallowed_methods, reason = "a measurement of real time")]
async fn appends(what: &str, store: &dyn Upkeep, writers: usize) -> f64 {
    let (t, total) = (tenant("t"), total() / writers * writers);
    let before = store.stats();
    let began = Instant::now();
    join_all((0..writers).map(|writer| {
        let t = &t;
        async move {
            for n in 0..total / writers {
                let subject = format!("act_{writer}_{n}");
                let row = batch().ledger("intent", subject, "{\"replicas\":3,\"was\":2}");
                store.commit(t, row).await.unwrap();
            }
        }
    }))
    .await;
    let rate = total as f64 / began.elapsed().as_secs_f64();
    let after = store.stats();
    let groups = after.groups - before.groups;
    println!("{what}: {writers} writers, {rate:.0} ledger appends/s in {groups} commits");
    rate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), SqliteConfig::default()).unwrap();
    for writers in [1, 16, 256] {
        assert!(appends("sqlite", &store, writers).await > 10.0);
    }
    assert!(store.stats().groups < store.stats().commands);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    let server = Postgres::start_with(&["fsync=on"]).unwrap();
    let store = PostgresStore::connect(&server.url(), PostgresConfig::default()).await.unwrap();
    for writers in [1, 16, 256] {
        assert!(appends("postgres, one tenant", &store, writers).await > 5.0);
    }
    assert!(store.stats().groups < store.stats().commands);
}
