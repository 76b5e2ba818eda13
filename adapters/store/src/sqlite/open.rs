//! Opening: the lock on the data directory, connections and their settings, migrations.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::SetupError;
use crate::migration::{Applied, SQLITE, pending};

const DATABASE: &str = "truth.db";
const LOCK: &str = "truth.lock";
/// Statements kept prepared per connection; more than there are.
const STATEMENTS: usize = 64;

/// Holds a data directory for this process; the system lets go of it when the process ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
}

impl DirLock {
    pub(crate) fn take(dir: &Path) -> Result<Self, SetupError> {
        let path = dir.join(LOCK);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(SetupError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                Err(SetupError::InUse { dir: dir.to_owned(), lock: path })
            }
            Err(TryLockError::Error(error)) => Err(SetupError::io(&path)(error)),
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is just being started has it open, too.
        let _ = self.file.unlock();
    }
}

/// The database file of a data directory.
pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join(DATABASE)
}

/// The connection that writes. Each COMMIT is on the disk before it returns.
pub(crate) fn writer(path: &Path, busy: Duration) -> Result<Connection, SetupError> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(busy)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(SetupError::Database(format!("no write-ahead log here (journal mode {mode})")));
    }
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;",
    )?;
    Ok(conn)
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path, busy: Duration) -> Result<Connection, SetupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Brings the schema up to date.
pub(crate) fn migrate(conn: &mut Connection) -> Result<(), SetupError> {
    migrate_to(conn, i64::MAX)
}

/// Does the steps up to a version.
pub(crate) fn migrate_to(conn: &mut Connection, version: i64) -> Result<(), SetupError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_step (
           version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT",
    )?;
    let steps = pending(SQLITE, &applied(&tx)?)?;
    for migration in steps.into_iter().filter(|step| step.version <= version) {
        tx.execute_batch(migration.sql)?;
        tx.execute(
            "INSERT INTO schema_step (version, name, checksum) VALUES (?1, ?2, ?3)",
            (migration.version, migration.name, migration.checksum()),
        )?;
    }
    tx.commit()?;
    Ok(())
}

/// The steps the database has.
pub(crate) fn applied(conn: &Connection) -> Result<Vec<Applied>, SetupError> {
    let mut query = conn.prepare("SELECT version, checksum FROM schema_step ORDER BY version")?;
    let steps =
        query.query_map([], |row| Ok(Applied { version: row.get(0)?, checksum: row.get(1)? }))?;
    Ok(steps.collect::<Result<_, _>>()?)
}
