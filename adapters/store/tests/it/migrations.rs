//! Schemas: brought up to date once, and refused when they are not ours.

use oag_store::SetupError;

use crate::backend::{Backend, PLAN, Place, batch, tenant};

/// Changes the record of migrations behind the store's back.
async fn tamper(backend: &Backend, sql: &str) {
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

#[tokio::test]
async fn postgres_with_tls_is_refused_rather_than_spoken_to_in_the_clear() {
    let config = oag_store::PostgresConfig::default();
    let url = "postgres://app:hunter2@127.0.0.1:1/db?sslmode=require";
    let error = oag_store::PostgresStore::connect(url, config).await.err().unwrap();
    assert!(matches!(error, SetupError::Unsupported(_)), "{error}");
    assert!(!error.to_string().contains("hunter2"));
}
