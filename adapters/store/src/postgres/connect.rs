//! Connections: the address, the pool, migrations, and what errors mean.

use std::io;
use std::time::Duration;

use deadpool_postgres::{
    Client, GenericClient, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType, Transaction,
};
use oag_store_port::StoreError;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::address::Address;
use super::{PostgresConfig, tls};
use crate::SetupError;
use crate::migration::{Applied, POSTGRES, pending};

/// Two processes that start at once must not migrate at once.
const MIGRATION_LOCK: i64 = 0x006f_6167_7374_6f72;

/// Lost against another transaction, or the connection with it, and nothing was done.
const AGAIN: [&SqlState; 5] = [
    &SqlState::T_R_SERIALIZATION_FAILURE,
    &SqlState::T_R_DEADLOCK_DETECTED,
    &SqlState::ADMIN_SHUTDOWN,
    &SqlState::CRASH_SHUTDOWN,
    &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
];

/// Classes of the server's codes for what is wrong with data, integrity or size.
const DATA: [&str; 3] = ["22", "23", "54"];

/// For a transaction that reads or writes everything.
pub(super) const NO_HURRY: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Fail {
    Refused(StoreError),
    /// Lost against another transaction, or with its connection before the COMMIT: nothing is wrong
    /// with it, it is done again.
    Again(String),
    /// The server does not take what one of the commands writes.
    Data(String),
    /// The connection was lost at the moment of writing.
    Unknown(String),
}

/// At most `size` connections.
pub(super) fn pool(url: &str, config: &PostgresConfig, size: usize) -> Result<Pool, SetupError> {
    let Address { rest, security } = Address::read(url)?;
    let tls = tls::connector(&security)?;
    let mut address: tokio_postgres::Config = rest.parse().map_err(|error| {
        // The error of the parser names the option, never the password.
        SetupError::Unsupported(format!("the database address is not valid: {error}"))
    })?;
    address.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
    address.connect_timeout(Duration::from_millis(config.connect_timeout_ms));
    if address.get_application_name().is_none() {
        address.application_name("open-autoglm");
    }
    let patience = Duration::from_millis(config.statement_timeout_ms);
    if address.get_tcp_user_timeout().is_none() && !patience.is_zero() {
        // A server that has gone without a word is noticed, also in the middle of a COMMIT.
        address.tcp_user_timeout(patience).keepalives_idle(patience);
    }
    let given = address.get_options().unwrap_or_default();
    // An answer means durable, whatever the server's defaults are. A process that is frozen in the
    // middle of a command loses its locks.
    let options = format!(
        "{given} -c synchronous_commit=on -c default_transaction_isolation=read\\ committed \
         -c statement_timeout={0} -c idle_in_transaction_session_timeout={0}",
        config.statement_timeout_ms
    );
    address.options(options.trim());
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match tls {
        Some(tls) => Manager::from_config(address, tls, recycling),
        None => Manager::from_config(address, NoTls, recycling),
    };
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_millis(config.wait_ms)))
        .build()
        .map_err(|error| SetupError::Database(error.to_string()))
}

pub(super) async fn client(pool: &Pool) -> Result<Client, StoreError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Timeout(TimeoutType::Wait) => StoreError::Overloaded,
        PoolError::Backend(error) => StoreError::Unavailable(explain(&error)),
        other => StoreError::Unavailable(other.to_string()),
    })
}

pub(super) async fn migrate(pool: &Pool) -> Result<(), SetupError> {
    let mut client = client(pool).await.map_err(|error| SetupError::Database(error.to_string()))?;
    let tx = client.transaction().await?;
    tx.batch_execute(NO_HURRY).await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    tx.batch_execute(
        "CREATE TABLE IF NOT EXISTS schema_step (
           version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)",
    )
    .await?;
    for step in pending(POSTGRES, &applied(&tx).await?)? {
        tx.batch_execute(step.sql).await?;
        tx.execute(
            "INSERT INTO schema_step (version, name, checksum) VALUES ($1, $2, $3)",
            &[&step.version, &step.name, &step.checksum()],
        )
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The steps the database has; none when it has no store.
pub(super) async fn applied(client: &impl GenericClient) -> Result<Vec<Applied>, SetupError> {
    let there = "SELECT to_regclass('schema_step') IS NOT NULL";
    if !client.query_one(there, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT version, checksum FROM schema_step", &[]).await?;
    let applied = |row: &Row| Ok(Applied { version: row.try_get(0)?, checksum: row.try_get(1)? });
    rows.iter().map(applied).collect()
}

/// The rows of a statement that stays prepared on its connection.
pub(super) async fn rows(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Fail> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// The row of a statement that gives at most one.
pub(super) async fn row(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, Fail> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_opt(&statement, params).await?)
}

/// How many rows a statement changed.
pub(super) async fn execute(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, Fail> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

/// The same for a statement that is a transaction by itself.
pub(super) async fn execute_alone(
    client: &Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, Fail> {
    let statement = client.prepare_cached(sql).await?;
    client.execute(&statement, params).await.map_err(written)
}

/// Ends a transaction; what it did is durable when this returns.
pub(super) async fn commit(tx: Transaction<'_>) -> Result<(), Fail> {
    tx.commit().await.map_err(written)
}

/// The same on a connection whose transaction was begun by hand.
pub(super) async fn commit_on(client: &Client) -> Result<(), Fail> {
    client.batch_execute("COMMIT").await.map_err(written)
}

/// What an error means that came when the server was asked to make something durable: an answer
/// that leaves the connection as it is says no; anything else leaves the outcome open.
fn written(error: tokio_postgres::Error) -> Fail {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    if severity == Some(Severity::Error) {
        return Fail::from(error);
    }
    Fail::Unknown(explain(&error))
}

/// Whether the connection is gone.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || std::error::Error::source(error).is_some_and(|cause| cause.is::<io::Error>())
}

/// The message of the server, or the chain of causes. Never row contents.
pub(crate) fn explain(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} ({})", answer.message(), answer.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if let Some(hint) = tls::hint(error) {
        text.push_str(": ");
        text.push_str(hint);
    }
    text
}

impl From<tokio_postgres::Error> for Fail {
    /// For a statement before the COMMIT: whatever went wrong, nothing was done.
    fn from(error: tokio_postgres::Error) -> Self {
        let again = |code: &SqlState| AGAIN.contains(&code);
        if error.code().is_some_and(again) || is_lost(&error) {
            return Self::Again(explain(&error));
        }
        let of_data = |code: &SqlState| DATA.iter().any(|class| code.code().starts_with(class));
        if error.code().is_some_and(of_data) {
            return Self::Data(explain(&error));
        }
        Self::Refused(StoreError::Unavailable(explain(&error)))
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Fail> for StoreError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Refused(error) => error,
            Fail::Again(text) | Fail::Data(text) => Self::Unavailable(text),
            Fail::Unknown(text) => Self::OutcomeUnknown(text),
        }
    }
}
