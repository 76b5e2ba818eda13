//! The portable form of the whole store: one SQLite file with the SQLite schema. Both databases
//! write it, and both can be restored from it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oag_store_port::Epoch;
use oag_types::Timestamp;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::migration::{SQLITE, TILES, pending};
use crate::{HeldTask, SetupError, check, shape, sqlite};

/// How many rows a table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// What was backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Rows per table.
    pub rows: Vec<TableRows>,
    /// Size of the file.
    pub bytes: u64,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// Rows per table.
    pub rows: Vec<TableRows>,
    /// The epoch after it; every epoch given out before is fenced.
    pub epoch: Epoch,
    /// Tasks that were not over. They are held: a person decides whether each is done again.
    pub held: Vec<HeldTask>,
}

/// What a column holds; any may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    Bytes,
}

/// A table as it is copied. The statements are the same for both databases: SQLite numbers `$1`,
/// `$2` … by their first appearance.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The step of the schema that brought it.
    pub(crate) since: i64,
    pub(crate) columns: &'static [Kind],
    pub(crate) count: &'static str,
    pub(crate) select: &'static str,
    pub(crate) insert: &'static str,
}

use Kind::{Bytes, Number, Text};

/// Every table of truth, referenced ones first.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "meta",
        since: 1,
        columns: &[Number, Number, Text],
        count: "SELECT count(*) FROM meta",
        select: "SELECT only_row, epoch, installation FROM meta",
        insert: "INSERT INTO meta (only_row, epoch, installation) VALUES ($1, $2, $3)",
    },
    Table {
        name: "tenant",
        since: 1,
        columns: &[Text, Number, Number, Number, Number],
        count: "SELECT count(*) FROM tenant",
        select: "SELECT tenant, revision, change_seq, changes_kept_from, changes_floor FROM tenant",
        insert: "INSERT INTO tenant \
                 (tenant, revision, change_seq, changes_kept_from, changes_floor) \
                 VALUES ($1, $2, $3, $4, $5)",
    },
    Table {
        name: "record",
        since: 1,
        columns: &[Text, Text, Text, Text, Number, Text, Number],
        count: "SELECT count(*) FROM record",
        select: "SELECT tenant, collection, id, body, revision, tag, updated_at FROM record",
        insert: "INSERT INTO record (tenant, collection, id, body, revision, tag, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
    },
    Table {
        name: "change",
        since: 1,
        columns: &[Text, Number, Number, Text, Text, Number, Number],
        count: "SELECT count(*) FROM change",
        select: "SELECT tenant, seq, revision, collection, id, deleted, at FROM change",
        insert: "INSERT INTO change (tenant, seq, revision, collection, id, deleted, at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
    },
    Table {
        name: "task",
        since: 1,
        columns: &[Text, Text, Text, Text, Number, Number, Number, Number, Number, Number],
        count: "SELECT count(*) FROM task",
        select: "SELECT tenant, id, queue, body, state, attempt, due_at, lease_until, epoch, \
                 changed_at FROM task",
        insert: "INSERT INTO task (tenant, id, queue, body, state, attempt, due_at, lease_until, \
                 epoch, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    },
    Table {
        name: "ledger_row",
        since: 1,
        columns: &[Text, Number, Text, Text, Bytes, Bytes, Bytes, Text],
        count: "SELECT count(*) FROM ledger_row",
        select: "SELECT tenant, idx, kind, subject, entry, leaf_hash, salt, payload \
                 FROM ledger_row",
        insert: "INSERT INTO ledger_row \
                 (tenant, idx, kind, subject, entry, leaf_hash, salt, payload) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    },
    Table {
        name: "ledger_node",
        since: 1,
        columns: &[Text, Number, Number, Bytes],
        count: "SELECT count(*) FROM ledger_node",
        select: "SELECT tenant, level, idx, hash FROM ledger_node",
        insert: "INSERT INTO ledger_node (tenant, level, idx, hash) VALUES ($1, $2, $3, $4)",
    },
    Table {
        name: "ledger_tile",
        since: TILES,
        columns: &[Text, Number, Number, Bytes],
        count: "SELECT count(*) FROM ledger_tile",
        select: "SELECT tenant, level, idx, hashes FROM ledger_tile",
        insert: "INSERT INTO ledger_tile (tenant, level, idx, hashes) VALUES ($1, $2, $3, $4)",
    },
    Table {
        name: "ledger_state",
        since: 1,
        columns: &[Text, Bytes],
        count: "SELECT count(*) FROM ledger_state",
        select: "SELECT tenant, frontier FROM ledger_state",
        insert: "INSERT INTO ledger_state (tenant, frontier) VALUES ($1, $2)",
    },
];

/// Far enough that epochs given out after the backup was made stay fenced, too.
pub(crate) const RAISE_EPOCH: &str = "UPDATE meta SET epoch = epoch + 1048576 RETURNING epoch";
/// Nothing is done again by itself after a restore.
pub(crate) const HOLD: &str = "UPDATE task SET state = 3 WHERE state < 2";
/// What waits for a person.
pub(crate) const HELD: &str = "SELECT tenant, id, queue, body, attempt, due_at FROM task \
                               WHERE state = 3 ORDER BY tenant, id";
/// The row every new schema has, so that the copied one can take its place.
pub(crate) const FORGET_META: &str = "DELETE FROM meta";

/// Runs `write` on a file beside `to`, checks it and moves it there; half a backup never has the
/// name of a whole one.
pub(crate) fn create<T>(
    to: &Path,
    write: impl FnOnce(&Path) -> Result<T, SetupError>,
) -> Result<(T, BackupReport), SetupError> {
    let partial = partial(to)?;
    let result = write(&partial).and_then(|made| {
        let rows = count(&open(&partial)?)?;
        let file = File::open(&partial).map_err(SetupError::io(&partial))?;
        file.sync_all().map_err(SetupError::io(&partial))?;
        let bytes = file.metadata().map_err(SetupError::io(&partial))?.len();
        refuse_existing(to)?;
        move_into_place(&partial, to)?;
        Ok((made, BackupReport { rows, bytes }))
    });
    if result.is_err() {
        // Already failing; what is left behind is overwritten by the next attempt.
        let _ = std::fs::remove_file(&partial);
    }
    result
}

/// Renames and makes the new name durable.
pub(crate) fn move_into_place(from: &Path, to: &Path) -> Result<(), SetupError> {
    std::fs::rename(from, to).map_err(SetupError::io(to))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir = parent.unwrap_or_else(|| Path::new("."));
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(SetupError::io(dir))
}

/// A backup with the present schema; one of an older program is brought up to date in a copy.
pub(crate) struct Current {
    pub(crate) conn: Connection,
    _copy: Option<TempDir>,
}

impl Current {
    pub(crate) fn open(path: &Path) -> Result<Self, SetupError> {
        let conn = open(path)?;
        if pending(SQLITE, &sqlite::applied(&conn)?)?.is_empty() {
            return Ok(Self { conn, _copy: None });
        }
        let dir = tempfile::tempdir().map_err(SetupError::io(&std::env::temp_dir()))?;
        let copy = dir.path().join("backup.db");
        std::fs::copy(path, &copy).map_err(SetupError::io(&copy))?;
        let mut conn = Connection::open(&copy)?;
        sqlite::migrate(&mut conn)?;
        Ok(Self { conn, _copy: Some(dir) })
    }
}

/// Opens a backup for reading after checking that it is whole and of a known schema.
pub(crate) fn open(path: &Path) -> Result<Connection, SetupError> {
    let bad = |reason: String| SetupError::bad_backup(path, reason);
    if !path.is_file() {
        return Err(bad("there is no such file".to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| bad(error.to_string()))?;
    conn.busy_timeout(Duration::ZERO)?;
    let checked: Result<String, _> =
        conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    let checked = checked.map_err(|error| bad(error.to_string()))?;
    if checked != "ok" {
        return Err(bad(checked));
    }
    let steps = sqlite::applied(&conn).map_err(|error| bad(error.to_string()))?;
    if steps.is_empty() {
        return Err(bad("it has no schema".to_owned()));
    }
    pending(SQLITE, &steps)?;
    Ok(conn)
}

/// The tables of a schema of this version.
pub(crate) fn tables(version: i64) -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(move |table| table.since <= version)
}

/// A new file with the schema of a version and no rows.
pub(crate) fn empty_file(path: &Path, version: i64) -> Result<Connection, SetupError> {
    let mut conn = Connection::open(path)?;
    sqlite::migrate_to(&mut conn, version)?;
    conn.execute(FORGET_META, [])?;
    Ok(conn)
}

pub(crate) fn count(conn: &Connection) -> Result<Vec<TableRows>, SetupError> {
    let mut counts = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        // An older schema has fewer.
        if !conn.table_exists(None, table.name)? {
            continue;
        }
        let rows: i64 = conn.query_row(table.count, [], |row| row.get(0))?;
        counts.push(TableRows { table: table.name, rows: check::from_db(rows) });
    }
    Ok(counts)
}

/// The row of [`HELD`].
pub(crate) fn held(
    (tenant, id, queue, body, attempt, due_at): (String, String, String, String, i64, i64),
) -> Result<HeldTask, SetupError> {
    let damaged = |error: oag_store_port::StoreError| SetupError::Database(error.to_string());
    Ok(HeldTask {
        tenant: shape::tenant(tenant).map_err(damaged)?,
        id,
        queue,
        body,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        due_at: Timestamp::from_millis(due_at),
    })
}

pub(crate) fn refuse_existing(path: &Path) -> Result<(), SetupError> {
    if path.symlink_metadata().is_ok() {
        return Err(SetupError::Exists(path.to_owned()));
    }
    Ok(())
}

fn partial(to: &Path) -> Result<PathBuf, SetupError> {
    refuse_existing(to)?;
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SetupError::io(&partial)(error))
        }
        _ => Ok(partial),
    }
}
