//! The ledger as callers see it: heads, rows, proofs, tiles, erasure, and signed checkpoints.

use std::sync::PoisonError;

use oag_guard::{Resource, permissions};
use oag_ledger::{
    Checkpoint, Frontier, HashRange, KnownHashes, ProofBundle, Row, TILE_WIDTH, tile_bytes,
    tile_width,
};
use oag_store_port::Batch;
use oag_types::{Problem, Tenant};
use serde_json::{Value, json};

use crate::docs::{self, CHECKPOINTS, store_problem};
use crate::{Caller, Pilot};

/// The present head of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHead {
    /// Rows.
    pub size: u64,
    /// Root of the Merkle tree, hexadecimal.
    pub root: String,
    /// Signed note over this head.
    pub checkpoint: String,
    /// The key that verifies it, in the C2SP vkey form.
    pub verifier_key: String,
}

/// A row as callers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow {
    /// Its index, from 0.
    pub index: u64,
    /// When, in RFC 3339.
    pub at: String,
    /// What kind of row.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// What the tree commits to, hexadecimal.
    pub leaf_hash: String,
    /// The payload; null when erased.
    pub payload: Value,
    /// Whether the payload was erased.
    pub erased: bool,
}

impl Pilot {
    /// The head, signed.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn ledger_head(
        &self,
        tenant: &Tenant,
        caller: &Caller,
    ) -> Result<LedgerHead, Problem> {
        self.may_read(tenant, caller).await?;
        let frontier = self.frontier(tenant).await?;
        let checkpoint = self.sign(tenant, &frontier)?;
        let key = self.log_keys.of(tenant).map_err(docs::internal)?;
        Ok(LedgerHead {
            size: frontier.size(),
            root: frontier.root().to_string(),
            checkpoint,
            verifier_key: key.verifier().to_string(),
        })
    }

    /// Rows from an index.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn ledger_rows(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        from: u64,
        limit: usize,
    ) -> Result<Vec<LedgerRow>, Problem> {
        self.may_read(tenant, caller).await?;
        let limit = limit.clamp(1, 1_000);
        let rows = self.store.ledger_rows(tenant, from, limit).await.map_err(store_problem)?;
        rows.iter().map(view).collect()
    }

    /// The rows about a subject, oldest first.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn ledger_by_subject(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        subject: &str,
    ) -> Result<Vec<LedgerRow>, Problem> {
        self.may_read(tenant, caller).await?;
        self.subject_rows(tenant, subject).await
    }

    /// A proof that a row is in the tree, which a third party can check alone.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, or when the store does not answer.
    pub async fn ledger_proof(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        index: u64,
    ) -> Result<ProofBundle, Problem> {
        self.may_read(tenant, caller).await?;
        let parts = self.store.ledger_proof(tenant, index).await.map_err(store_problem)?;
        let parts = parts.ok_or_else(|| Problem::not_found("ledger row", index))?;
        let note = self.sign(tenant, &parts.frontier)?;
        ProofBundle::new(&parts.row, &parts.frontier, note, &parts.hashes).map_err(docs::internal)
    }

    /// A tile of the tree, as C2SP tlog-tiles lays it out: up to 256 hashes of 32 bytes.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND` when the tree does not reach there, a width it does not have.
    pub async fn ledger_tile(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        level: u8,
        index: u64,
        width: Option<u16>,
    ) -> Result<Vec<u8>, Problem> {
        self.may_read(tenant, caller).await?;
        let size = self.frontier(tenant).await?.size();
        let present = tile_width(level, index, size);
        let width = width.unwrap_or(TILE_WIDTH);
        if width == 0 || width > present {
            let text = format!("{index} of level {level} (it has {present} hashes)");
            return Err(Problem::not_found("ledger tile", text));
        }
        let start = index.saturating_mul(u64::from(TILE_WIDTH));
        let range = HashRange { level, start, count: u64::from(width) };
        let found = self.store.ledger_hashes(tenant, &[range]).await.map_err(store_problem)?;
        let mut known = KnownHashes::new();
        known.insert_range(range, found.concat());
        tile_bytes(level, index, width, &known).map_err(docs::internal)
    }

    /// Erases a row's payload and salt; its proof keeps holding. The erasure is itself recorded.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, a missing reason.
    pub async fn ledger_erase(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        index: u64,
        reason: &str,
    ) -> Result<bool, Problem> {
        self.require(tenant, caller, permissions::LEDGER_ERASE, &Resource::tenant()).await?;
        if reason.trim().is_empty() {
            return Err(Problem::field("reason", "say why, for the ledger"));
        }
        if index >= self.frontier(tenant).await?.size() {
            return Err(Problem::not_found("ledger row", index));
        }
        let payload = json!({"row": index, "by": caller.principal.id, "reason": reason});
        let batch = self.batch().ledger("erasure", format!("row:{index}"), payload.to_string());
        self.save(tenant, batch).await?;
        self.store.ledger_erase(tenant, index).await.map_err(store_problem)
    }

    /// Signs and exports a checkpoint when rows were added and it is time. Returns its size when
    /// one was made. `now` forces it, as at the end of a drain.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn checkpoint(&self, tenant: &Tenant, at_once: bool) -> Result<Option<u64>, Problem> {
        let frontier = self.frontier(tenant).await?;
        let (size, now) = (frontier.size(), self.now());
        let (signed, at) = self
            .signed_sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(tenant)
            .copied()
            .unwrap_or((0, now.plus_millis(i64::MIN)));
        let age = u64::try_from(now.millis_since(at)).unwrap_or(0);
        let many = size.saturating_sub(signed) >= self.config.checkpoint_rows;
        if size == signed || !(at_once || many || age >= self.config.checkpoint_ms) {
            return Ok(None);
        }
        let note = self.sign(tenant, &frontier)?;
        let body = json!({"size": size, "note": note}).to_string();
        let batch = Batch::at(now).put(CHECKPOINTS, format!("{size:020}"), body, "");
        self.save(tenant, batch).await?;
        self.checkpoints.keep(tenant, size, &note);
        self.signed_sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tenant.clone(), (size, now));
        Ok(Some(size))
    }

    pub(crate) async fn subject_rows(
        &self,
        tenant: &Tenant,
        subject: &str,
    ) -> Result<Vec<LedgerRow>, Problem> {
        let rows = self.store.ledger_by_subject(tenant, subject).await.map_err(store_problem)?;
        rows.iter().map(view).collect()
    }

    async fn may_read(&self, tenant: &Tenant, caller: &Caller) -> Result<(), Problem> {
        self.require(tenant, caller, permissions::LEDGER_VIEW, &Resource::tenant()).await
    }

    async fn frontier(&self, tenant: &Tenant) -> Result<Frontier, Problem> {
        let bytes = self.store.ledger_frontier(tenant).await.map_err(store_problem)?;
        if bytes.is_empty() {
            return Ok(Frontier::new());
        }
        Frontier::parse(&bytes).map_err(docs::internal)
    }

    fn sign(&self, tenant: &Tenant, frontier: &Frontier) -> Result<String, Problem> {
        let key = self.log_keys.of(tenant).map_err(docs::internal)?;
        Checkpoint::of(key.name(), frontier).sign(&key).map_err(docs::internal)
    }
}

fn view(row: &Row) -> Result<LedgerRow, Problem> {
    let entry = row.parse_entry().map_err(docs::internal)?;
    let payload = row.payload.as_deref().map(serde_json::from_slice).transpose();
    Ok(LedgerRow {
        index: row.index,
        at: entry.at.clone(),
        kind: entry.kind.to_string(),
        subject: entry.subject.clone(),
        leaf_hash: row.leaf_hash.to_string(),
        erased: row.is_erased(),
        payload: payload.map_err(docs::internal)?.unwrap_or_default(),
    })
}
