//! Reading a store beside the process that uses it.

use deadpool_postgres::Client;
use oag_ledger::{CompletedNode, Row};
use oag_types::Tenant;

use super::connect::{self, Fail, NO_HURRY, rows};
use super::{PostgresConfig, copy, read};
use crate::SetupError;
use crate::migration::{POSTGRES, TILES, pending};

/// One read transaction on a connection of its own.
pub(crate) struct Inspector {
    client: Client,
    has_tiles: bool,
}

impl Inspector {
    pub(crate) async fn connect(url: &str, config: &PostgresConfig) -> Result<Self, SetupError> {
        let pool = connect::pool(url, config, 1)?;
        let client = connect::client(&pool).await.map_err(unavailable)?;
        // Ends with the connection, which is closed, for its pool is gone.
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        client.batch_execute(NO_HURRY).await?;
        let steps = connect::applied(&client).await?;
        if steps.is_empty() {
            return Err(copy::no_store());
        }
        let has_tiles = pending(POSTGRES, &steps)?.iter().all(|step| step.version > TILES);
        Ok(Self { client, has_tiles })
    }

    pub(crate) async fn rows(
        &self,
        tenant: &Tenant,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Row>, SetupError> {
        read::ledger_rows(&self.client, tenant, from, limit).await.map_err(failed)
    }

    pub(crate) async fn nodes(
        &self,
        tenant: &Tenant,
        level: u8,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CompletedNode>, SetupError> {
        read::ledger_nodes(&self.client, tenant, level, from, limit).await.map_err(failed)
    }

    pub(crate) async fn tiles(
        &self,
        tenant: &Tenant,
        level: u8,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, SetupError> {
        if !self.has_tiles {
            return Ok(Vec::new());
        }
        read::ledger_tiles(&self.client, tenant, level, from, limit).await.map_err(failed)
    }

    pub(crate) async fn frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, SetupError> {
        read::ledger_frontier(&self.client, tenant).await.map_err(failed)
    }

    pub(crate) async fn bodies(
        &self,
        tenant: &Tenant,
        collection: &str,
    ) -> Result<Vec<String>, SetupError> {
        let sql = "SELECT body FROM record WHERE tenant = $1 AND collection = $2 ORDER BY id";
        let found = rows(&self.client, sql, &[&tenant.as_str(), &collection]).await;
        let bodies = found.map_err(failed)?.into_iter().map(|row| row.try_get(0));
        Ok(bodies.collect::<Result<_, _>>()?)
    }
}

fn failed(fail: Fail) -> SetupError {
    unavailable(fail.into())
}

fn unavailable(error: oag_store_port::StoreError) -> SetupError {
    SetupError::Database(error.to_string())
}
