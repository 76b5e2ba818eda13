//! TLS to a real server with a certificate of the test's own.

use std::path::Path;
use std::sync::OnceLock;

use oag_store::{
    LedgerReader, PostgresConfig, PostgresStore, SetupError, backup_postgres, restore_postgres,
};
use oag_store_port::Store as _;
use oag_testkit::postgres::Postgres;
use oag_testkit::{Authority, Issued};

use crate::backend::{PLAN, batch, empty_database, tenant};
use crate::postgres_only::session;

/// A server whose certificate is for `localhost`, and who signed it.
fn server() -> &'static (Postgres, Authority) {
    static SERVER: OnceLock<(Postgres, Authority)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let authority = Authority::new().unwrap();
        (started(&authority.issue("localhost").unwrap()), authority)
    })
}

fn started(issued: &Issued) -> Postgres {
    match Postgres::start_with_tls(issued) {
        Ok(server) => server,
        Err(error) => panic!("these tests need PostgreSQL and openssl: {error:#}"),
    }
}

/// An address of the server under the name that its certificate is for.
fn by_name(url: &str) -> String {
    url.replace("127.0.0.1", "localhost")
}

fn trusting(url: &str, mode: &str, file: &Path) -> String {
    format!("{url}?sslmode={mode}&sslrootcert={}", file.display())
}

async fn connect(url: &str) -> Result<PostgresStore, SetupError> {
    PostgresStore::connect(url, PostgresConfig::default()).await
}

async fn refusal(url: &str) -> String {
    let error = connect(url).await.err().expect("it is refused").to_string();
    assert!(!error.contains("secret"), "a password: {error}");
    error
}

/// How many of the store's connections are encrypted, and how many are not.
async fn connections(url: &str) -> (i64, i64) {
    let sql = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
               FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
               WHERE application_name = 'open-autoglm' AND datname = current_database()";
    let row = session(url).await.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_kept_behind_tls() {
    let (server, authority) = server();
    let (plain, t) = (server.fresh_database().unwrap(), tenant("t"));
    let url = trusting(&by_name(&plain), "verify-full", &authority.certificate());
    let store = connect(&url).await.unwrap();
    let write = batch().put(PLAN, "a", "1", "").ledger("intent", "a", "{}");
    store.commit(&t, write).await.unwrap();
    assert_eq!(store.get(&t, PLAN, "a").await.unwrap().unwrap().body, "1");
    let (encrypted, clear) = connections(&plain).await;
    assert!(encrypted >= 2 && clear == 0, "{encrypted} encrypted, {clear} in the clear");
    // So do the commands beside it.
    let config = PostgresConfig::default();
    let reader = LedgerReader::connect(&url, &config).await.unwrap();
    assert_eq!(reader.rows(&t, 0, 10).await.unwrap().len(), 1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.db");
    backup_postgres(&url, &config, &file).await.unwrap();
    let other = by_name(&server.fresh_database().unwrap());
    let other = trusting(&other, "verify-full", &authority.certificate());
    restore_postgres(&file, &other, &config).await.unwrap();
    assert_eq!(connect(&other).await.unwrap().revision(&t).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_must_be_the_one_of_the_certificate() {
    let (server, authority) = server();
    let plain = server.fresh_database().unwrap();
    let error = refusal(&trusting(&plain, "verify-full", &authority.certificate())).await;
    assert!(error.contains("localhost") && error.contains("verify-ca"), "{error}");
    for mode in ["verify-ca", "require"] {
        let store = connect(&trusting(&plain, mode, &authority.certificate())).await.unwrap();
        store.ping().await.unwrap();
        let (encrypted, clear) = connections(&plain).await;
        assert!(encrypted >= 1 && clear == 0, "{mode}: {encrypted} and {clear}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_is_not_trusted() {
    let (server, _) = server();
    let plain = server.fresh_database().unwrap();
    let other = Authority::new().unwrap();
    for mode in ["verify-full", "verify-ca", "require"] {
        let error = refusal(&trusting(&by_name(&plain), mode, &other.certificate())).await;
        assert!(error.contains("no certificate in sslrootcert has signed"), "{mode}: {error}");
    }
    // Without certificates nobody is checked, and everything is encrypted.
    let store = connect(&format!("{plain}?sslmode=require")).await.unwrap();
    store.ping().await.unwrap();
    let (encrypted, clear) = connections(&plain).await;
    assert!(encrypted >= 1 && clear == 0, "{encrypted} and {clear}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_no_server() {
    let authority = Authority::new().unwrap();
    let server = started(&authority.itself());
    let url = trusting(&by_name(&server.url()), "verify-full", &authority.certificate());
    let error = refusal(&url).await;
    assert!(error.contains("give it one that the authority signed"), "{error}");
}

/// A server without TLS is not spoken to in the clear by one who asked for TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_refused() {
    let authority = Authority::new().unwrap();
    let plain = empty_database();
    for url in [
        format!("{plain}?sslmode=require"),
        trusting(&by_name(&plain), "verify-full", &authority.certificate()),
    ] {
        let error = refusal(&url).await;
        assert!(error.contains("does not support TLS") && error.contains("ssl = on"), "{error}");
    }
    connect(&format!("{plain}?sslmode=disable")).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let url = "postgres://app:secret@localhost:1/db";
    let file = dir.path().join("ca.pem");
    let error = refusal(&trusting(url, "verify-full", &file)).await;
    assert!(error.contains("ca.pem is not usable"), "{error}");
    std::fs::write(&file, "nothing\n").unwrap();
    let error = refusal(&trusting(url, "verify-full", &file)).await;
    assert!(error.contains("holds no certificate"), "{error}");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, broken).unwrap();
    let error = refusal(&trusting(url, "require", &file)).await;
    assert!(error.contains("ca.pem is not usable"), "{error}");
    assert!(refusal(&format!("{url}?sslmode=verify-full")).await.contains("sslrootcert=FILE"));
    assert!(refusal(&format!("{url}?sslmode=prefer")).await.contains("promises nothing"));
}
