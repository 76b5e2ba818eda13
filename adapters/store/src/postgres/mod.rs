//! The store on PostgreSQL: several processes, one of them the leader by epoch.

mod address;
mod connect;
mod copy;
mod flush;
mod group;
mod inspect;
mod judge;
mod read;
mod tls;
mod write;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use deadpool_postgres::{Client, Pool};
use oag_ledger::{Hash, HashRange, Row};
use oag_store_port::{
    Batch, Change, Claim, Collection, Committed, Epoch, ListQuery, Page, ProofParts, Record,
    Revision, Store, StoreError, Task, TaskToken,
};
use oag_types::{Tenant, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use connect::explain;
pub use copy::{backup_postgres, restore_postgres};
pub(crate) use inspect::Inspector;

use crate::{HeldTask, SetupError, StoreStats, Upkeep, check};
use connect::Fail;
use writer::Writer;

/// Limits of a [`PostgresStore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresConfig {
    /// Most batches waiting for the writer; beyond, callers get `Overloaded`.
    pub queue_max: usize,
    /// Most batches in one transaction.
    pub group_max: usize,
    /// Connections beside the writer's, at least two.
    pub pool_size: usize,
    /// How long a command waits for a connection before it is `Overloaded`, in milliseconds.
    pub wait_ms: u64,
    /// How long connecting may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long one statement may take, in milliseconds; backups are exempt.
    pub statement_timeout_ms: u64,
    /// Newest changes kept per tenant.
    pub changes_kept: u64,
    /// How often a transaction that lost against another is done again.
    pub retries: u32,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            queue_max: 10_000,
            group_max: 1_000,
            pool_size: 16,
            wait_ms: 5_000,
            connect_timeout_ms: 5_000,
            statement_timeout_ms: 30_000,
            changes_kept: 100_000,
            retries: 5,
        }
    }
}

/// The truth in a PostgreSQL database of its own.
pub struct PostgresStore {
    writer: Writer,
    pool: Pool,
    retries: u32,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    groups: AtomicU64,
    commands: AtomicU64,
    refused: AtomicU64,
    overloaded: AtomicU64,
    commit_micros: AtomicU64,
}

/// Does a command until it no longer loses against another transaction.
macro_rules! retried {
    ($store:expr, $client:ident => $work:expr) => {{
        let mut tries = 0;
        loop {
            let mut $client = $store.client().await?;
            $store.counters.commands.fetch_add(1, Ordering::Relaxed);
            match $work.await {
                Ok(done) => break Ok(done),
                Err(Fail::Again(_)) if tries < $store.retries => tries += 1,
                Err(fail) => {
                    $store.counters.refused.fetch_add(1, Ordering::Relaxed);
                    break Err(StoreError::from(fail));
                }
            }
        }
    }};
}

impl PostgresStore {
    /// Connects to a database of the product's own and brings its schema up to date.
    ///
    /// # Errors
    /// `Unsupported` for an address that is wrong or promises nothing, `NewerSchema`,
    /// `AlteredMigration`, `Database`.
    pub async fn connect(url: &str, config: PostgresConfig) -> Result<Self, SetupError> {
        let pool = connect::pool(url, &config, config.pool_size.max(2))?;
        connect::migrate(&pool).await?;
        let counters = Arc::new(Counters::default());
        let own = connect::pool(url, &config, 1)?;
        let writer = Writer::start(own, &config, Arc::clone(&counters))?;
        Ok(Self { writer, pool, retries: config.retries, counters })
    }

    async fn client(&self) -> Result<Client, StoreError> {
        let client = connect::client(&self.pool).await;
        if matches!(client, Err(StoreError::Overloaded)) {
            self.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        }
        client
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn new_epoch(&self) -> Result<Epoch, StoreError> {
        retried!(self, client => write::new_epoch(&mut client))
    }

    async fn commit(&self, tenant: &Tenant, batch: Batch) -> Result<Committed, StoreError> {
        check::batch(&batch)?;
        self.writer.submit(tenant, batch).await
    }

    async fn claim(&self, tenant: &Tenant, claim: Claim) -> Result<Vec<Task>, StoreError> {
        retried!(self, client => write::claim(&mut client, tenant, &claim))
    }

    async fn renew(
        &self,
        tenant: &Tenant,
        token: &TaskToken,
        lease_until: Timestamp,
    ) -> Result<(), StoreError> {
        retried!(self, client => write::renew(&mut client, tenant, token, lease_until))
    }

    async fn get(
        &self,
        tenant: &Tenant,
        collection: Collection,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        Ok(read::get(&self.client().await?, tenant, collection, id).await?)
    }

    async fn list(
        &self,
        tenant: &Tenant,
        collection: Collection,
        query: ListQuery,
    ) -> Result<Page, StoreError> {
        Ok(read::list(&mut self.client().await?, tenant, collection, &query).await?)
    }

    async fn changes(
        &self,
        tenant: &Tenant,
        after: Revision,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        Ok(read::changes(&mut self.client().await?, tenant, after, limit).await?)
    }

    async fn revision(&self, tenant: &Tenant) -> Result<Revision, StoreError> {
        Ok(read::revision(&self.client().await?, tenant).await?)
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        Ok(read::tenants(&self.client().await?).await?)
    }

    async fn ledger_rows(
        &self,
        tenant: &Tenant,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(read::ledger_rows(&self.client().await?, tenant, from, limit).await?)
    }

    async fn ledger_by_subject(
        &self,
        tenant: &Tenant,
        subject: &str,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(read::ledger_by_subject(&self.client().await?, tenant, subject).await?)
    }

    async fn ledger_proof(
        &self,
        tenant: &Tenant,
        index: u64,
    ) -> Result<Option<ProofParts>, StoreError> {
        Ok(read::ledger_proof(&self.client().await?, tenant, index).await?)
    }

    async fn ledger_hashes(
        &self,
        tenant: &Tenant,
        ranges: &[HashRange],
    ) -> Result<Vec<Vec<Hash>>, StoreError> {
        Ok(read::ledger_hashes(&self.client().await?, tenant, ranges).await?)
    }

    async fn ledger_frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, StoreError> {
        Ok(read::ledger_frontier(&self.client().await?, tenant).await?)
    }

    async fn ledger_erase(&self, tenant: &Tenant, index: u64) -> Result<bool, StoreError> {
        retried!(self, client => write::erase(&mut client, tenant, index))
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let done = copy::backup(&mut client, to.to_owned()).await;
        done.map(|_| ()).map_err(SetupError::into_store)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let client = self.client().await?;
        connect::row(&client, "SELECT 1", &[]).await?;
        Ok(())
    }
}

#[async_trait]
impl Upkeep for PostgresStore {
    async fn held_tasks(&self, tenant: &Tenant) -> Result<Vec<HeldTask>, StoreError> {
        Ok(read::held_tasks(&self.client().await?, tenant).await?)
    }

    async fn release_held(
        &self,
        tenant: &Tenant,
        task: &str,
        due_at: Timestamp,
    ) -> Result<bool, StoreError> {
        retried!(self, client => write::release_held(&mut client, tenant, task, due_at))
    }

    async fn drop_held(
        &self,
        tenant: &Tenant,
        task: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        retried!(self, client => write::drop_held(&mut client, tenant, task, at))
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        retried!(self, client => write::prune(&mut client, before))
    }

    fn stats(&self) -> StoreStats {
        let (queue_len, queue_max) = self.writer.queue();
        StoreStats {
            queue_len,
            queue_max,
            groups: self.counters.groups.load(Ordering::Relaxed),
            commands: self.counters.commands.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            overloaded: self.counters.overloaded.load(Ordering::Relaxed),
            commit_micros: self.counters.commit_micros.load(Ordering::Relaxed),
        }
    }
}
