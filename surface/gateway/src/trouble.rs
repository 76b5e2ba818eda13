//! Errors as OpenAI's clients know them. The one place where a problem gets a status here.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use oag_serve::EngineError;
use oag_types::{Code, ErrorKind, Problem};
use serde::Serialize;

/// The request has to be changed.
const INVALID: &str = "invalid_request_error";
/// What conversations call what is asked.
const MESSAGES: &str = "messages";
/// It is not the caller's fault.
const SERVER: &str = "server_error";

/// An error on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<Cow<'static, str>>,
    message: String,
    retry_after_s: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    error: Error<'a>,
}

#[derive(Debug, Serialize)]
struct Error<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

impl Trouble {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, code: None, param: None, message, retry_after_s: None }
    }

    /// A part of the request is wrong.
    pub(crate) fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let param = Some(param.into());
        let code = Some("invalid_value");
        Self { param, code, ..Self::new(StatusCode::BAD_REQUEST, INVALID, message) }
    }

    /// The request as a whole cannot be read.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message)
    }

    /// A part of the request is not known here.
    pub(crate) fn unknown(param: String) -> Self {
        let message = format!("Unrecognized request argument supplied: {param}");
        Self { code: Some("unknown_parameter"), ..Self::invalid(param, message) }
    }

    /// A part of the request is known, and not done here.
    pub(crate) fn unsupported(param: &'static str, message: impl Into<String>) -> Self {
        Self { code: Some("unsupported_parameter"), ..Self::invalid(param, message) }
    }

    /// A model that is not there.
    pub(crate) fn no_model(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: Some("model_not_found"),
            ..Self::invalid("model", message)
        }
    }

    /// Nothing is there.
    pub(crate) fn no_path(method: &http::Method, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        let message = format!("Invalid URL ({method} {path})");
        Self { code: Some("unknown_url"), ..Self::new(StatusCode::NOT_FOUND, INVALID, message) }
    }

    /// Another method is needed.
    pub(crate) fn other_method(method: &http::Method) -> Self {
        let message = format!("{method} is not possible here; the header Allow says what is");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, message)
    }

    /// The body is too large.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let message = format!("the body is larger than {bytes_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, message)
    }

    /// The body is packed in a way that is not known here.
    pub(crate) fn other_encoding() -> Self {
        let message = "bodies may be sent plain or with gzip";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, message)
    }

    /// Something that cannot be.
    pub(crate) fn internal() -> Self {
        let message = "an unforeseen error; it is in the log under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, message)
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same, for those whose words for what is asked are others.
    pub(crate) fn asked_in(mut self, param: &'static str) -> Self {
        if self.param.as_deref() == Some(MESSAGES) {
            self.param = Some(Cow::Borrowed(param));
        }
        self
    }

    /// As it is sent.
    pub(crate) fn document(&self) -> Vec<u8> {
        let error = Error {
            message: &self.message,
            kind: self.kind,
            param: self.param.as_deref(),
            code: self.code,
        };
        // Texts alone cannot fail to be written.
        serde_json::to_vec(&Document { error }).unwrap_or_default()
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        let text = error.to_string();
        let server = |status| Self::new(status, SERVER, text.clone());
        match error {
            EngineError::NoModelLoaded { .. } => Self::no_model(text),
            EngineError::Refused { field, .. } => Self::invalid(param(field), text),
            EngineError::Overloaded { retry_after } => Self {
                code: Some("overloaded"),
                retry_after_s: Some(retry_after.as_secs_f64().ceil() as u64),
                ..server(StatusCode::SERVICE_UNAVAILABLE)
            },
            EngineError::Filtered(_) => Self {
                code: Some("content_filter"),
                ..Self::new(StatusCode::BAD_REQUEST, INVALID, text)
            },
            EngineError::Unavailable(_) | EngineError::BrokeOff(_) => {
                server(StatusCode::SERVICE_UNAVAILABLE)
            }
            EngineError::NotAccepted(_) => server(StatusCode::BAD_GATEWAY),
            EngineError::Late => server(StatusCode::GATEWAY_TIMEOUT),
        }
    }
}

/// What callers call a part of a request.
fn param(field: Cow<'static, str>) -> Cow<'static, str> {
    let named = match &*field {
        "tokens_max" => "max_tokens",
        "input" | "prompt" => MESSAGES,
        "schema" | "format" => "response_format",
        _ => return field,
    };
    Cow::Borrowed(named)
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let text = problem.detail;
        let retry = problem.retry_after_s.map(u64::from);
        let of = |status, kind, code| Self {
            code,
            retry_after_s: retry,
            ..Self::new(status, kind, text.clone())
        };
        match problem.code.kind {
            // Some clients know this error by its first words alone.
            ErrorKind::Unauthenticated => Self {
                message: format!("Incorrect API key provided: {text}"),
                ..of(StatusCode::UNAUTHORIZED, INVALID, Some("invalid_api_key"))
            },
            ErrorKind::Denied => of(StatusCode::FORBIDDEN, INVALID, Some("permission_denied")),
            ErrorKind::Exhausted => {
                of(StatusCode::TOO_MANY_REQUESTS, "requests", Some("rate_limit_exceeded"))
            }
            ErrorKind::Invalid => of(StatusCode::BAD_REQUEST, INVALID, None),
            ErrorKind::Unavailable => of(StatusCode::SERVICE_UNAVAILABLE, SERVER, None),
            _ if problem.code == Code::NOT_FOUND => of(StatusCode::NOT_FOUND, INVALID, None),
            _ => of(StatusCode::INTERNAL_SERVER_ERROR, SERVER, None),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let body = Bytes::from(self.document());
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let busy =
            matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if busy {
            let seconds = self.retry_after_s.unwrap_or(1).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For those whose clients know errors in another form.
        response.extensions_mut().insert(self);
        response
    }
}
