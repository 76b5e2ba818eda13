//! Connections: the address, the pool, migrations, and what errors mean.

use std::time::Duration;

use deadpool_postgres::{
    Client, GenericClient, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use oag_store_port::StoreError;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::PostgresConfig;
use crate::SetupError;
use crate::migration::{Applied, POSTGRES, pending};

/// Two processes that start at once must not migrate at once.
const MIGRATION_LOCK: i64 = 0x006f_6167_7374_6f72;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Fail {
    Refused(StoreError),
    /// Lost against another transaction: nothing is wrong with it, it is done again.
    Again(String),
}

pub(super) fn pool(url: &str, config: &PostgresConfig) -> Result<Pool, SetupError> {
    let mut address: tokio_postgres::Config = url.parse().map_err(|error| {
        // The error of the parser names the option, never the password.
        SetupError::Unsupported(format!("the database address is not valid: {error}"))
    })?;
    if address.get_ssl_mode() == SslMode::Require {
        return Err(SetupError::Unsupported(
            "sslmode=require is not supported: reach PostgreSQL over a loopback or private \
             network, or a TLS tunnel, with sslmode=disable"
                .to_owned(),
        ));
    }
    address.ssl_mode(SslMode::Disable);
    address.connect_timeout(Duration::from_millis(config.connect_timeout_ms));
    if address.get_application_name().is_none() {
        address.application_name("open-autoglm");
    }
    let given = address.get_options().unwrap_or_default();
    // An answer means durable, whatever the server's defaults are.
    let options = format!(
        "{given} -c synchronous_commit=on -c default_transaction_isolation=read\\ committed \
         -c statement_timeout={}",
        config.statement_timeout_ms
    );
    address.options(options.trim());
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(address, NoTls, recycling);
    Pool::builder(manager)
        .max_size(config.pool_size.max(2))
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
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    tx.batch_execute(
        "CREATE TABLE IF NOT EXISTS schema_step (
           version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)",
    )
    .await?;
    let rows = tx.query("SELECT version, checksum FROM schema_step", &[]).await?;
    let applied = |row: &Row| Ok(Applied { version: row.try_get(0)?, checksum: row.try_get(1)? });
    let applied: Vec<Applied> =
        rows.iter().map(applied).collect::<Result<_, tokio_postgres::Error>>()?;
    for step in pending(POSTGRES, &applied)? {
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
    text
}

impl From<tokio_postgres::Error> for Fail {
    fn from(error: tokio_postgres::Error) -> Self {
        let again = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        if error.code().is_some_and(|code| again.contains(code)) {
            return Self::Again(explain(&error));
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
            Fail::Again(text) => Self::Unavailable(text),
        }
    }
}
