//! Reading the ledger of a store beside the process that uses it.

use std::path::Path;
use std::time::Duration;

use oag_ledger::{CompletedNode, Row};
use oag_types::Tenant;
use rusqlite::Connection;

use super::{open, read};
use crate::SetupError;

const BUSY: Duration = Duration::from_secs(10);

/// Sees one moment of a store's ledger; writers go on meanwhile.
pub struct LedgerReader {
    conn: Connection,
}

impl LedgerReader {
    /// Opens the store of a directory for reading only. No lock is taken.
    ///
    /// # Errors
    /// When there is no store, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, SetupError> {
        let path = open::database(dir);
        if !path.is_file() {
            return Err(SetupError::Database(format!("no store in {}", dir.display())));
        }
        let conn = open::reader(&path, BUSY)?;
        // Ends with the connection; until then every read sees the same moment.
        conn.execute_batch("BEGIN DEFERRED")?;
        Ok(Self { conn })
    }

    /// Rows from an index, in order of index, at most `limit` (capped at 4,096).
    ///
    /// # Errors
    /// When the database cannot be read or a row does not have the form of one.
    pub fn rows(&self, tenant: &Tenant, from: u64, limit: usize) -> Result<Vec<Row>, SetupError> {
        read::ledger_rows(&self.conn, tenant, from, limit).map_err(failed)
    }

    /// Roots of completed subtrees at a tile level, from an index, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn nodes(
        &self,
        tenant: &Tenant,
        level: u8,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CompletedNode>, SetupError> {
        read::ledger_nodes(&self.conn, tenant, level, from, limit).map_err(failed)
    }

    /// The stored frontier, serialised as `oag_ledger::Frontier` does.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, SetupError> {
        read::ledger_frontier(&self.conn, tenant).map_err(failed)
    }

    /// The bodies of a collection's records, in order of id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn bodies(&self, tenant: &Tenant, collection: &str) -> Result<Vec<String>, SetupError> {
        let mut select = self.conn.prepare_cached(
            "SELECT body FROM record WHERE tenant = ?1 AND collection = ?2 ORDER BY id",
        )?;
        let rows = select.query_map((tenant.as_str(), collection), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn failed(fail: super::Fail) -> SetupError {
    match fail {
        super::Fail::Sqlite(error) => error.into(),
        super::Fail::Refused(error) => SetupError::Database(error.to_string()),
    }
}
