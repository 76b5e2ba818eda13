//! What is asked of the pilot: actions wished for, before their kinds have completed them.

use oag_types::{Expectation, FindingId, KindName, Origin, ServiceName, StoryId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A wish for one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionWish {
    /// Which kind, such as `scale`.
    pub kind: KindName,
    /// On which service.
    pub service: ServiceName,
    /// Parameters, in the form of the kind.
    #[serde(default)]
    pub params: Value,
    /// Effects promised beyond those the kind promises by itself.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// A wish for a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The story it belongs to; a new one when absent.
    pub story: Option<StoryId>,
    /// Where it comes from.
    pub origin: Origin,
    /// Why, in plain words.
    pub reason: String,
    /// The findings it answers.
    pub findings: Vec<FindingId>,
    /// What to do, in order.
    pub actions: Vec<ActionWish>,
    /// How long it may wait, in milliseconds; the configured default when absent.
    pub expires_in_ms: Option<i64>,
}
