//! The outermost layer: request ids, limits of the head, time limits, metrics, the access log and
//! the headers every answer carries.

use std::any::Any;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY};
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use oag_types::Code;
use tracing::Instrument;

use super::problem::{Failure, REQUEST_ID};
use crate::state::Api;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Surrounds every request.
pub(crate) async fn surround(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = request_id(&api, request.headers());
    let started = api.clock.monotonic();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let span = tracing::info_span!("request", request_id = id, route);
    let answer = answer(&api, request, next).instrument(span);
    let mut response = REQUEST_ID.scope(id.clone(), answer).await;

    let took = api.clock.monotonic().saturating_sub(started);
    let status = response.status().as_u16();
    api.http_metrics.observe(&route, method.as_str(), status, took);
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if status >= 500 {
        tracing::warn!(%method, route, status, took_ms = millis, request_id = id, "request");
    } else {
        tracing::info!(%method, route, status, took_ms = millis, request_id = id, "request");
    }
    add_headers(response.headers_mut(), &id);
    response
}

async fn answer(api: &Api, request: Request, next: Next) -> Response {
    if let Err(failure) = check_head(api, &request) {
        return failure.into_response();
    }
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let limit = Duration::from_millis(match route {
        Some(path) if path.ends_with("/generate") => api.config.generate_timeout_ms,
        _ => api.config.request_timeout_ms,
    });
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = format!("the request took longer than {} s", limit.as_secs_f64());
            Failure::new(Code::OVERLOADED, text)
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .into_response()
        }
    }
}

fn check_head(api: &Api, request: &Request) -> Result<(), Failure> {
    let length = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if length > api.config.uri_bytes_max {
        let text = format!(
            "path and query have {length} bytes; at most {} are read",
            api.config.uri_bytes_max
        );
        return Err(Failure::new(Code::TOO_LARGE, text).with_status(StatusCode::URI_TOO_LONG));
    }
    let head: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if head > api.config.head_bytes_max {
        let text = format!("the headers have {head} bytes; at most {}", api.config.head_bytes_max);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Failure::new(Code::TOO_LARGE, text).with_status(status));
    }
    let bytes_max = api.config.bulk_bytes_max.max(api.config.body_bytes_max);
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if stated.and_then(|text| text.parse::<usize>().ok()).is_some_and(|size| size > bytes_max) {
        let text = format!("the body is larger than {bytes_max} bytes; send it in several parts");
        return Err(Failure::new(Code::TOO_LARGE, text));
    }
    if api.supervisor.shutdown().is_draining() && !request.method().is_safe() {
        let text = "the server is shutting down and takes no new work";
        return Err(Failure::new(Code::DRAINING, text));
    }
    match request.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"gzip" | b"identity") => Ok(()),
        Some(_) => Err(Failure::unsupported_media("bodies may be sent plain or with gzip")),
    }
}

/// What a panic in a handler becomes.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "handler panicked");
    Failure::new(Code::INTERNAL, "an unforeseen error; it is in the log under this request id")
        .into_response()
}

/// Unknown paths.
pub(crate) async fn unknown_path(request: Request) -> Failure {
    let path: String = request.uri().path().chars().take(200).collect();
    let text = format!("there is nothing at {path}; /api/v1/openapi.json lists what there is");
    Failure::new(Code::NOT_FOUND, text)
}

/// Known paths with another method.
pub(crate) async fn unknown_method(request: Request) -> Failure {
    Failure::method_not_allowed(request.method())
}

fn request_id(api: &Api, headers: &HeaderMap) -> String {
    let sane = |text: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    given.map_or_else(|| format!("req_{}", api.ids.uuid().simple()), str::to_owned)
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(X_REQUEST_ID, value);
    }
    let defaults = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
