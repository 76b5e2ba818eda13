//! Backup to and restore from the portable file.

use std::path::{Path, PathBuf};

use deadpool_postgres::{Client, Transaction};
use futures::future::try_join_all;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use super::{PostgresConfig, connect};
use crate::migration::{POSTGRES, pending};
use crate::portable::{self, FORGET_META, HELD, HOLD, Kind, RAISE_EPOCH, TABLES, Table};
use crate::{BackupReport, RestoreReport, SetupError, TableRows, check, sqlite};

/// Rows on their way at once.
const CHUNK_ROWS: usize = 256;
/// Chunks waiting between reader and writer.
const CHUNKS: usize = 4;

type Cell = Box<dyn ToSql + Sync + Send>;

/// What the reading side tells the writing side. Without `End` nothing is kept: the reader failed.
enum Step {
    Rows(&'static Table, Vec<Vec<Value>>),
    End,
}

/// Writes a consistent copy of the database to a new SQLite file, from one snapshot.
///
/// # Errors
/// `Exists` when the destination is there, `Unsupported`, `BadBackup`, `Database`, `Io`.
pub async fn backup_postgres(
    url: &str,
    config: &PostgresConfig,
    to: &Path,
) -> Result<BackupReport, SetupError> {
    let pool = connect::pool(url, config, 2)?;
    let mut client = connect::client(&pool).await.map_err(unavailable)?;
    backup(&mut client, to.to_owned()).await
}

/// Fills an empty database from a backup. Nothing is executed: tasks that were not over are held,
/// and every epoch of before is fenced.
///
/// # Errors
/// `BadBackup`, `NewerSchema`, `AlteredMigration`, `NotEmpty`, `Unsupported`, `Database`, `Io`.
pub async fn restore_postgres(
    from: &Path,
    url: &str,
    config: &PostgresConfig,
) -> Result<RestoreReport, SetupError> {
    let pool = connect::pool(url, config, 2)?;
    let (sender, receiver) = channel(CHUNKS);
    let from = from.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_file(&from, &sender));
    let written = async {
        connect::migrate(&pool).await?;
        let mut client = connect::client(&pool).await.map_err(unavailable)?;
        fill(&mut client, receiver).await
    };
    let written = written.await;
    // When both failed the file is the cause: the writer only saw that no more came.
    reading.await.map_err(|error| SetupError::Database(error.to_string()))??;
    written
}

pub(super) async fn backup(client: &mut Client, to: PathBuf) -> Result<BackupReport, SetupError> {
    let steps = connect::applied(client).await?;
    pending(POSTGRES, &steps)?;
    let version = steps.iter().map(|step| step.version).max().ok_or_else(no_store)?;
    let (sender, receiver) = channel(CHUNKS);
    let writing = tokio::task::spawn_blocking(move || {
        portable::create(&to, |partial| write_file(partial, version, receiver))
    });
    let exported = export(client, version, sender).await;
    let written = writing.await.map_err(|error| SetupError::Database(error.to_string()))?;
    match (written, exported) {
        (Ok((_, report)), Ok(())) => Ok(report),
        // The writer's own reason is better than that nobody listened.
        (Err(error), Ok(()) | Err(None)) | (_, Err(Some(error))) => Err(error),
        (Ok(_), Err(None)) => Err(SetupError::Database("the backup was cut short".to_owned())),
    }
}

/// Sends every row; `Err(None)` when the writer went away.
async fn export(
    client: &mut Client,
    version: i64,
    to: Sender<Step>,
) -> Result<(), Option<SetupError>> {
    let down = |error: tokio_postgres::Error| Some(SetupError::from(error));
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let tx = snapshot.read_only(true).start().await.map_err(down)?;
    tx.batch_execute(connect::NO_HURRY).await.map_err(down)?;
    for table in portable::tables(version) {
        let statement = tx.prepare(table.select).await.map_err(down)?;
        let portal = tx.bind(&statement, &[]).await.map_err(down)?;
        loop {
            let most = i32::try_from(CHUNK_ROWS).unwrap_or(i32::MAX);
            let found = tx.query_portal(&portal, most).await.map_err(down)?;
            if found.is_empty() {
                break;
            }
            let rows: Result<_, _> = found.iter().map(|row| values(row, table)).collect();
            to.send(Step::Rows(table, rows.map_err(down)?)).await.map_err(|_| None)?;
        }
    }
    tx.commit().await.map_err(down)?;
    to.send(Step::End).await.map_err(|_| None)
}

fn values(row: &Row, table: &Table) -> Result<Vec<Value>, tokio_postgres::Error> {
    let cell = |(at, kind): (usize, &Kind)| {
        Ok(match kind {
            Kind::Number => row.try_get::<_, Option<i64>>(at)?.map(Value::Integer),
            Kind::Text => row.try_get::<_, Option<String>>(at)?.map(Value::Text),
            Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(at)?.map(Value::Blob),
        }
        .unwrap_or(Value::Null))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

/// The file begins with the schema the database has, and ends with the present one.
fn write_file(path: &Path, version: i64, mut steps: Receiver<Step>) -> Result<(), SetupError> {
    let mut conn = portable::empty_file(path, version)?;
    let tx = conn.transaction()?;
    loop {
        match steps.blocking_recv() {
            Some(Step::Rows(table, rows)) => {
                let mut insert = tx.prepare_cached(table.insert)?;
                for row in rows {
                    insert.execute(params_from_iter(row))?;
                }
            }
            Some(Step::End) => break,
            None => return Err(cut_short()),
        }
    }
    tx.commit()?;
    sqlite::migrate(&mut conn)?;
    conn.close().map_err(|(_, error)| SetupError::from(error))
}

fn read_file(path: &Path, to: &Sender<Step>) -> Result<(), SetupError> {
    let backup = portable::Current::open(path)?;
    for table in TABLES {
        let sent = send_table(&backup.conn, table, to)?;
        if !sent {
            return Ok(());
        }
    }
    // A writer that went away has its own reason.
    let _ = to.blocking_send(Step::End);
    Ok(())
}

/// False when the writer went away.
fn send_table(
    conn: &Connection,
    table: &'static Table,
    to: &Sender<Step>,
) -> Result<bool, SetupError> {
    let mut select = conn.prepare(table.select)?;
    let mut found = select.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let cells = (0..table.columns.len()).map(|at| row.get(at));
        rows.push(cells.collect::<Result<Vec<Value>, _>>()?);
        if rows.len() == CHUNK_ROWS
            && to.blocking_send(Step::Rows(table, std::mem::take(&mut rows))).is_err()
        {
            return Ok(false);
        }
    }
    Ok(rows.is_empty() || to.blocking_send(Step::Rows(table, rows)).is_ok())
}

async fn fill(client: &mut Client, mut steps: Receiver<Step>) -> Result<RestoreReport, SetupError> {
    let tx = client.transaction().await?;
    tx.batch_execute(connect::NO_HURRY).await?;
    tx.batch_execute("LOCK TABLE tenant IN EXCLUSIVE MODE").await?;
    if tx.query_opt("SELECT 1 FROM tenant LIMIT 1", &[]).await?.is_some() {
        return Err(SetupError::NotEmpty("the database".to_owned()));
    }
    tx.execute(FORGET_META, &[]).await?;
    loop {
        match steps.recv().await {
            Some(Step::Rows(table, rows)) => insert(&tx, table, rows).await?,
            Some(Step::End) => break,
            None => return Err(cut_short()),
        }
    }
    let epoch: i64 = tx.query_one(RAISE_EPOCH, &[]).await?.try_get(0)?;
    tx.execute(HOLD, &[]).await?;
    let mut held = Vec::new();
    for row in tx.query(HELD, &[]).await? {
        held.push(portable::held((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
        ))?);
    }
    let mut rows = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let count: i64 = tx.query_one(table.count, &[]).await?.try_get(0)?;
        rows.push(TableRows { table: table.name, rows: check::from_db(count) });
    }
    tx.commit().await?;
    Ok(RestoreReport { rows, epoch: check::from_db(epoch), held })
}

async fn insert(
    tx: &Transaction<'_>,
    table: &Table,
    rows: Vec<Vec<Value>>,
) -> Result<(), SetupError> {
    let statement = tx.prepare_cached(table.insert).await?;
    let inserts = rows.into_iter().map(|row| {
        let cells: Vec<Cell> =
            table.columns.iter().zip(row).map(|(kind, value)| cell(*kind, value)).collect();
        tx.execute_raw(&statement, cells)
    });
    try_join_all(inserts).await?;
    Ok(())
}

/// A null needs the type of its column; a value of another type is null and refused by the table.
fn cell(kind: Kind, value: Value) -> Cell {
    match (kind, value) {
        (Kind::Number, Value::Integer(number)) => Box::new(Some(number)),
        (Kind::Text, Value::Text(text)) => Box::new(Some(text)),
        (Kind::Bytes, Value::Blob(bytes)) => Box::new(Some(bytes)),
        (Kind::Number, _) => Box::new(None::<i64>),
        (Kind::Text, _) => Box::new(None::<String>),
        (Kind::Bytes, _) => Box::new(None::<Vec<u8>>),
    }
}

pub(super) fn no_store() -> SetupError {
    SetupError::Database("there is no store in this database".to_owned())
}

fn cut_short() -> SetupError {
    SetupError::Database("the copy was cut short".to_owned())
}

fn unavailable(error: oag_store_port::StoreError) -> SetupError {
    SetupError::Database(error.to_string())
}
