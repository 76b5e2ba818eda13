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
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::idempotency::store_failure;
use super::listener::Listener;
use super::problem::{Answer, Failure};
use crate::auth::Session;
use crate::state::Api;

const READ_MAX: usize = 256;

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
    let listener = Listener::begin(api, session)?;
    let store = api.pilot.store();
    // Subscribed before the first read, so that no tick is lost between the two.
    let ticks = api.pilot.watch();
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
        topics,
        ticks,
        at,
        ready: VecDeque::new(),
        next_bookmark: api.clock.monotonic(),
        listener,
    };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok::<Event, Infallible>(event), watcher))
    });
    Ok(Sse::new(events).into_response())
}

struct Watcher {
    listener: Listener,
    store: Arc<dyn Store>,
    topics: Vec<Topic>,
    ticks: watch::Receiver<u64>,
    at: u64,
    ready: VecDeque<Event>,
    next_bookmark: Duration,
}

impl Watcher {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.listener.goes_on().await {
                return None;
            }
            let tenant = &self.listener.session.tenant;
            match self.store.changes(tenant, self.at, READ_MAX).await {
                Ok(changes) if changes.is_empty() => {
                    if let Some(event) = self.rest().await {
                        return Some(event);
                    }
                }
                Ok(changes) => self.take(changes).await,
                Err(error) => {
                    self.listener.end();
                    return Some(last_words(error));
                }
            }
        }
    }

    async fn take(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.at = self.at.max(change.revision);
            let topic = self.topics.iter().find(|topic| topic.resource == change.collection);
            let Some(topic) = topic.copied() else { continue };
            let Listener { api, session, .. } = &self.listener;
            if !session.may_see(api, topic, &change).await {
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
        let now = self.listener.api.clock.monotonic();
        if now >= self.next_bookmark {
            let every = self.listener.api.config.bookmark_ms;
            self.next_bookmark = now + Duration::from_millis(every);
            let revision = self.at;
            let data = serde_json::to_string(&Bookmark { revision }).unwrap_or_default();
            return Some(Event::default().event("bookmark").id(revision.to_string()).data(data));
        }
        let changed = tokio::select! {
            changed = self.ticks.changed() => changed,
            // Other processes write too; their changes are seen after a look at the latest.
            () = self.listener.rest(self.next_bookmark - now) => Ok(()),
        };
        if changed.is_err() {
            self.listener.end();
        }
        None
    }
}

fn last_words(error: StoreError) -> Event {
    let document = store_failure(error).document();
    Event::default().event("error").data(serde_json::to_string(&document).unwrap_or_default())
}
