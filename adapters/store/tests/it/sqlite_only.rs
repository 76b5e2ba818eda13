//! What only the SQLite store promises: its lock, its queue, and answers that survive `kill -9`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use futures::future::join_all;
use oag_store::{SetupError, SqliteConfig, SqliteStore};
use oag_store_port::{ListQuery, Store as _, StoreError};

use crate::backend::{PLAN, batch, claim, task, tenant};
use crate::groups::overfill;
use crate::ledger::checked_rows;

/// Set for the child that is killed: where it writes.
const CHILD: &str = "OAG_STORE_TEST_CHILD";

fn open(dir: &Path, config: SqliteConfig) -> SqliteStore {
    SqliteStore::open(dir, config).unwrap()
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), SqliteConfig::default());
    let error = SqliteStore::open(dir.path(), SqliteConfig::default()).err().unwrap();
    assert!(matches!(error, SetupError::InUse { .. }), "{error}");
    drop(store);
    open(dir.path(), SqliteConfig::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = SqliteConfig { queue_max: 4, group_max: 1, ..SqliteConfig::default() };
    let store = open(dir.path(), config);
    // Another connection holds the write lock, so that the writer waits.
    let blocker = rusqlite::Connection::open(dir.path().join("truth.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let t = tenant("t");
    let put = |id: &str| batch().put(PLAN, id, "1", "");
    let release = async { blocker.execute_batch("COMMIT").unwrap() };
    let written = overfill(&store, &t, put, release).await;
    assert_eq!(store.revision(&t).await.unwrap(), written as u64);
}

/// Answers of a group that was not committed are taken back: nobody is told of what is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_cannot_begin_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let config = SqliteConfig { busy_timeout_ms: 50, ..SqliteConfig::default() };
    let store = open(dir.path(), config);
    let blocker = rusqlite::Connection::open(dir.path().join("truth.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let t = tenant("t");
    let refused = store.commit(&t, batch().put(PLAN, "a", "1", "")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(store.revision(&t).await.unwrap(), 0, "readers go on");
    blocker.execute_batch("COMMIT").unwrap();
    store.commit(&t, batch().put(PLAN, "a", "1", "")).await.unwrap();
}

/// Erased bytes are gone from the files, not only from the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_payload_is_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), SqliteConfig::default());
    let (t, secret) = (tenant("t"), "\"Erika Mustermann\"");
    store.commit(&t, batch().ledger("identity", "usr_1", secret)).await.unwrap();
    assert!(found(dir.path(), secret));
    assert!(store.ledger_erase(&t, 0).await.unwrap());
    assert!(!found(dir.path(), secret));
}

fn found(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite_only::child_that_is_killed", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = BTreeSet::new();
    let mut note = |line: std::io::Result<String>| {
        // The harness prints to the same stream; a line cut by the kill was not yet an answer.
        let line = line.unwrap_or_default();
        let id = line.rsplit_once("ack ").and_then(|(_, id)| id.strip_suffix('.'));
        if let Some(id) = id {
            acknowledged.insert(id.to_owned());
        }
        acknowledged.len()
    };
    while note(lines.next().expect("the child writes")) < 500 {}
    child.kill().unwrap();
    for line in lines {
        note(line);
    }
    child.wait().unwrap();
    let store = open(dir.path(), SqliteConfig::default());
    let t = tenant("t");
    let rows = checked_rows(&store, &t).await;
    let mut written = BTreeSet::new();
    let mut query = ListQuery { limit: 1_000, ..ListQuery::default() };
    loop {
        let page = store.list(&t, PLAN, query.clone()).await.unwrap();
        written.extend(page.records.into_iter().map(|record| record.id));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert!(acknowledged.is_subset(&written), "an answered write is gone");
    let subjects: BTreeSet<_> = rows.iter().map(|row| row.parse_entry().unwrap().subject).collect();
    assert_eq!(subjects, written, "half a batch was written");
    let epoch = store.new_epoch().await.unwrap();
    let mut tasks = BTreeSet::new();
    loop {
        let claimed = store.claim(&t, claim("q", epoch, 10, 1_000)).await.unwrap();
        if claimed.is_empty() {
            break;
        }
        tasks.extend(claimed.into_iter().map(|task| task.id));
    }
    assert_eq!(tasks, written, "half a batch was written");
}

/// Not a test by itself: the child of the one above, writing until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&dir), SqliteConfig::default());
    let t = tenant("t");
    let writers = (0..16).map(|writer| {
        let (store, t) = (&store, &t);
        async move {
            for n in 0..100_000 {
                let id = format!("w{writer}n{n}");
                let write = batch()
                    .put(PLAN, &id, "{}", "")
                    .task(task("q", &id, 0))
                    .ledger("intent", &id, "{}");
                store.commit(t, write).await.unwrap();
                println!("ack {id}.");
            }
        }
    });
    join_all(writers).await;
}
