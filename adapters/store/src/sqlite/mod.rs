//! The store on SQLite: one process, one machine, one writer.

mod backup;
mod inspect;
mod open;
mod read;
mod restore;
mod write;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oag_ledger::{Hash, HashRange, Row};
use oag_store_port::{
    Batch, Change, Claim, Collection, Committed, Epoch, ListQuery, Page, ProofParts, Record,
    Revision, Store, StoreError, Task, TaskToken,
};
use oag_types::{Tenant, Timestamp};
use serde::{Deserialize, Serialize};

pub use backup::backup_sqlite;
pub(crate) use inspect::Inspector;
pub(crate) use open::{applied, migrate, migrate_to};
pub use restore::restore_sqlite;

use crate::{HeldTask, SetupError, StoreStats, Upkeep, check};
use open::DirLock;
use read::Readers;
use writer::Writer;

/// Limits of a [`SqliteStore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqliteConfig {
    /// Most commands waiting for the writer; beyond, callers get `Overloaded`.
    pub queue_max: usize,
    /// Most commands in one transaction.
    pub group_max: usize,
    /// Connections for reading.
    pub readers: usize,
    /// Newest changes kept per tenant.
    pub changes_kept: u64,
    /// How long to wait for a lock of the database file, in milliseconds.
    pub busy_timeout_ms: u64,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            queue_max: 10_000,
            group_max: 1_000,
            readers: 4,
            changes_kept: 100_000,
            busy_timeout_ms: 5_000,
        }
    }
}

/// The truth in a directory of this machine.
pub struct SqliteStore {
    // The order matters: the writer ends before the lock is let go.
    writer: Writer,
    readers: Arc<Readers>,
    dir: PathBuf,
    changes_kept: i64,
    busy: Duration,
    _lock: DirLock,
}

/// Why a command failed inside a transaction.
#[derive(Debug)]
pub(crate) enum Fail {
    Refused(StoreError),
    Sqlite(rusqlite::Error),
}

impl SqliteStore {
    /// Opens the store of a data directory, which is made when it is absent, and brings its schema
    /// up to date. Only one process can have it open.
    ///
    /// # Errors
    /// `InUse`, `NewerSchema`, `AlteredMigration`, `Database`, `Io`.
    pub fn open(dir: impl AsRef<Path>, config: SqliteConfig) -> Result<Self, SetupError> {
        let dir = dir.as_ref().to_owned();
        std::fs::create_dir_all(&dir).map_err(SetupError::io(&dir))?;
        let lock = DirLock::take(&dir)?;
        let busy = Duration::from_millis(config.busy_timeout_ms);
        let path = open::database(&dir);
        let mut conn = open::writer(&path, busy)?;
        open::migrate(&mut conn)?;
        let readers = Arc::new(Readers::new(path, busy, config.readers)?);
        let writer = Writer::start(conn, &config)?;
        let changes_kept = check::to_db(config.changes_kept.max(1));
        Ok(Self { writer, readers, dir, changes_kept, busy, _lock: lock })
    }

    /// Moves what was erased out of the write-ahead log. Best effort: a reader in the way only
    /// delays it to the next checkpoint.
    async fn empty_log(&self) {
        let (path, busy) = (open::database(&self.dir), self.busy);
        let emptied = tokio::task::spawn_blocking(move || {
            let conn = open::writer(&path, busy)?;
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .map_err(SetupError::from)
        });
        match emptied.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the write-ahead log was not emptied"),
            Err(error) => tracing::warn!(%error, "the write-ahead log was not emptied"),
        }
    }
}

impl From<rusqlite::Error> for Fail {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
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
            Fail::Sqlite(error) => Self::Unavailable(error.to_string()),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn new_epoch(&self) -> Result<Epoch, StoreError> {
        self.writer.submit(write::new_epoch).await
    }

    async fn commit(&self, tenant: &Tenant, batch: Batch) -> Result<Committed, StoreError> {
        check::batch(&batch)?;
        let (tenant, kept) = (tenant.clone(), self.changes_kept);
        self.writer.submit(move |conn| write::commit(conn, &tenant, &batch, kept)).await
    }

    async fn claim(&self, tenant: &Tenant, claim: Claim) -> Result<Vec<Task>, StoreError> {
        let tenant = tenant.clone();
        self.writer.submit(move |conn| write::claim(conn, &tenant, &claim)).await
    }

    async fn renew(
        &self,
        tenant: &Tenant,
        token: &TaskToken,
        lease_until: Timestamp,
    ) -> Result<(), StoreError> {
        let (tenant, token) = (tenant.clone(), token.clone());
        self.writer.submit(move |conn| write::renew(conn, &tenant, &token, lease_until)).await
    }

    async fn get(
        &self,
        tenant: &Tenant,
        collection: Collection,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        self.readers.run(move |conn| read::get(conn, &tenant, collection, &id)).await
    }

    async fn list(
        &self,
        tenant: &Tenant,
        collection: Collection,
        query: ListQuery,
    ) -> Result<Page, StoreError> {
        let tenant = tenant.clone();
        self.readers.run(move |conn| read::list(conn, &tenant, collection, &query)).await
    }

    async fn changes(
        &self,
        tenant: &Tenant,
        after: Revision,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let tenant = tenant.clone();
        self.readers.run(move |conn| read::changes(conn, &tenant, after, limit)).await
    }

    async fn revision(&self, tenant: &Tenant) -> Result<Revision, StoreError> {
        let tenant = tenant.clone();
        self.readers.run(move |conn| read::revision(conn, &tenant)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.readers.run(read::tenants).await
    }

    async fn ledger_rows(
        &self,
        tenant: &Tenant,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let tenant = tenant.clone();
        self.readers.run(move |conn| read::ledger_rows(conn, &tenant, from, limit)).await
    }

    async fn ledger_by_subject(
        &self,
        tenant: &Tenant,
        subject: &str,
    ) -> Result<Vec<Row>, StoreError> {
        let (tenant, subject) = (tenant.clone(), subject.to_owned());
        self.readers.run(move |conn| read::ledger_by_subject(conn, &tenant, &subject)).await
    }

    async fn ledger_proof(
        &self,
        tenant: &Tenant,
        index: u64,
    ) -> Result<Option<ProofParts>, StoreError> {
        let tenant = tenant.clone();
        self.readers.run(move |conn| read::ledger_proof(conn, &tenant, index)).await
    }

    async fn ledger_hashes(
        &self,
        tenant: &Tenant,
        ranges: &[HashRange],
    ) -> Result<Vec<Vec<Hash>>, StoreError> {
        let (tenant, ranges) = (tenant.clone(), ranges.to_vec());
        self.readers.run(move |conn| read::ledger_hashes(conn, &tenant, &ranges)).await
    }

    async fn ledger_frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, StoreError> {
        let tenant = tenant.clone();
        self.readers.run(move |conn| read::ledger_frontier(conn, &tenant)).await
    }

    async fn ledger_erase(&self, tenant: &Tenant, index: u64) -> Result<bool, StoreError> {
        let tenant = tenant.clone();
        let erased = self.writer.submit(move |conn| write::erase(conn, &tenant, index)).await?;
        if erased {
            self.empty_log().await;
        }
        Ok(erased)
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let (dir, to) = (self.dir.clone(), to.to_owned());
        let work = tokio::task::spawn_blocking(move || backup_sqlite(&dir, &to));
        let failed = |error: String| StoreError::Unavailable(error);
        let done = work.await.map_err(|error| failed(error.to_string()))?;
        done.map(|_| ()).map_err(SetupError::into_store)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.writer.submit(|_| Ok(())).await
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    async fn held_tasks(&self, tenant: &Tenant) -> Result<Vec<HeldTask>, StoreError> {
        let tenant = tenant.clone();
        self.readers.run(move |conn| read::held_tasks(conn, &tenant)).await
    }

    async fn release_held(
        &self,
        tenant: &Tenant,
        task: &str,
        due_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (tenant, task) = (tenant.clone(), task.to_owned());
        self.writer.submit(move |conn| write::release_held(conn, &tenant, &task, due_at)).await
    }

    async fn drop_held(
        &self,
        tenant: &Tenant,
        task: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (tenant, task) = (tenant.clone(), task.to_owned());
        self.writer.submit(move |conn| write::drop_held(conn, &tenant, &task, at)).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.writer.submit(move |conn| write::prune(conn, before)).await
    }

    fn stats(&self) -> StoreStats {
        self.writer.stats()
    }
}
