//! Documents in the store: which collections there are, and reading and writing them as JSON.

use oag_store_port::{Collection, Expect, ListQuery, Record, Store, StoreError};
use oag_types::{Code, Problem, Tenant};

use crate::Versioned;
use crate::document::Document;

pub(crate) const SERVICES: Collection = Collection("service");
pub(crate) const PLANS: Collection = Collection("plan");
pub(crate) const STORIES: Collection = Collection("story");
pub(crate) const FINDINGS: Collection = Collection("finding");
pub(crate) const PRINCIPALS: Collection = Collection("principal");
pub(crate) const KEYS: Collection = Collection("key");
pub(crate) const GUARD: Collection = Collection("guard");
pub(crate) const NOTICES: Collection = Collection("notification");
pub(crate) const CHECKPOINTS: Collection = Collection("checkpoint");
pub(crate) const IN_HAND: Collection = Collection("plan_in_hand");
pub(crate) const TRIALS: Collection = Collection("trial");
pub(crate) const BREAKERS: Collection = Collection("breaker");
pub(crate) const NODES: Collection = Collection("node");
pub(crate) const NODE_TOKENS: Collection = Collection("node_token");

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageRequest {
    /// The id after which the page begins.
    pub after: Option<String>,
    /// At most this many; 0 stands for 100, more than 1,000 for 1,000.
    pub limit: usize,
}

/// One page of a list, newest first where ids carry time.
#[derive(Debug, Clone, PartialEq)]
pub struct PageOf<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to pass as `after` for the next page; absent on the last.
    pub next: Option<String>,
    /// The tenant's revision at which it was read; watches continue from here.
    pub revision: u64,
}

/// Says in the caller's words what the store said.
pub(crate) fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict { collection, id } => Problem::new(
            Code::CONFLICT,
            format!("{collection} '{id}' was changed by somebody else meanwhile; read it again"),
        ),
        StoreError::Invalid(text) => Problem::new(Code::INVALID_INPUT, text),
        StoreError::Overloaded => {
            Problem::new(Code::OVERLOADED, "the store's write queue is full").retry_after(1)
        }
        StoreError::TooOld { oldest } => Problem::new(
            Code::WATCH_GONE,
            format!("changes before revision {oldest} are no longer kept; list again"),
        ),
        StoreError::LostLease(_) | StoreError::Fenced { .. } => {
            tracing::warn!(%error, "another leader took over");
            Problem::new(Code::STORE_UNAVAILABLE, "another process took over").retry_after(5)
        }
        StoreError::Unavailable(_) => {
            tracing::error!(%error, "store failed");
            Problem::new(Code::STORE_UNAVAILABLE, "the store does not answer").retry_after(5)
        }
        StoreError::OutcomeUnknown(_) => {
            tracing::error!(%error, "store failed while it was writing");
            let text = "the store was lost while it was writing; look before you try again";
            Problem::new(Code::STORE_UNAVAILABLE, text)
        }
    }
}

pub(crate) fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "internal error");
    Problem::new(Code::INTERNAL, "an internal document could not be read or written; see the log")
}

pub(crate) fn to_json<T: Document>(value: &T) -> Result<String, Problem> {
    value.write().map_err(internal)
}

pub(crate) fn from_record<T: Document>(record: &Record) -> Result<Versioned<T>, Problem> {
    let value =
        T::read(&record.body).map_err(|error| internal(format!("{}: {error}", record.id)))?;
    Ok(Versioned { value, revision: record.revision })
}

/// Reads one document.
pub(crate) async fn get<T: Document>(
    store: &dyn Store,
    tenant: &Tenant,
    collection: Collection,
    id: &str,
) -> Result<Option<Versioned<T>>, Problem> {
    let record = store.get(tenant, collection, id).await.map_err(store_problem)?;
    record.as_ref().map(from_record).transpose()
}

/// Reads one page of documents.
pub(crate) async fn page<T: Document>(
    store: &dyn Store,
    tenant: &Tenant,
    collection: Collection,
    tag: Option<String>,
    request: PageRequest,
    descending: bool,
) -> Result<PageOf<Versioned<T>>, Problem> {
    let limit = if request.limit == 0 { 100 } else { request.limit.min(1_000) };
    let query = ListQuery { tag, after: request.after, descending, limit };
    let page = store.list(tenant, collection, query).await.map_err(store_problem)?;
    let items = page.records.iter().map(from_record).collect::<Result<_, _>>()?;
    Ok(PageOf { items, next: page.next, revision: page.revision })
}

/// Reads every document of a collection; for collections that stay small.
pub(crate) async fn all<T: Document>(
    store: &dyn Store,
    tenant: &Tenant,
    collection: Collection,
) -> Result<Vec<Versioned<T>>, Problem> {
    let records = all_records(store, tenant, collection).await?;
    records.iter().map(from_record).collect()
}

/// The same, as they are stored.
pub(crate) async fn all_records(
    store: &dyn Store,
    tenant: &Tenant,
    collection: Collection,
) -> Result<Vec<Record>, Problem> {
    let mut records = Vec::new();
    let mut after = None;
    loop {
        let query = ListQuery { tag: None, after, descending: false, limit: 1_000 };
        let mut page = store.list(tenant, collection, query).await.map_err(store_problem)?;
        records.append(&mut page.records);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(records),
        }
    }
}

/// The condition that a record is as it was read.
pub(crate) fn unchanged(collection: Collection, id: &str, revision: u64) -> Expect {
    Expect::Revision { collection, id: id.to_owned(), revision }
}

/// The condition that a record is new.
pub(crate) fn absent(collection: Collection, id: &str) -> Expect {
    Expect::Absent { collection, id: id.to_owned() }
}
