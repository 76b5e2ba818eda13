//! Error kinds and the catalogue of codes. One place maps kinds to HTTP and gRPC (`surface/api`).

use serde::{Deserialize, Serialize};

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The input is wrong: correct it.
    Invalid,
    /// Nobody is known by these credentials.
    Unauthenticated,
    /// Known, but not allowed.
    Denied,
    /// Not there, or not yours to see.
    NotFound,
    /// Against the present state: look again.
    Conflict,
    /// The revision named is not the present one.
    Stale,
    /// A person must approve first.
    NeedsApproval,
    /// A limit is reached: later.
    Exhausted,
    /// A part is away: later.
    Unavailable,
    /// It was there and is gone: start over.
    Gone,
    /// Our fault.
    Internal,
}

/// A code of the catalogue, `OAG-nnnn`, with a page `docs/errors/OAG-nnnn.md` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// The number.
    pub number: u16,
    /// What the caller can do.
    pub kind: ErrorKind,
    /// The title, constant for the code.
    pub title: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $kind:ident, $title:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Code =
                Code { number: $number, kind: ErrorKind::$kind, title: $title };)*

            /// Every code there is, by number.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];
        }
    };
}

codes! {
    /// A field is missing, of the wrong type, unknown or out of range.
    INVALID_INPUT = 1001, Invalid, "The input is not valid";
    /// The body is larger than the configured limit.
    TOO_LARGE = 1002, Invalid, "The request is too large";
    /// A page token that this list did not give out.
    BAD_PAGE_TOKEN = 1003, Invalid, "The page token is not valid";
    /// No or unknown credentials.
    UNAUTHENTICATED = 1101, Unauthenticated, "No valid credentials";
    /// Expired or revoked credentials.
    CREDENTIALS_EXPIRED = 1102, Unauthenticated, "The credentials are expired or revoked";
    /// The role does not allow it.
    FORBIDDEN = 1201, Denied, "Your roles do not allow this";
    /// The guard denies the plan.
    GUARD_DENIED = 1202, Denied, "The guard refuses this plan";
    /// The kill switch is on.
    KILL_SWITCH = 1203, Denied, "The kill switch is on";
    /// The approver may not approve this plan.
    CANNOT_APPROVE = 1204, Denied, "You cannot approve this plan";
    /// Nothing by this name.
    NOT_FOUND = 1301, NotFound, "Not found";
    /// No worker serves the model.
    NO_MODEL_LOADED = 1302, NotFound, "No model is loaded under this name";
    /// It exists already, or its state does not allow this.
    CONFLICT = 1401, Conflict, "The present state does not allow this";
    /// The same idempotency key with another body.
    IDEMPOTENCY_MISMATCH = 1402, Conflict, "The idempotency key was used for another request";
    /// The first request with this key is still running.
    IDEMPOTENCY_BUSY = 1403, Conflict, "A request with this idempotency key is still running";
    /// The approval names another digest than the plan has.
    DIGEST_MISMATCH = 1404, Conflict, "The plan is not the one that was read";
    /// The plan expired or its base moved.
    PLAN_STALE = 1405, Conflict, "The plan is out of date";
    /// `If-Match` names another revision.
    REVISION_MISMATCH = 1501, Stale, "The revision is not the present one";
    /// A write without `If-Match` where it is required.
    REVISION_REQUIRED = 1502, Stale, "This write needs the revision it is based on";
    /// A person must approve first.
    NEEDS_APPROVAL = 1601, NeedsApproval, "A person must approve this plan";
    /// A queue or buffer is full.
    OVERLOADED = 1701, Exhausted, "Too much work at once";
    /// Too many series.
    TOO_MANY_SERIES = 1702, Exhausted, "The limit of series is reached";
    /// The store does not answer.
    STORE_UNAVAILABLE = 1801, Unavailable, "The store is not available";
    /// An executor does not answer.
    EXECUTOR_UNAVAILABLE = 1802, Unavailable, "The executor is not available";
    /// The process is draining.
    DRAINING = 1803, Unavailable, "The server is shutting down";
    /// No answer of a model, or not all of it.
    MODEL_UNAVAILABLE = 1804, Unavailable, "The model gives no answer";
    /// The watch asks for a revision that is no longer kept.
    WATCH_GONE = 1901, Gone, "The revision is no longer kept";
    /// Our fault.
    INTERNAL = 1999, Internal, "Something went wrong on our side";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OAG-{:04}", self.number)
    }
}

/// An error for callers: a code, what is wrong in this case, what to do. Carries no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    /// Which code.
    pub code: Code,
    /// What is wrong, in this case, and what to do.
    pub detail: String,
    /// Which fields are wrong, each with its own message.
    pub fields: Vec<(String, String)>,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem with a code and a detail.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), fields: Vec::new(), retry_after_s: None }
    }

    /// Invalid input in one field.
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        let mut problem = Self::new(Code::INVALID_INPUT, format!("{field}: {message}"));
        problem.fields.push((field, message));
        problem
    }

    /// Nothing of this kind by this name.
    #[must_use]
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(Code::NOT_FOUND, format!("no {what} '{name}'"))
    }

    /// The same problem with a time to wait.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What the caller can do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.code.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_sorted() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
}
