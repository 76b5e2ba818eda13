//! The one place where a problem becomes an HTTP answer (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use oag_types::{Code, ErrorKind, Problem};
use serde::{Deserialize, Serialize};

tokio::task_local! {
    /// The id of the request being answered.
    pub(crate) static REQUEST_ID: String;
}

/// What every handler answers when it fails.
pub(crate) type Answer<T> = Result<T, Failure>;

/// A problem on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    /// For what HTTP has its own status and the catalogue no code.
    status: Option<StatusCode>,
}

wire! {
    /// An error as it is sent: `application/problem+json`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({
        "type": "/docs/errors/OAG-1001", "title": "The input is not valid", "status": 400,
        "detail": "actions[0].kind: no action kind 'skale'", "code": "OAG-1001",
        "request_id": "req_019a0c7e5f0a7bd2a1b2c3d4e5f60718",
        "errors": [{"field": "actions[0].kind", "message": "no action kind 'skale'"}]
    })]
    pub struct ProblemDocument {
        /// Where the page about this code is.
        #[serde(rename = "type")]
        pub type_: String,
        /// What kind of error it is; the same for every error of this code.
        pub title: String,
        /// The HTTP status.
        pub status: u16,
        /// What is wrong in this case, and what to do.
        pub detail: String,
        /// The code, `OAG-nnnn`.
        pub code: String,
        /// The id of the request, for the logs.
        pub request_id: String,
        /// Which fields are wrong.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub errors: Vec<FieldError>,
    }

    /// One field that is wrong.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct FieldError {
        /// The path of the field.
        pub field: String,
        /// What is wrong with it.
        pub message: String,
    }
}

/// The status of a code. The only mapping of kinds to HTTP.
pub(crate) const fn status_of(code: &Code) -> StatusCode {
    if code.number == Code::TOO_LARGE.number {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    if code.number == Code::REVISION_REQUIRED.number {
        return StatusCode::PRECONDITION_REQUIRED;
    }
    match code.kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict | ErrorKind::NeedsApproval => StatusCode::CONFLICT,
        ErrorKind::Stale => StatusCode::PRECONDITION_FAILED,
        ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), status: None }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        *failure.problem
    }
}

impl Failure {
    /// A problem with a code and a detail.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// One field is wrong.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Problem::field(field, message).into()
    }

    /// The same problem under a status of HTTP's own.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// The path exists, this method does not. The router adds `Allow`.
    pub(crate) fn method_not_allowed(method: &http::Method) -> Self {
        let text = format!("{method} is not possible here; the header Allow says what is");
        Self::new(Code::INVALID_INPUT, text).with_status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// The body is not in a form that is read here.
    pub(crate) fn unsupported_media(detail: impl Into<String>) -> Self {
        Self::new(Code::INVALID_INPUT, detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }

    /// The code.
    pub(crate) const fn code(&self) -> Code {
        self.problem.code
    }

    /// The status it is sent with.
    pub(crate) fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| status_of(&self.problem.code))
    }

    /// As it is sent, under the id of the present request.
    pub(crate) fn document(&self) -> ProblemDocument {
        let problem = &self.problem;
        let errors = problem
            .fields
            .iter()
            .map(|(field, message)| FieldError { field: field.clone(), message: message.clone() });
        ProblemDocument {
            type_: format!("/docs/errors/{}", problem.code),
            title: problem.code.title.to_owned(),
            status: self.status().as_u16(),
            detail: problem.detail.clone(),
            code: problem.code.to_string(),
            request_id: REQUEST_ID.try_with(Clone::clone).unwrap_or_default(),
            errors: errors.collect(),
        }
    }

    fn retry_after_s(&self) -> Option<u32> {
        self.problem.retry_after_s.or(match self.problem.code.kind {
            ErrorKind::Exhausted => Some(1),
            ErrorKind::Unavailable => Some(5),
            _ => None,
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.problem.code.kind == ErrorKind::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"openautoglm\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_status_of_its_kind() {
        let status = |code: Code| status_of(&code).as_u16();
        for (code, expected) in [
            (Code::INVALID_INPUT, 400),
            (Code::TOO_LARGE, 413),
            (Code::UNAUTHENTICATED, 401),
            (Code::GUARD_DENIED, 403),
            (Code::NOT_FOUND, 404),
            (Code::IDEMPOTENCY_MISMATCH, 409),
            (Code::NEEDS_APPROVAL, 409),
            (Code::REVISION_MISMATCH, 412),
            (Code::REVISION_REQUIRED, 428),
            (Code::OVERLOADED, 429),
            (Code::STORE_UNAVAILABLE, 503),
            (Code::WATCH_GONE, 410),
            (Code::INTERNAL, 500),
        ] {
            assert_eq!(status(code), expected, "{code}");
        }
    }

    #[test]
    fn a_problem_says_when_to_come_back() {
        let response = Failure::new(Code::STORE_UNAVAILABLE, "away").into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "5");
        let problem = Problem::new(Code::OVERLOADED, "full").retry_after(3);
        assert_eq!(Failure::from(problem).into_response().headers()[RETRY_AFTER], "3");
    }
}
