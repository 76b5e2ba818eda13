//! Watches: changes as server-sent events, from a revision on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::HeaderMap;
use oag_store_port::{Change, Store, StoreError};
use oag_types::{Code, Tenant};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::idempotency::store_failure;
use super::problem::{Answer, Failure};
use crate::auth::Session;
use crate::state::Api;

const READ_MAX: usize = 256;
/// Other processes write too; their changes are seen after this time at the latest. As often it is
/// asked whether the caller is still let in.
const LOOK: Duration = Duration::from_secs(2);

wire! {
    /// A change, sent as the data of an event whose id is the revision.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"resource": "plan", "id": "pln_019a0c7e5f0a7bd2a1b2c3d4e5f60718", "revision": 42, "deleted": false})]
    pub struct WatchEvent {
        /// What kind of thing changed, such as `plan`.
        pub resource: String,
        /// Its id.
        pub id: String,
        /// The revision of the change.
        pub revision: u64,
        /// Whether it is gone.
        pub deleted: bool,
    }

    /// A sign that nothing before this revision is still to come; the data of an event `bookmark`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Bookmark {
        /// The revision to go on from.
        pub revision: u64,
    }
}

/// What a watch shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topic {
    /// The collection.
    pub(crate) resource: &'static str,
    /// What one must be allowed to, on the whole tenant, to see every change of it.
    pub(crate) permission: &'static str,
}

/// Begins a watch.
pub(crate) async fn watch(
    api: &Api,
    session: &Session,
    topics: Vec<Topic>,
    headers: &HeaderMap,
    from: Option<u64>,
) -> Answer<Response> {
    let Ok(permit) = Arc::clone(&api.watchers).try_acquire_owned() else {
        let text = format!("{} watches are open already", api.config.watchers_max);
        return Err(Failure::new(Code::OVERLOADED, text));
    };
    let store = api.pilot.store();
    // Subscribed before the first read, so that no tick is lost between the two.
    let ticks = api.pilot.watch();
    let callers = api.known.changes();
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let present = store.revision(&session.tenant).await.map_err(store_failure)?;
    let at = resumed.or(from).unwrap_or(present);
    if at > present {
        let text = format!("{at} is not reached yet; the present revision is {present}");
        return Err(Failure::field("from_revision", text));
    }
    // A revision that is too old is answered before the stream begins.
    store.changes(&session.tenant, at, 1).await.map_err(store_failure)?;
    let watcher = Watcher {
        store,
        tenant: session.tenant.clone(),
        topics,
        session: session.clone(),
        ticks,
        callers,
        renewed: api.clock.monotonic(),
        at,
        ready: VecDeque::new(),
        ends: api.clock.monotonic() + Duration::from_millis(api.config.watch_max_ms),
        next_bookmark: api.clock.monotonic(),
        api: api.clone(),
        over: false,
        _permit: permit,
    };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok::<Event, Infallible>(event), watcher))
    });
    Ok(Sse::new(events).into_response())
}

struct Watcher {
    api: Api,
    store: Arc<dyn Store>,
    tenant: Tenant,
    session: Session,
    topics: Vec<Topic>,
    ticks: watch::Receiver<u64>,
    /// Ticks when keys or principals change here.
    callers: watch::Receiver<u64>,
    /// When it was last asked who watches.
    renewed: Duration,
    at: u64,
    ready: VecDeque<Event>,
    ends: Duration,
    next_bookmark: Duration,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over || !self.still_let_in().await {
                return None;
            }
            match self.store.changes(&self.tenant, self.at, READ_MAX).await {
                Ok(changes) if changes.is_empty() => {
                    if let Some(event) = self.rest().await {
                        return Some(event);
                    }
                }
                Ok(changes) => self.take(changes).await,
                Err(error) => {
                    self.over = true;
                    return Some(last_words(error));
                }
            }
        }
    }

    /// Asks now and then, and whenever keys or principals changed here, who watches.
    async fn still_let_in(&mut self) -> bool {
        let now = self.api.clock.monotonic();
        let changed = self.callers.has_changed().unwrap_or(false);
        if !changed && now.saturating_sub(self.renewed) < LOOK {
            return true;
        }
        self.callers.mark_unchanged();
        self.renewed = now;
        self.over = !self.session.renew(&self.api).await;
        !self.over
    }

    async fn take(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.at = self.at.max(change.revision);
            let topic = self.topics.iter().find(|topic| topic.resource == change.collection);
            let Some(topic) = topic.copied() else { continue };
            if !self.session.may_see(&self.api, topic, &change).await {
                continue;
            }
            let event = WatchEvent {
                resource: change.collection,
                id: change.id,
                revision: change.revision,
                deleted: change.deleted,
            };
            let data = serde_json::to_string(&event).unwrap_or_default();
            self.ready.push_back(Event::default().id(event.revision.to_string()).data(data));
        }
    }

    /// Waits for a change, the next bookmark or the end.
    async fn rest(&mut self) -> Option<Event> {
        let now = self.api.clock.monotonic();
        if now >= self.ends {
            self.over = true;
            return None;
        }
        if now >= self.next_bookmark {
            self.next_bookmark = now + Duration::from_millis(self.api.config.bookmark_ms);
            let revision = self.at;
            let data = serde_json::to_string(&Bookmark { revision }).unwrap_or_default();
            return Some(Event::default().event("bookmark").id(revision.to_string()).data(data));
        }
        let until = (self.next_bookmark - now).min(LOOK);
        let draining = self.api.supervisor.shutdown().clone();
        tokio::select! {
            changed = self.ticks.changed() => self.over = changed.is_err(),
            Ok(()) = self.callers.changed() => self.callers.mark_changed(),
            () = tokio::time::sleep(until) => {}
            () = draining.draining() => self.over = true,
        }
        None
    }
}

fn last_words(error: StoreError) -> Event {
    let document = store_failure(error).document();
    Event::default().event("error").data(serde_json::to_string(&document).unwrap_or_default())
}
