//! A store that, when it is asked to, compares the index of plans in hand with the plans after
//! each commit: a process can only die between two commits, so what holds after each of them holds
//! after every crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use oag_ledger::{Hash, HashRange, Row};
use oag_pilot::{InHand, PlanRecord};
use oag_store::SqliteStore;
use oag_store_port::{
    Batch, Change, Claim, Collection, Committed, Epoch, ListQuery, Page, ProofParts, Record,
    Revision, Store, StoreError, Task, TaskToken,
};
use oag_types::{Origin, Tenant, Timestamp};

pub(crate) const PLANS: Collection = Collection("plan");
pub(crate) const IN_HAND: Collection = Collection("plan_in_hand");

#[derive(Clone)]
pub(crate) struct CheckedStore {
    inner: Arc<SqliteStore>,
    /// Looking takes a while, in which what was committed can be read and is not answered yet.
    looks: Arc<AtomicBool>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl CheckedStore {
    pub(crate) fn new(inner: SqliteStore) -> Self {
        Self { inner: Arc::new(inner), looks: Arc::default(), wrong: Arc::default() }
    }

    /// Looks after each commit from now on.
    pub(crate) fn look(&self) {
        self.looks.store(true, Ordering::SeqCst);
    }

    /// The store itself, to write what no product would.
    pub(crate) fn raw(&self) -> &SqliteStore {
        &self.inner
    }

    /// What the index said otherwise than the plans, after any commit so far.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// Every record of a collection, with the tenant's revision.
    async fn all(&self, tenant: &Tenant, collection: Collection) -> (Revision, Vec<Record>) {
        let query = ListQuery { tag: None, after: None, descending: false, limit: 1_000 };
        let page = self.inner.list(tenant, collection, query).await.unwrap();
        assert!(page.next.is_none(), "small enough to look at in one read");
        (page.revision, page.records)
    }

    /// The index, and what it should be by the plans, at one revision.
    pub(crate) async fn index(
        &self,
        tenant: &Tenant,
    ) -> (BTreeMap<String, InHand>, BTreeMap<String, InHand>) {
        loop {
            let (before, plans) = self.all(tenant, PLANS).await;
            let (after, index) = self.all(tenant, IN_HAND).await;
            if before != after {
                continue;
            }
            let is = index.into_iter().map(|r| (r.id, serde_json::from_str(&r.body).unwrap()));
            let plans = plans.iter().map(|r| serde_json::from_str::<PlanRecord>(&r.body).unwrap());
            return (is.collect(), plans.flat_map(|plan| in_hand(&plan)).collect());
        }
    }
}

/// The rule, said once more in other words than the product's.
fn in_hand(plan: &PlanRecord) -> Vec<(String, InHand)> {
    let phase = plan.phase.as_str();
    let open = ["proposed", "awaiting_approval", "queued", "running"].contains(&phase);
    if !open || plan.sealed.plan().origin == Origin::Request {
        return Vec::new();
    }
    let mut entries = BTreeMap::new();
    for action in &plan.sealed.plan().actions {
        let service = &action.spec.target.service;
        let new = InHand { plan: plan.id(), phase: plan.phase, replicas: None };
        let entry = entries.entry(format!("{service}/{}", plan.id())).or_insert(new);
        if action.spec.kind.as_str() == "scale" {
            entry.replicas = action.spec.params["replicas"].as_u64().map(|n| n as u32);
        }
    }
    entries.into_iter().collect()
}

#[async_trait]
impl Store for CheckedStore {
    async fn commit(&self, tenant: &Tenant, batch: Batch) -> Result<Committed, StoreError> {
        let plans = batch.puts.iter().any(|put| [PLANS, IN_HAND].contains(&put.collection));
        let committed = self.inner.commit(tenant, batch).await?;
        if plans && self.looks.load(Ordering::SeqCst) {
            let (is, should_be) = self.index(tenant).await;
            if is != should_be {
                let text = format!("{is:#?} is not {should_be:#?}");
                self.wrong.lock().unwrap().push(text);
            }
        }
        Ok(committed)
    }

    async fn new_epoch(&self) -> Result<Epoch, StoreError> {
        self.inner.new_epoch().await
    }

    async fn claim(&self, tenant: &Tenant, claim: Claim) -> Result<Vec<Task>, StoreError> {
        self.inner.claim(tenant, claim).await
    }

    async fn renew(
        &self,
        tenant: &Tenant,
        token: &TaskToken,
        lease_until: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner.renew(tenant, token, lease_until).await
    }

    async fn get(
        &self,
        tenant: &Tenant,
        collection: Collection,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        self.inner.get(tenant, collection, id).await
    }

    async fn list(
        &self,
        tenant: &Tenant,
        collection: Collection,
        query: ListQuery,
    ) -> Result<Page, StoreError> {
        self.inner.list(tenant, collection, query).await
    }

    async fn changes(
        &self,
        tenant: &Tenant,
        after: Revision,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        self.inner.changes(tenant, after, limit).await
    }

    async fn revision(&self, tenant: &Tenant) -> Result<Revision, StoreError> {
        self.inner.revision(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.inner.tenants().await
    }

    async fn ledger_rows(
        &self,
        tenant: &Tenant,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.ledger_rows(tenant, from, limit).await
    }

    async fn ledger_by_subject(
        &self,
        tenant: &Tenant,
        subject: &str,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.ledger_by_subject(tenant, subject).await
    }

    async fn ledger_proof(
        &self,
        tenant: &Tenant,
        index: u64,
    ) -> Result<Option<ProofParts>, StoreError> {
        self.inner.ledger_proof(tenant, index).await
    }

    async fn ledger_hashes(
        &self,
        tenant: &Tenant,
        ranges: &[HashRange],
    ) -> Result<Vec<Vec<Hash>>, StoreError> {
        self.inner.ledger_hashes(tenant, ranges).await
    }

    async fn ledger_frontier(&self, tenant: &Tenant) -> Result<Vec<u8>, StoreError> {
        self.inner.ledger_frontier(tenant).await
    }

    async fn ledger_erase(&self, tenant: &Tenant, index: u64) -> Result<bool, StoreError> {
        self.inner.ledger_erase(tenant, index).await
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.inner.backup(to).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
