//! Restore into a new data directory.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::open::{self, DirLock};
use crate::portable::{HELD, HOLD, RAISE_EPOCH};
use crate::{RestoreReport, SetupError, check, portable};

const BUSY: Duration = Duration::from_secs(5);

/// Makes a store in `into`, a directory without one, from a backup. Nothing is executed: tasks
/// that were not over are held, and every epoch of before is fenced. Blocks.
///
/// # Errors
/// `BadBackup`, `NewerSchema`, `AlteredMigration`, `NotEmpty`, `InUse`, `Database`, `Io`.
pub fn restore_sqlite(from: &Path, into: &Path) -> Result<RestoreReport, SetupError> {
    drop(portable::open(from)?);
    std::fs::create_dir_all(into).map_err(SetupError::io(into))?;
    let _lock = DirLock::take(into)?;
    let place = open::database(into);
    if place.exists() {
        return Err(SetupError::NotEmpty(into.display().to_string()));
    }
    let working = into.join("truth.restoring");
    std::fs::copy(from, &working).map_err(SetupError::io(&working))?;
    let mut conn = open::writer(&working, BUSY)?;
    open::migrate(&mut conn)?;
    let report = take_over(&mut conn)?;
    // Closing the only connection moves the write-ahead log into the file.
    conn.close().map_err(|(_, error)| SetupError::from(error))?;
    portable::move_into_place(&working, &place)?;
    Ok(report)
}

fn take_over(conn: &mut Connection) -> Result<RestoreReport, SetupError> {
    let tx = conn.transaction()?;
    let epoch = tx.query_row(RAISE_EPOCH, [], |row| row.get(0))?;
    tx.execute(HOLD, [])?;
    let mut query = tx.prepare(HELD)?;
    let rows = query
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    drop(query);
    let held = rows.into_iter().map(portable::held).collect::<Result<_, _>>()?;
    let rows = portable::count(&tx)?;
    tx.commit()?;
    Ok(RestoreReport { rows, epoch: check::from_db(epoch), held })
}
