//! What handlers take out of a request, with errors that name the field.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use oag_types::{Code, Problem};
use serde::de::DeserializeOwned;

use super::problem::Failure;
use crate::state::Api;

/// The largest body of this route, when it differs from the configured one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bulk;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

/// A body as it came, with its media type.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) media: String,
    pub(crate) bytes: Bytes,
}

/// Query parameters; unknown ones are refused by the type.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

/// The one segment of the path that varies.
#[derive(Debug)]
pub(crate) struct Segment<T>(pub(crate) T);

/// Which revision a write is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Not said.
    Missing,
    /// Any, `*`.
    Any,
    /// This one.
    Revision(u64),
}

impl IfMatch {
    /// The revision where one must be named; `*` waives the check expressly.
    pub(crate) fn required(self, what: &str) -> Result<Option<u64>, Failure> {
        match self {
            Self::Revision(revision) => Ok(Some(revision)),
            Self::Any => Ok(None),
            Self::Missing => Err(Failure::new(
                Code::REVISION_REQUIRED,
                format!("read {what} first and send its ETag as If-Match, or '*' for any revision"),
            )),
        }
    }

    /// This, or the revision that came inside the document.
    pub(crate) fn or(self, inside: Option<u64>) -> Self {
        match (self, inside) {
            (Self::Missing, Some(revision)) => Self::Revision(revision),
            (said, _) => said,
        }
    }

    /// The revision where it need not be named.
    pub(crate) const fn optional(self) -> Option<u64> {
        match self {
            Self::Revision(revision) => Some(revision),
            Self::Any | Self::Missing => None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(Self::Missing) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        let wrong = |_| Failure::field("If-Match", "send the ETag as it was given, such as \"42\"");
        text.parse().map(Self::Revision).map_err(wrong)
    }
}

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let bytes = json_bytes(request, api).await?;
        parse_json(&bytes).map(Self)
    }
}

async fn json_bytes(request: Request, api: &Api) -> Result<Bytes, Failure> {
    let raw = Raw::from_request(request, api).await?;
    if is_json(&raw.media) {
        return Ok(raw.bytes);
    }
    Err(Failure::unsupported_media(format!(
        "send JSON with 'Content-Type: application/json'; this is '{}'",
        raw.media
    )))
}

impl FromRequest<Api> for Raw {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let limit = match request.extensions().get::<Bulk>() {
            Some(Bulk) => api.config.bulk_bytes_max,
            None => api.config.body_bytes_max,
        };
        let media = media_of(request.headers());
        let bytes = read_body(request.into_body(), limit).await?;
        Ok(Self { media, bytes })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(value)| Self(value)).map_err(|rejection| wrong_query(&rejection))
    }
}

fn wrong_query(rejection: &QueryRejection) -> Failure {
    let text = rejection.body_text();
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    match text.split_once(": ") {
        Some((field, message)) if !field.contains(' ') => Failure::field(field, message),
        _ => Failure::new(Code::INVALID_INPUT, format!("query: {text}")),
    }
}

impl<T, S> FromRequestParts<S> for Segment<T>
where
    T: FromStr,
    T::Err: Display,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let (name, text) = segment(parts).await?;
        text.parse().map(Self).map_err(|error: T::Err| Failure::field(name, error.to_string()))
    }
}

async fn segment(parts: &mut Parts) -> Result<(String, String), Failure> {
    let Path(found) = Path::<Vec<(String, String)>>::from_request_parts(parts, &())
        .await
        .map_err(|rejection| Failure::new(Code::INVALID_INPUT, rejection.body_text()))?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// Reads a body up to a limit.
pub(crate) async fn read_body(body: axum::body::Body, limit: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() || is_length_limit(&*error) => {
            let text = format!("the body is larger than {limit} bytes; send it in several parts");
            Err(Failure::new(Code::TOO_LARGE, text))
        }
        Err(error) => {
            tracing::debug!(%error, "body could not be read");
            let text = "the body could not be read to its end: was it cut off, or is it not gzip?";
            Err(Failure::new(Code::INVALID_INPUT, text))
        }
    }
}

/// Parses JSON, naming the field that is wrong.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    if bytes.is_empty() {
        let text = "the body is empty; a JSON document is expected";
        return Err(Failure::new(Code::INVALID_INPUT, text));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        located(&path, &error.into_inner().to_string())
    })?;
    reader.end().map_err(|error| located(".", &error.to_string()))?;
    Ok(parsed)
}

fn located(path: &str, message: &str) -> Failure {
    match path {
        "." | "" | "?" => Problem::new(Code::INVALID_INPUT, format!("the body: {message}")).into(),
        path => Failure::field(path, message),
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn media_of(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(media: &str) -> bool {
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// A document as it is sent.
pub(crate) fn json<T: serde::Serialize>(body: &T) -> Response {
    written(StatusCode::OK, serde_json::to_vec(body))
}

/// The same under another status.
pub(crate) fn json_with<T: serde::Serialize>(status: StatusCode, body: &T) -> Response {
    written(status, serde_json::to_vec(body))
}

/// A document with the revision it stands at, as `ETag`.
pub(crate) fn with_etag<T: serde::Serialize>(
    status: StatusCode,
    revision: u64,
    body: &T,
) -> Response {
    let mut response = written(status, serde_json::to_vec(body));
    if let Ok(etag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

fn written(status: StatusCode, written: serde_json::Result<Vec<u8>>) -> Response {
    match written {
        Ok(bytes) => {
            (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes)
                .into_response()
        }
        Err(error) => broken(&error).into_response(),
    }
}

/// What a panic or an unreadable document of our own becomes.
pub(crate) fn broken(error: &dyn Display) -> Failure {
    tracing::error!(%error, "internal error");
    let text = "an unforeseen error; it is in the log under this request id";
    Failure::new(Code::INTERNAL, text)
}
