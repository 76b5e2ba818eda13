//! What surrounds every request: its id, the access log, and answers for what is not there.

use std::any::Any;
use std::borrow::Cow;
use std::convert::Infallible;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument;

use crate::anthropic;
use crate::state::{Gateway, RequestId};
use crate::trouble::Trouble;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Surrounds every request.
pub(crate) async fn surround(
    State(gateway): State<Gateway>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(&gateway, request.headers());
    let started = gateway.clock.monotonic();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", request_id = id, route);
    let mut response = next.run(request).instrument(span).await;
    let took = gateway.clock.monotonic().saturating_sub(started);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    tracing::info!(%method, route, status, took_ms, request_id = id, "request");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(anthropic::REQUEST_ID, value.clone());
        headers.insert(X_REQUEST_ID, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn request_id(gateway: &Gateway, headers: &HeaderMap) -> String {
    let sane = |text: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    given.map_or_else(|| format!("req_{}", gateway.ids.uuid().simple()), str::to_owned)
}

/// What a panic in a handler becomes.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "handler panicked");
    Trouble::internal().into_response()
}

/// Paths that are not there.
pub(crate) async fn unknown_path(request: Request) -> Response {
    Trouble::no_path(request.method(), request.uri().path()).into_response()
}

/// Known paths with another method.
pub(crate) async fn unknown_method(request: Request) -> Response {
    Trouble::other_method(request.method()).into_response()
}

/// An answer of events, as they come.
pub(crate) fn event_stream(
    events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    let mut response = Body::from_stream(events.fuse()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies of one kind hold streams back unless they are told not to.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    response
}

/// An answer of JSON.
pub(crate) fn json(document: &impl Serialize) -> Response {
    // Texts and numbers cannot fail to be written.
    let mut response = Body::from(serde_json::to_vec(document).unwrap_or_default()).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A body of JSON; what is wrong with it is said with its place.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Gateway> for Json<T> {
    type Rejection = Trouble;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Trouble> {
        let bytes_max = gateway.config.body_bytes_max;
        let stated = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if stated.and_then(|text| text.parse::<usize>().ok()).is_some_and(|size| size > bytes_max) {
            return Err(Trouble::too_large(bytes_max));
        }
        // What was sent with gzip is plain by now.
        match request.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => {}
            Some(_) => return Err(Trouble::other_encoding()),
        }
        let bytes = read(request.into_body(), bytes_max).await?;
        let reader = &mut serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let place = error.path().to_string();
            wrong(&place, &error.into_inner())
        })
    }
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Trouble> {
    to_bytes(body, bytes_max).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.is::<http_body_util::LengthLimitError>() {
                return Trouble::too_large(bytes_max);
            }
            cause = error.source();
        }
        Trouble::unreadable("the body could not be read to its end")
    })
}

fn wrong(place: &str, error: &serde_json::Error) -> Trouble {
    if !error.is_data() {
        let message = format!("We could not parse the JSON body of your request: {error}");
        return Trouble::unreadable(message);
    }
    let text = error.to_string();
    // What stands in backquotes behind these words is serde's own form.
    let named = |words: &str| Some(text.strip_prefix(words)?.split('`').next()?.to_owned());
    let inside = |name: String| match place {
        "." | "" => name,
        place => format!("{place}.{name}"),
    };
    if let Some(name) = named("unknown field `") {
        // The place is that of the field itself.
        return Trouble::unknown(if place.ends_with(&name) {
            place.to_owned()
        } else {
            inside(name)
        });
    }
    if let Some(name) = named("missing field `") {
        let name = inside(name);
        let message = format!("Missing required parameter: '{name}'.");
        return Trouble::invalid(Cow::Owned(name), message);
    }
    let place = if place == "." { "body".to_owned() } else { place.to_owned() };
    let message = format!("Invalid value for '{place}': {text}");
    Trouble::invalid(Cow::Owned(place), message)
}
