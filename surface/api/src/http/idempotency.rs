//! `Idempotency-Key`: the same request sent twice takes effect once and is answered alike.
//!
//! The key is written down as running before the handler begins and with the answer after it
//! ends, and the handler runs to its end even when the client goes away. A key found running
//! after its process has died stays so until it is forgotten: what became of that request is not
//! known, and nothing is repeated on a guess.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use oag_runtime::{OnError, TaskKind};
use oag_store_port::{Batch, Collection, Expect, ListQuery, Record, Store, StoreError};
use oag_types::{Code, Digest, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::edge::panicked;
use super::extract::{Bulk, read_body};
use super::problem::{Answer, Failure, REQUEST_ID};
use crate::auth::{Session, unauthenticated};
use crate::doc::{Answering, Endpoint};
use crate::state::Api;

/// Where keys are kept. Not shown by watches.
pub(crate) const COLLECTION: Collection = Collection("idempotency");

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_BYTES_MAX: usize = 255;
/// Answers above this are not kept; their replay says so.
const KEPT_BYTES_MAX: usize = 512 * 1_024;
const SWEEP_BATCH: usize = 500;

/// A member of the answer that is shown once and never kept, such as a secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownOnce(pub(crate) &'static str);

/// What is kept of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    hash: Digest,
    at: Timestamp,
    /// Absent while running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<KeptAnswer>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    /// Absent when it was too large.
    body: Option<String>,
}

/// Surrounds routes with effects.
pub(crate) async fn once(api: Api, request: Request, endpoint: Endpoint) -> Response {
    if !request.headers().contains_key(KEY) {
        return to_the_end(api, request, endpoint).await;
    }
    guarded(api, request, endpoint).await.unwrap_or_else(IntoResponse::into_response)
}

/// Surrounds routes with effects that take no key.
pub(crate) async fn to_the_end(api: Api, request: Request, endpoint: Endpoint) -> Response {
    let work = endpoint(api.clone(), request);
    run_on(&api, work).await
}

/// Runs what takes effect in a task of its own, so that it ends whole even when the client goes
/// away or the time is over.
async fn run_on(api: &Api, work: Answering) -> Response {
    let (sender, receiver) = oneshot::channel();
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    let span = tracing::Span::current();
    let task = REQUEST_ID.scope(request_id, async move {
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        // The client may be gone.
        let _ = sender.send(ended.unwrap_or_else(panicked));
        Ok::<(), Infallible>(())
    });
    api.supervisor.spawn("request", TaskKind::Drains, OnError::Log, task.instrument(span));
    let lost = |_| {
        let text = "the request ended without an answer; look at what it was to change before \
                    sending it again";
        Failure::new(Code::INTERNAL, text).into_response()
    };
    receiver.await.unwrap_or_else(lost)
}

async fn guarded(api: Api, request: Request, endpoint: Endpoint) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let session = parts.extensions.get::<Session>().cloned().ok_or_else(unauthenticated)?;
    let key = key_of(&parts)?;
    let limit = match parts.extensions.get::<Bulk>() {
        Some(Bulk) => api.config.bulk_bytes_max,
        None => api.config.body_bytes_max,
    };
    let bytes = read_body(body, limit).await?;
    let id = Digest::of(format!("{}\n{key}", session.caller.principal.id).as_bytes()).to_string();
    let hash = hash_of(&parts, &bytes);
    let shown_once = parts.extensions.get::<ShownOnce>().map(|ShownOnce(member)| *member);
    let request = Request::from_parts(parts, Body::from(bytes));
    let worker = api.clone();
    // Writing the key down belongs to the work: a client that goes away in between must not leave
    // a key that seems to be running for ever.
    let work = async move {
        match begin(&worker, &session.tenant, &id, hash).await {
            Ok(None) => {}
            Ok(Some(replay)) => return replay,
            Err(failure) => return failure.into_response(),
        }
        let ended = AssertUnwindSafe(endpoint(worker.clone(), request)).catch_unwind().await;
        let response = ended.unwrap_or_else(panicked);
        finish(&worker, &session.tenant, &id, hash, response, shown_once).await
    };
    Ok(run_on(&api, Box::pin(work)).await)
}

/// Writes the key down as running, or answers from what is there.
async fn begin(api: &Api, tenant: &Tenant, id: &str, hash: Digest) -> Answer<Option<Response>> {
    let store = api.pilot.store();
    let now = api.clock.now();
    let found = store.get(tenant, COLLECTION, id).await.map_err(store_failure)?;
    let expect = match found {
        None => Expect::Absent { collection: COLLECTION, id: id.to_owned() },
        Some(record) => {
            let kept = read(&record)?;
            if now.millis_since(kept.at) < api.config.idempotency_ms {
                return replay(kept, hash).map(Some);
            }
            let revision = record.revision;
            Expect::Revision { collection: COLLECTION, id: id.to_owned(), revision }
        }
    };
    let body = write(&Kept { hash, at: now, answer: None })?;
    let batch = Batch::at(now).expect(expect).put(COLLECTION, id, body, "running");
    match store.commit(tenant, batch).await {
        Ok(_) => Ok(None),
        Err(StoreError::Conflict { .. }) => Err(busy()),
        Err(error) => Err(store_failure(error)),
    }
}

fn replay(kept: Kept, hash: Digest) -> Answer<Response> {
    if kept.hash != hash {
        let text = "this Idempotency-Key came with another request before; take a new key";
        return Err(Failure::new(Code::IDEMPOTENCY_MISMATCH, text));
    }
    let Some(answer) = kept.answer else { return Err(busy()) };
    let Some(body) = answer.body else {
        let text = "this request was carried out before; its answer was too large to keep";
        return Err(Failure::new(Code::CONFLICT, text));
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, body).into_response();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn busy() -> Failure {
    let text = "the first request with this Idempotency-Key has not ended, or its end is not known \
                because the process died: look at what it was to change; a new key begins anew";
    oag_types::Problem::new(Code::IDEMPOTENCY_BUSY, text).retry_after(2).into()
}

/// Keeps the answer, or forgets the key when nothing came of the request.
async fn finish(
    api: &Api,
    tenant: &Tenant,
    id: &str,
    hash: Digest,
    response: Response,
    shown_once: Option<&'static str>,
) -> Response {
    let status = response.status();
    let now = api.clock.now();
    // A refusal changed nothing, and an overloaded or absent part may be back: the key is free for
    // the next try. Our own fault is kept, since nobody knows how far it came.
    let keep = status.is_success() || status == StatusCode::INTERNAL_SERVER_ERROR;
    if !keep {
        let batch = Batch::at(now).delete(COLLECTION, id);
        log_failure(api.pilot.store().commit(tenant, batch).await);
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = match read_body(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(failure) => return failure.into_response(),
    };
    let names = [CONTENT_TYPE, ETAG, LOCATION];
    let headers = names.into_iter().filter_map(|name| {
        let value = parts.headers.get(&name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let answer = KeptAnswer {
        status: status.as_u16(),
        headers: headers.collect(),
        body: (bytes.len() <= KEPT_BYTES_MAX).then(|| without(&bytes, shown_once)),
    };
    if let Ok(kept) = write(&Kept { hash, at: now, answer: Some(answer) }) {
        let batch = Batch::at(now).put(COLLECTION, id, kept, "done");
        log_failure(api.pilot.store().commit(tenant, batch).await);
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn without(bytes: &[u8], member: Option<&str>) -> String {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let Some(member) = member else { return text() };
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(mut object)) => {
            object.insert(member.to_owned(), Value::Null);
            Value::Object(object).to_string()
        }
        _ => String::new(),
    }
}

/// Forgets keys that are past their time. Run it under the supervisor.
pub(crate) async fn sweep(api: &Api) -> Answer<usize> {
    let store = api.pilot.store();
    let mut forgotten = 0;
    for tenant in store.tenants().await.map_err(store_failure)? {
        forgotten += sweep_tenant(api, &*store, &tenant).await?;
    }
    Ok(forgotten)
}

async fn sweep_tenant(api: &Api, store: &dyn Store, tenant: &Tenant) -> Answer<usize> {
    let (mut after, mut forgotten) = (None, 0);
    loop {
        let query = ListQuery { after, limit: SWEEP_BATCH, ..ListQuery::default() };
        let page = store.list(tenant, COLLECTION, query).await.map_err(store_failure)?;
        let now = api.clock.now();
        let old: Vec<&Record> = page
            .records
            .iter()
            .filter(|record| now.millis_since(record.updated_at) >= api.config.idempotency_ms)
            .collect();
        if !old.is_empty() {
            forgotten += old.len();
            let batch = old
                .iter()
                .fold(Batch::at(now), |batch, record| batch.delete(COLLECTION, &record.id));
            store.commit(tenant, batch).await.map_err(store_failure)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(forgotten),
        }
    }
}

fn key_of(parts: &Parts) -> Answer<String> {
    let value = parts.headers.get(KEY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if value.is_empty() || value.len() > KEY_BYTES_MAX {
        let text = format!("send 1 to {KEY_BYTES_MAX} visible ASCII characters, such as a UUID");
        return Err(Failure::field("Idempotency-Key", text));
    }
    Ok(value.to_owned())
}

fn hash_of(parts: &Parts, body: &[u8]) -> Digest {
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let revision = parts.headers.get(http::header::IF_MATCH).map_or(&b""[..], |v| v.as_bytes());
    let mut bytes = format!("{}\n{path}\n", parts.method).into_bytes();
    bytes.extend_from_slice(revision);
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    Digest::of(&bytes)
}

fn read(record: &Record) -> Answer<Kept> {
    serde_json::from_str(&record.body).map_err(|error| {
        tracing::error!(%error, "idempotency record cannot be read");
        Failure::new(Code::INTERNAL, "what is kept about this key cannot be read; take a new key")
    })
}

fn write(kept: &Kept) -> Answer<String> {
    serde_json::to_string(kept).map_err(|error| {
        tracing::error!(%error, "idempotency record cannot be written");
        Failure::new(Code::INTERNAL, "the answer cannot be kept")
    })
}

/// What the store said, when the API itself asked it.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    match error {
        StoreError::Overloaded => Failure::new(Code::OVERLOADED, "the store's queue is full"),
        StoreError::TooOld { oldest } => Failure::new(
            Code::WATCH_GONE,
            format!("changes before revision {oldest} are no longer kept; list again"),
        ),
        error => {
            tracing::error!(%error, "store failed");
            Failure::new(Code::STORE_UNAVAILABLE, "the store does not answer")
        }
    }
}

fn log_failure<T>(result: Result<T, StoreError>) {
    if let Err(error) = result {
        tracing::error!(%error, "the end of an idempotent request could not be kept");
    }
}
