//! What only the PostgreSQL store promises: its queue, and what it says when the server refuses,
//! loses a transaction or goes away.

use std::time::Duration;

use futures::future::join_all;
use oag_store::{PostgresConfig, PostgresStore, Upkeep as _};
use oag_store_port::{Batch, Committed, Store as _, StoreError};
use oag_testkit::wait_until;
use oag_types::Tenant;
use tokio_postgres::{Client, NoTls};

use crate::backend::{PLAN, batch, claim, empty_database, task, tenant};
use crate::groups::overfill;
use crate::ledger::checked_rows;
use crate::proxy::{Cut, Wire};

const LONG: Duration = Duration::from_secs(60);

/// A session beside the store's.
pub(crate) async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // It ends with its client.
        let _ = runtime.block_on(connection);
    });
    client
}

async fn connect(url: &str, config: PostgresConfig) -> PostgresStore {
    PostgresStore::connect(url, config).await.unwrap()
}

fn put(id: &str) -> Batch {
    batch().put(PLAN, id, "1", "").ledger("intent", id, "{}")
}

/// Tenants that are there, and one of them locked, so that the writer waits.
async fn locked(url: &str, store: &PostgresStore, names: &[&str]) -> Client {
    for name in names {
        store.commit(&tenant(name), put("made")).await.unwrap();
    }
    let blocker = session(url).await;
    blocker.batch_execute("BEGIN").await.unwrap();
    let sql = "SELECT 1 FROM tenant WHERE tenant = $1 FOR UPDATE";
    blocker.query(sql, &[&names[0]]).await.unwrap();
    blocker
}

/// Until this many sessions wait for a lock.
async fn waiting(url: &str, sessions: i64) {
    let watcher = session(url).await;
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let probe = async || {
        let count: i64 = watcher.query_one(sql, &[]).await.unwrap().get(0);
        (count == sessions).then_some(())
    };
    wait_until("sessions wait for a lock", LONG, probe).await.unwrap();
}

async fn holds(store: &PostgresStore, t: &Tenant, id: &str) -> bool {
    store.get(t, PLAN, id).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so() {
    let url = empty_database();
    let config = PostgresConfig { queue_max: 4, group_max: 1, ..PostgresConfig::default() };
    let store = connect(&url, config).await;
    let t = tenant("t");
    let blocker = locked(&url, &store, &["t"]).await;
    let release = async { blocker.batch_execute("COMMIT").await.unwrap() };
    let written = overfill(&store, &t, put, release).await;
    assert_eq!(checked_rows(&store, &t).await.len(), written + 1);
}

/// Readers go on while the writer waits, and so do leases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_waits_holds_nobody_else_up() {
    let url = empty_database();
    let store = connect(&url, PostgresConfig::default()).await;
    let t = tenant("t");
    let epoch = store.new_epoch().await.unwrap();
    store.commit(&t, batch().task(task("q", "a", 0))).await.unwrap();
    let blocker = locked(&url, &store, &["t"]).await;
    let write = store.commit(&t, put("late"));
    let others = async {
        waiting(&url, 1).await;
        let claimed = store.claim(&t, claim("q", epoch, 0, 1)).await.unwrap();
        store.renew(&t, &claimed[0].token(), claimed[0].lease_until).await.unwrap();
        assert!(!holds(&store, &t, "late").await);
        assert!(store.ledger_erase(&t, 0).await.unwrap());
        assert_eq!(store.new_epoch().await.unwrap(), epoch + 1);
        blocker.batch_execute("COMMIT").await.unwrap();
    };
    let (written, ()) = tokio::join!(write, others);
    written.unwrap();
    assert!(holds(&store, &t, "late").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_itself_refuses_fails_alone() {
    let url = empty_database();
    let store = connect(&url, PostgresConfig::default()).await;
    let t = tenant("t");
    let admin = session(&url).await;
    let rule = "ALTER TABLE record ADD CONSTRAINT rule CHECK (id NOT LIKE 'bad%')";
    admin.batch_execute(rule).await.unwrap();
    let done = join_all((0..40).map(|n| {
        let id = if n % 10 == 3 { format!("bad{n}") } else { format!("good{n}") };
        store.commit(&t, put(&id))
    }))
    .await;
    for (n, done) in done.into_iter().enumerate() {
        match n % 10 {
            3 => assert!(matches!(done, Err(StoreError::Unavailable(_))), "{done:?}"),
            _ => assert!(done.is_ok(), "{done:?}"),
        }
    }
    assert_eq!(checked_rows(&store, &t).await.len(), 36);
    assert_eq!(store.stats().refused, 4);
}

/// Two transactions that wait for each other: the server ends one, and the store does it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_loses_a_deadlock_is_done_again() {
    let url = empty_database();
    let impatient = format!("{url}?options=-c%20deadlock_timeout%3D3s");
    let store = connect(&impatient, PostgresConfig::default()).await;
    let (a, b, z) = (tenant("a"), tenant("b"), tenant("z"));
    // The writer waits for `z` while a group for the two others gathers.
    let gate = locked(&url, &store, &["z", "a", "b"]).await;
    let other = session(&url).await;
    other.batch_execute("SET deadlock_timeout = '60s'; BEGIN").await.unwrap();
    other.query("SELECT 1 FROM tenant WHERE tenant = 'b' FOR UPDATE", &[]).await.unwrap();
    let group = join_all([
        store.commit(&z, put("first")),
        store.commit(&a, put("second")),
        store.commit(&b, put("third")),
    ]);
    let crossing = async {
        waiting(&url, 1).await;
        gate.batch_execute("COMMIT").await.unwrap();
        let held = async || {
            let sql = "SELECT 1 FROM tenant WHERE tenant = 'a' FOR UPDATE NOWAIT";
            let probe = session(&url).await;
            probe.query(sql, &[]).await.is_err().then_some(())
        };
        wait_until("the group holds its first tenant", LONG, held).await.unwrap();
        other.query("SELECT 1 FROM tenant WHERE tenant = 'a' FOR UPDATE", &[]).await.unwrap();
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (done, ()) = tokio::join!(group, crossing);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let lost = session(&url).await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let counted = async || {
        let deadlocks: i64 = lost.query_one(sql, &[]).await.unwrap().get(0);
        (deadlocks >= 1).then_some(())
    };
    wait_until("the deadlock is counted", LONG, counted).await.unwrap();
    for t in [&a, &b, &z] {
        assert_eq!(checked_rows(&store, t).await.len(), 2);
    }
}

/// The connection breaks before the COMMIT: nothing was done, and it is done on a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_before_the_commit_is_replaced() {
    let url = empty_database();
    let store = connect(&url, PostgresConfig::default()).await;
    let t = tenant("t");
    let blocker = locked(&url, &store, &["t"]).await;
    let first = store.commit(&t, put("p0"));
    let rest = async {
        waiting(&url, 1).await;
        let behind = join_all((1..5).map(|n| store.commit(&t, put(&format!("p{n}")))));
        let cut = async {
            let admin = session(&url).await;
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";
            assert_eq!(admin.query(sql, &[]).await.unwrap().len(), 1);
            // It comes again with another one.
            waiting(&url, 1).await;
            blocker.batch_execute("COMMIT").await.unwrap();
        };
        tokio::join!(behind, cut).0
    };
    let (first, rest) = tokio::join!(first, rest);
    assert_eq!(first.unwrap().ledger_indices, [1]);
    assert!(rest.iter().all(Result::is_ok), "{rest:?}");
    assert!(holds(&store, &t, "p0").await);
    assert_eq!(checked_rows(&store, &t).await.len(), 6);
}

/// The server does not come back: nothing is done, and everybody is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_unavailable() {
    let wire = Wire::to(&empty_database());
    let store = connect(&wire.url, PostgresConfig::default()).await;
    let t = tenant("t");
    store.commit(&t, put("made")).await.unwrap();
    wire.cut(Cut::ForGood);
    let done = join_all((0..5).map(|n| store.commit(&t, put(&format!("p{n}"))))).await;
    let unavailable = |d: &Result<_, _>| matches!(d, Err(StoreError::Unavailable(_)));
    assert!(done.iter().all(unavailable), "{done:?}");
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    wire.cut(Cut::Never);
    store.commit(&t, put("back")).await.unwrap();
    assert_eq!(checked_rows(&store, &t).await.len(), 2);
}

fn is_unknown(done: &Result<Committed, StoreError>) -> bool {
    matches!(done, Err(StoreError::OutcomeUnknown(_)))
}

/// The connection breaks at the COMMIT: it may have happened or not, and nobody is told more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_at_the_commit_leaves_the_outcome_open() {
    let wire = Wire::to(&empty_database());
    let store = connect(&wire.url, PostgresConfig::default()).await;
    let t = tenant("t");
    store.commit(&t, put("made")).await.unwrap();
    wire.cut(Cut::BeforeCommit);
    let done = store.commit(&t, put("not")).await;
    assert!(is_unknown(&done), "{done:?}");
    assert!(!holds(&store, &t, "not").await);
    wire.cut(Cut::AfterCommit);
    let done = store.commit(&t, put("done")).await;
    assert!(is_unknown(&done), "{done:?}");
    assert!(holds(&store, &t, "done").await);
    // A claim is a transaction of its own.
    let epoch = store.new_epoch().await.unwrap();
    store.commit(&t, batch().task(task("q", "a", 0))).await.unwrap();
    wire.cut(Cut::AfterCommit);
    let claimed = store.claim(&t, claim("q", epoch, 0, 1)).await;
    assert!(matches!(claimed, Err(StoreError::OutcomeUnknown(_))), "{claimed:?}");
    assert_eq!(store.claim(&t, claim("q", epoch, 0, 1)).await.unwrap(), []);
    store.commit(&t, put("goes-on")).await.unwrap();
    assert_eq!(checked_rows(&store, &t).await.len(), 3);
}

/// A server that was away is found again by whoever comes next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_ended_meanwhile_are_replaced() {
    let url = empty_database();
    let store = connect(&url, PostgresConfig::default()).await;
    let t = tenant("t");
    store.commit(&t, put("a")).await.unwrap();
    let admin = session(&url).await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(!admin.query(sql, &[]).await.unwrap().is_empty());
    let gone = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let probe = async || {
        let count: i64 = admin.query_one(gone, &[]).await.unwrap().get(0);
        (count == 0).then_some(())
    };
    wait_until("the sessions are over", LONG, probe).await.unwrap();
    store.commit(&t, put("b")).await.unwrap();
    assert_eq!(checked_rows(&store, &t).await.len(), 2);
}
