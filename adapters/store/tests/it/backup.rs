//! Backup and restore, from each database into each.

use std::path::Path;

use futures::future::join_all;
use oag_ledger::Row;
use oag_store::{
    PostgresConfig, RestoreReport, SetupError, Upkeep, restore_postgres, restore_sqlite,
};
use oag_store_port::{Change, ListQuery, Record, StoreError};
use oag_types::Tenant;

use crate::backend::{Backend, NOTE, PLAN, Place, at, batch, claim, empty_database, task, tenant};
use crate::ledger::checked_rows;

/// Everything a reader can see.
#[derive(Debug, PartialEq)]
struct Seen {
    tenant: Tenant,
    revision: u64,
    plans: Vec<Record>,
    notes: Vec<Record>,
    changes: Vec<Change>,
    rows: Vec<Row>,
}

async fn seen(store: &dyn Upkeep) -> Vec<Seen> {
    let mut all = Vec::new();
    let query = ListQuery { limit: 1_000, ..ListQuery::default() };
    for tenant in store.tenants().await.unwrap() {
        let revision = store.revision(&tenant).await.unwrap();
        let oldest = match store.changes(&tenant, 0, 1).await {
            Err(StoreError::TooOld { oldest }) => oldest,
            _ => 0,
        };
        all.push(Seen {
            revision,
            plans: store.list(&tenant, PLAN, query.clone()).await.unwrap().records,
            notes: store.list(&tenant, NOTE, query.clone()).await.unwrap().records,
            changes: store.changes(&tenant, oldest, 1_000).await.unwrap(),
            rows: checked_rows(store, &tenant).await,
            tenant,
        });
    }
    all
}

pub(crate) async fn restore(file: &Path, place: &Place) -> Result<RestoreReport, SetupError> {
    match place {
        Place::Sqlite(dir) => restore_sqlite(file, dir),
        Place::Postgres(url) => restore_postgres(file, url, &PostgresConfig::default()).await,
    }
}

pub(crate) async fn a_restore_has_everything_and_does_nothing(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let epoch = store.new_epoch().await.unwrap();
    for n in 0..60 {
        let write = batch()
            .put(PLAN, format!("p{n}"), "{\"a\": 1}", "tag")
            .put(NOTE, "n", n.to_string(), "")
            .ledger("intent", "act", n.to_string());
        let owner = tenant(if n % 3 == 0 { "t" } else { "u" });
        store.commit(&owner, write).await.unwrap();
    }
    store.ledger_erase(&t, 1).await.unwrap();
    let tasks = ["done", "leased", "ready"].map(|id| task("q", id, 0));
    store.commit(&t, tasks.into_iter().fold(batch(), |b, task| b.task(task))).await.unwrap();
    let claimed = store.claim(&t, claim("q", epoch, 0, 2)).await.unwrap();
    store.complete_if(&t, &claimed[0].token(), epoch, batch()).await.unwrap();
    let file = backend.dir.path().join("backup.db");
    store.backup(&file).await.unwrap();
    let before = seen(store.as_ref()).await;
    assert!(matches!(store.backup(&file).await, Err(StoreError::Invalid(_))), "it is there");
    let into =
        [Place::Sqlite(backend.dir.path().join("restored")), Place::Postgres(empty_database())];
    for place in &into {
        let report = restore(&file, place).await.unwrap();
        let held: Vec<_> =
            report.held.iter().map(|task| (task.id.as_str(), task.attempt)).collect();
        assert_eq!(held, [("leased", 1), ("ready", 0)]);
        let rows = |name| report.rows.iter().find(|r| r.table == name).unwrap().rows;
        assert_eq!((rows("tenant"), rows("ledger_row"), rows("task")), (2, 60, 3));
        let again = restore(&file, place).await;
        assert!(matches!(again, Err(SetupError::NotEmpty(_))), "{again:?}");
        let restored = place.open().await.unwrap();
        assert_eq!(seen(restored.as_ref()).await, before);
        assert_eq!(restored.held_tasks(&t).await.unwrap(), report.held);
        goes_on(restored.as_ref(), &t, report.epoch, epoch).await;
    }
}

/// Nothing happens by itself, the old leader is fenced, and work goes on when a person says so.
async fn goes_on(store: &dyn Upkeep, t: &Tenant, epoch: u64, old: u64) {
    let fenced = store.commit(t, batch().in_epoch(old)).await;
    assert!(matches!(fenced, Err(StoreError::Fenced { .. })));
    let new = store.new_epoch().await.unwrap();
    assert_eq!(new, epoch + 1);
    assert_eq!(store.claim(t, claim("q", new, 99_999, 10)).await.unwrap(), []);
    store.commit(t, batch().task(task("q", "ready", 0)).task(task("q", "done", 0))).await.unwrap();
    assert_eq!(store.claim(t, claim("q", new, 99_999, 10)).await.unwrap(), []);
    assert!(store.drop_held(t, "leased", at(1)).await.unwrap());
    assert!(!store.drop_held(t, "leased", at(1)).await.unwrap());
    assert!(store.release_held(t, "ready", at(2)).await.unwrap());
    assert!(!store.release_held(t, "done", at(2)).await.unwrap());
    let claimed = store.claim(t, claim("q", new, 99_999, 10)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].id.as_str(), claimed[0].due_at), ("ready", at(2)));
    assert_eq!(store.held_tasks(t).await.unwrap(), []);
    store.commit(t, batch().ledger("intent", "act", "1")).await.unwrap();
    checked_rows(store, t).await;
}

pub(crate) async fn a_backup_is_of_one_moment(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let file = backend.dir.path().join("backup.db");
    let write = |n: usize| {
        batch().put(PLAN, format!("p{n:04}"), "1", "").ledger("intent", "act", n.to_string())
    };
    join_all((0..200).map(|n| store.commit(&t, write(n)))).await;
    let writing = join_all((200..400).map(|n| store.commit(&t, write(n))));
    let (written, copied) = tokio::join!(writing, store.backup(&file));
    copied.unwrap();
    assert!(written.iter().all(Result::is_ok));
    let place = Place::Sqlite(backend.dir.path().join("restored"));
    restore(&file, &place).await.unwrap();
    let restored = place.open().await.unwrap();
    let rows = checked_rows(restored.as_ref(), &t).await;
    let query = ListQuery { limit: 1_000, ..ListQuery::default() };
    let page = restored.list(&t, PLAN, query).await.unwrap();
    assert!(rows.len() >= 200);
    assert_eq!(page.records.len(), rows.len());
    assert_eq!(page.revision, rows.len() as u64);
}

pub(crate) async fn only_whole_backups_are_restored(backend: &Backend) {
    let store = &backend.store;
    for n in 0..50 {
        let body = format!("\"{}\"", "x".repeat(500));
        store.commit(&tenant("t"), batch().put(PLAN, format!("p{n}"), body, "")).await.unwrap();
    }
    let file = backend.dir.path().join("backup.db");
    store.backup(&file).await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let bad = backend.dir.path().join("bad.db");
    let into = backend.dir.path().join("into");
    for damaged in [
        Vec::new(),
        b"no database".to_vec(),
        bytes[..bytes.len() / 2].to_vec(),
        [&bytes[..8_192], &[0x5a; 4_096], &bytes[12_288..]].concat(),
    ] {
        std::fs::write(&bad, &damaged).unwrap();
        let refused = restore_sqlite(&bad, &into);
        assert!(matches!(refused, Err(SetupError::BadBackup { .. })), "{refused:?}");
        let url = empty_database();
        let refused = restore_postgres(&bad, &url, &PostgresConfig::default()).await;
        assert!(matches!(refused, Err(SetupError::BadBackup { .. })), "{refused:?}");
    }
    assert!(!into.join("truth.db").exists());
    let nowhere = backend.dir.path().join("none").join("backup.db");
    assert!(store.backup(&nowhere).await.is_err());
    assert!(!backend.dir.path().join("backup.db.partial").exists());
}
