//! Reading a store beside the process that uses it.

use std::path::Path;
use std::time::Duration;

use oag_ledger::{CompletedNode, Row};
use oag_types::Tenant;
use rusqlite::Connection;

use super::{Fail, open, read};
use crate::SetupError;
use crate::migration::{SQLITE, TILES, pending};

const BUSY: Duration = Duration::from_secs(10);

/// One read transaction on the file.
pub(crate) struct Inspector {
    conn: Connection,
    has_tiles: bool,
}

impl Inspector {
    pub(crate) fn open(dir: &Path) -> Result<Self, SetupError> {
        let path = open::database(dir);
        if !path.is_file() {
            return Err(SetupError::Database(format!("no store in {}", dir.display())));
        }
        let conn = open::reader(&path, BUSY)?;
        // Ends with the connection; until then every read sees the same moment.
        conn.execute_batch("BEGIN DEFERRED")?;
        let steps = open::applied(&conn)?;
        let has_tiles = pending(SQLITE, &steps)?.iter().all(|step| step.version > TILES);
        Ok(Self { conn, has_tiles })
    }

    pub(crate) fn rows(
        &self,
        tenant: &Tenant,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Row>, SetupError> {
        read::ledger_rows(&self.conn, tenant, from, limit).map_err(failed)
    }

    pub(crate) fn nodes(
        &self,
        tenant: &Tenant,
        level: u8,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CompletedNode>, SetupError> {
        read::ledger_nodes(&self.conn, tenant, level, from, limit).map_err(failed)
    }

    pub(crate) fn tiles(
        &self,
        tenant: &Tenant,
        level: u8,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, SetupError> {
        if !self.has_tiles {
            return Ok(Vec::new());
        }
        read::ledger_tiles(&self.conn, tenant, level, from, limit).map_err(failed)
    }

    pub(crate) fn frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, SetupError> {
        read::ledger_frontier(&self.conn, tenant).map_err(failed)
    }

    pub(crate) fn bodies(
        &self,
        tenant: &Tenant,
        collection: &str,
    ) -> Result<Vec<String>, SetupError> {
        let mut select = self.conn.prepare_cached(
            "SELECT body FROM record WHERE tenant = ?1 AND collection = ?2 ORDER BY id",
        )?;
        let rows = select.query_map((tenant.as_str(), collection), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn failed(fail: Fail) -> SetupError {
    match fail {
        Fail::Sqlite(error) => error.into(),
        Fail::Refused(error) => SetupError::Database(error.to_string()),
    }
}
