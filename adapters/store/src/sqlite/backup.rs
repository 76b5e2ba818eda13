//! Backup of a SQLite store, while it is in use.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::open;
use crate::{BackupReport, SetupError, portable};

/// Pages copied at once.
const PAGES: i32 = 1_024;
/// How often a step may find the database locked before the backup fails.
const LOCKED_MAX: u32 = 500;
const BUSY: Duration = Duration::from_secs(5);

/// Writes a consistent copy of the store in a data directory to a new file. Writers go on, in this
/// process or another; the copy is of the moment it began. Blocks.
///
/// # Errors
/// `Exists` when the destination is there, `BadBackup` when the copy fails its integrity check,
/// `Database`, `Io`.
pub fn backup_sqlite(dir: &Path, to: &Path) -> Result<BackupReport, SetupError> {
    let path = open::database(dir);
    if !path.is_file() {
        return Err(SetupError::Database(format!("no store in {}", dir.display())));
    }
    let source = open::reader(&path, BUSY)?;
    // A copy starts over whenever its source changes; inside a read transaction it never does.
    let snapshot = source.unchecked_transaction()?;
    snapshot.query_row("SELECT epoch FROM meta", [], |_| Ok(()))?;
    let (_, report) = portable::create(to, |partial| {
        let mut copy = Connection::open(partial)?;
        pages(&snapshot, &mut copy)?;
        // The header says write-ahead log; as a backup it is one file.
        copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        copy.close().map_err(|(_, error)| SetupError::from(error))
    })?;
    Ok(report)
}

fn pages(source: &Connection, copy: &mut Connection) -> Result<(), SetupError> {
    let backup = Backup::new(source, copy)?;
    let mut locked = 0;
    loop {
        match backup.step(PAGES)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ if locked < LOCKED_MAX => {
                locked += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => return Err(SetupError::Database("the database stays locked".to_owned())),
        }
    }
}
