//! Schemas: brought up to date once, and refused when they are not ours.

use oag_ledger::HashRange;
use oag_store::{PostgresConfig, SetupError, Upkeep, backup_postgres, backup_sqlite};

use crate::backend::{Backend, PLAN, Place, batch, empty_database, tenant};
use crate::backup::restore;
use crate::ledger::{checked_rows, fill, inspect, prove};

/// Changes the database behind the store's back.
pub(crate) async fn tamper(backend: &Backend, sql: &str) {
    match &backend.place {
        Place::Sqlite(dir) => {
            let conn = rusqlite::Connection::open(dir.join("truth.db")).unwrap();
            conn.execute_batch(sql).unwrap();
        }
        Place::Postgres(url) => {
            let (client, connection) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
            let changed = async move {
                client.batch_execute(sql).await.unwrap();
                drop(client);
            };
            let (_, ended) = tokio::join!(changed, connection);
            ended.unwrap();
        }
    }
}

/// Opens the store again after this process has let go of it.
async fn reopen(backend: Backend) -> Result<(), SetupError> {
    drop(backend.store);
    backend.place.open().await.map(|_| ())
}

pub(crate) async fn opening_twice_changes_nothing(backend: &Backend) {
    let fresh = backend.fresh_like().await;
    fresh.store.commit(&tenant("t"), batch().put(PLAN, "a", "1", "")).await.unwrap();
    let Backend { store, place, dir: _dir } = fresh;
    drop(store);
    for _ in 0..2 {
        let store = place.open().await.unwrap();
        assert_eq!(store.revision(&tenant("t")).await.unwrap(), 1);
    }
}

pub(crate) async fn a_newer_schema_is_refused(backend: &Backend) {
    let fresh = backend.fresh_like().await;
    tamper(&fresh, "INSERT INTO schema_step VALUES (999, 'tomorrow', 'x')").await;
    let error = reopen(fresh).await.unwrap_err();
    assert!(matches!(error, SetupError::NewerSchema { found: 999, .. }), "{error}");
}

pub(crate) async fn an_altered_migration_is_refused(backend: &Backend) {
    let fresh = backend.fresh_like().await;
    tamper(&fresh, "UPDATE schema_step SET checksum = 'other' WHERE version = 1").await;
    let error = reopen(fresh).await.unwrap_err();
    assert!(matches!(error, SetupError::AlteredMigration { version: 1, .. }), "{error}");
}

/// Makes the database what the first program left.
async fn go_back_to_the_first(backend: &Backend) {
    let undo = "DROP TABLE ledger_tile; DELETE FROM schema_step WHERE version > 1";
    tamper(backend, undo).await;
}

pub(crate) async fn a_store_of_the_first_schema_is_brought_up_to_date(backend: &Backend) {
    let t = tenant("t");
    fill(backend.store.as_ref(), &t, 600).await;
    let old = backend.fresh_like().await;
    fill(old.store.as_ref(), &t, 600).await;
    let Backend { store, place, dir } = old;
    drop(store);
    let old = Backend { store: std::sync::Arc::clone(&backend.store), place, dir };
    go_back_to_the_first(&old).await;
    // Before it is brought up to date it can be verified and backed up.
    let report = inspect(&old, &t).await;
    assert!(report.is_sound() && report.rows == 600, "{report:?}");
    let file = old.dir.path().join("backup.db");
    let report = match &old.place {
        Place::Sqlite(dir) => backup_sqlite(dir, &file).unwrap(),
        Place::Postgres(url) => {
            backup_postgres(url, &PostgresConfig::default(), &file).await.unwrap()
        }
    };
    assert!(report.rows.iter().any(|table| (table.table, table.rows) == ("ledger_row", 600)));
    let into = [Place::Sqlite(old.dir.path().join("restored")), Place::Postgres(empty_database())];
    for place in into {
        restore(&file, &place).await.unwrap();
        proves(place.open().await.unwrap().as_ref()).await;
    }
    proves(old.place.open().await.unwrap().as_ref()).await;
}

/// The second level fills once in 65,536 rows: here all but the last of them are made up.
pub(crate) async fn tiles_of_nodes_are_kept_and_brought_up_to_date(backend: &Backend) {
    let fresh = backend.fresh_like().await;
    let t = tenant("t");
    fill(fresh.store.as_ref(), &t, 1).await;
    let hex: String = "07".repeat(16 * 32);
    let frontier = match &fresh.place {
        Place::Sqlite(_) => format!("x'000000000000ffff{hex}'"),
        Place::Postgres(_) => format!("'\\x000000000000ffff{hex}'::bytea"),
    };
    let nodes = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 254)
                 INSERT INTO ledger_node SELECT 't', 1, i, salt FROM n, ledger_row";
    tamper(&fresh, &format!("{nodes}; UPDATE ledger_state SET frontier = {frontier}")).await;
    fill(fresh.store.as_ref(), &t, 1).await;
    let all = [HashRange { level: 1, start: 0, count: 256 }];
    let hashes = fresh.store.ledger_hashes(&t, &all).await.unwrap().remove(0);
    assert_eq!(hashes.len(), 256);
    assert!(hashes[1..255].iter().all(|hash| *hash == hashes[0]) && hashes[255] != hashes[0]);
    go_back_to_the_first(&fresh).await;
    let Backend { store, place, dir } = fresh;
    drop(store);
    let store = place.open().await.unwrap();
    let upgraded = Backend { store, place, dir };
    // What is read now is the tile alone.
    tamper(&upgraded, "DELETE FROM ledger_node").await;
    let found = upgraded.store.ledger_hashes(&t, &all).await.unwrap().remove(0);
    assert_eq!(found, hashes);
}

/// The tiles are there, and new ones come.
async fn proves(store: &dyn Upkeep) {
    let t = tenant("t");
    let wide = [HashRange { level: 0, start: 256, count: 256 }];
    assert_eq!(store.ledger_hashes(&t, &wide).await.unwrap()[0].len(), 256);
    assert_eq!(checked_rows(store, &t).await.len(), 600);
    for index in [0, 255, 300, 599] {
        prove(store, &t, index).await.unwrap();
    }
    fill(store, &t, 200).await;
    prove(store, &t, 700).await.unwrap();
    assert_eq!(checked_rows(store, &t).await.len(), 800);
}
