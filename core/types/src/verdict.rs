//! Verdicts of the guard, receipts of executors, and verifications.

use serde::{Deserialize, Serialize};

use crate::{Expectation, Timestamp};

/// What the guard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Go ahead.
    Allow,
    /// Go ahead once the named people agreed.
    NeedsApproval,
    /// No.
    Deny,
}

/// One reason for a decision: which rule, what it says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// The rule, such as `limit.max_replicas`.
    pub rule: String,
    /// What this rule alone decides.
    pub decision: Decision,
    /// In plain words, with the numbers.
    pub text: String,
}

/// What the guard decided, always with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The strictest of the reasons.
    pub decision: Decision,
    /// Every rule that spoke.
    pub reasons: Vec<Reason>,
    /// How many people must approve; 0 unless approval is needed.
    pub approvals_needed: u32,
}

/// What an executor did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Whether the world was changed; false when it already was as wanted.
    pub changed: bool,
    /// What was done, for people.
    pub detail: String,
    /// The state before, as the executor reported it.
    #[serde(default)]
    pub before: serde_json::Value,
    /// The state after, as the executor reported it.
    #[serde(default)]
    pub after: serde_json::Value,
}

/// How a verification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationState {
    /// Every promised effect came.
    Reached,
    /// At least one promised effect did not come in time.
    Missed,
    /// It cannot be known.
    Unknown,
    /// A newer plan took over before it could be told.
    Superseded,
}

/// One promised effect and what was measured instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was promised.
    pub expected: Expectation,
    /// What was seen last; null when nothing was.
    pub actual: serde_json::Value,
    /// Whether it holds.
    pub holds: bool,
}

/// The promised effects compared with what came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// How it ended.
    pub state: VerificationState,
    /// One entry per promised effect.
    pub measured: Vec<Measured>,
    /// When it ended.
    pub at: Timestamp,
}
