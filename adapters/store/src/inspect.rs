//! Reading the ledger of a store beside the process that uses it.

use std::path::Path;

use oag_ledger::{CompletedNode, Row};
use oag_types::Tenant;

use crate::{PostgresConfig, SetupError, postgres, sqlite};

/// Sees one moment of a store's ledger; writers go on meanwhile. It changes nothing, and takes a
/// store whose schema is older than this program, too.
pub struct LedgerReader(Source);

enum Source {
    Sqlite(sqlite::Inspector),
    Postgres(postgres::Inspector),
}

/// Asks the one or the other.
macro_rules! ask {
    ($reader:expr, $source:ident => $question:expr) => {
        match &$reader.0 {
            Source::Sqlite($source) => $question,
            Source::Postgres($source) => $question.await,
        }
    };
}

impl LedgerReader {
    /// Opens the store of a directory. No lock is taken.
    ///
    /// # Errors
    /// When there is no store, it is of a newer program, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, SetupError> {
        Ok(Self(Source::Sqlite(sqlite::Inspector::open(dir)?)))
    }

    /// Opens the store in a PostgreSQL database.
    ///
    /// # Errors
    /// `Unsupported`, or when there is no store, it is of a newer program, or it cannot be read.
    pub async fn connect(url: &str, config: &PostgresConfig) -> Result<Self, SetupError> {
        Ok(Self(Source::Postgres(postgres::Inspector::connect(url, config).await?)))
    }

    /// Rows from an index, in order of index, at most `limit` (capped at 4,096).
    ///
    /// # Errors
    /// When the database cannot be read or a row does not have the form of one.
    pub async fn rows(
        &self,
        tenant: &Tenant,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Row>, SetupError> {
        ask!(self, source => source.rows(tenant, from, limit))
    }

    /// Roots of completed subtrees at a tile level, from an index, at most `limit` (capped at
    /// 4,096).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn nodes(
        &self,
        tenant: &Tenant,
        level: u8,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CompletedNode>, SetupError> {
        ask!(self, source => source.nodes(tenant, level, from, limit))
    }

    /// Full tiles at a level, index and content, from an index, at most `limit` (capped at 256).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tiles(
        &self,
        tenant: &Tenant,
        level: u8,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, SetupError> {
        ask!(self, source => source.tiles(tenant, level, from, limit))
    }

    /// The stored frontier, serialised as `oag_ledger::Frontier` does.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, SetupError> {
        ask!(self, source => source.frontier(tenant))
    }

    /// The bodies of a collection's records, in order of id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn bodies(
        &self,
        tenant: &Tenant,
        collection: &str,
    ) -> Result<Vec<String>, SetupError> {
        ask!(self, source => source.bodies(tenant, collection))
    }
}
