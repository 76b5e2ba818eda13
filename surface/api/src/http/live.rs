//! Lists that are no records: the whole of one again whenever it is another, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;

use super::listener::Listener;
use super::problem::Answer;
use crate::auth::Session;
use crate::state::Api;

/// Sends what `read` gives now, and again whenever it has changed.
pub(crate) fn live<T, R>(api: &Api, session: &Session, read: R) -> Answer<Response>
where
    T: Serialize,
    R: Fn(&Api, &Session) -> Answer<T> + Send + 'static,
{
    let listener = Listener::begin(api, session)?;
    let every = Duration::from_millis(api.config.live_ms);
    let state = (listener, read, String::new(), api.clock.monotonic());
    let events = stream::unfold(state, move |(mut listener, read, last, mut spoke)| async move {
        while listener.goes_on().await {
            let found = read(&listener.api, &listener.session).ok();
            let Some(data) = found.and_then(|found| serde_json::to_string(&found).ok()) else {
                break;
            };
            let now = listener.api.clock.monotonic();
            if data != last {
                let event = Event::default().data(&data);
                return Some((Ok::<_, Infallible>(event), (listener, read, data, now)));
            }
            // So that both ends hear that the other is there.
            let quiet = Duration::from_millis(listener.api.config.bookmark_ms);
            if now.saturating_sub(spoke) >= quiet {
                spoke = now;
                let event = Event::default().comment("unchanged");
                return Some((Ok(event), (listener, read, last, spoke)));
            }
            listener.rest(every).await;
        }
        None
    });
    Ok(Sse::new(events).into_response())
}
