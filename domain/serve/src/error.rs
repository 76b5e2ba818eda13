//! Why there is no answer.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why an engine gives no answer, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum EngineError {
    /// The model is not loaded: load it, or ask one that is.
    #[error("no model is loaded under the name {model:?}; {remedy}")]
    NoModelLoaded {
        /// The model that was asked.
        model: String,
        /// What to do, with the command.
        remedy: String,
    },
    /// The request cannot be carried out by this engine: change it.
    #[error("{field}: {problem}")]
    Refused {
        /// Which part of the request.
        field: Cow<'static, str>,
        /// What is wrong with it.
        problem: String,
    },
    /// There is too much to do: again after this time.
    #[error("the engine is overloaded; try again in {} s", retry_after.as_secs_f64().ceil())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The engine is away or broke before the answer began: another may do it.
    #[error("the engine is not available: {0}")]
    Unavailable(String),
    /// The engine broke in the middle of the answer.
    #[error("the answer broke off: {0}")]
    BrokeOff(String),
    /// The upstream does not accept our credentials or account: an operator must look at it.
    #[error("the upstream refuses this installation: {0}")]
    NotAccepted(String),
    /// A filter of the upstream refuses the content.
    #[error("the upstream's filter refuses the content: {0}")]
    Filtered(String),
    /// The time of the request is over.
    #[error("the answer was not there in time")]
    Late,
}

impl EngineError {
    /// The request cannot be carried out as it is.
    #[must_use]
    pub fn refused(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Refused { field: Cow::Borrowed(field), problem: problem.into() }
    }

    /// Whether another engine, or the same one later, might answer the same request, and nothing
    /// of an answer was given yet.
    #[must_use]
    pub const fn may_be_tried_again(&self) -> bool {
        matches!(self, Self::Overloaded { .. } | Self::Unavailable(_))
    }
}
