//! What is kept about a plan: the sealed bytes, where it stands, and everything that happened.

use oag_guard::{Approval, Rung};
use oag_types::{
    ActionId, Digest, Finding, PlanId, PrincipalId, Receipt, SealedPlan, ServiceName, StoryId,
    Timestamp, Verdict, Verification,
};
use serde::{Deserialize, Serialize};

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Recorded as what would be done; nobody is asked, but a person may take it up.
    Proposed,
    /// Waiting for people to approve.
    AwaitingApproval,
    /// Allowed and queued.
    Queued,
    /// Being carried out or verified.
    Running,
    /// Every promised effect came.
    Succeeded,
    /// An effect did not come, and what was done was taken back.
    Undone,
    /// An effect did not come, and it could not be taken back, or the executor refused.
    Failed,
    /// It cannot be known whether an action was done; a person must say.
    OutcomeUnknown,
    /// The guard refused.
    Denied,
    /// It waited too long.
    Expired,
    /// A person called it off.
    Cancelled,
    /// A newer plan took over while this one was being verified.
    Superseded,
}

impl Phase {
    /// Whether nothing will happen to it any more by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Proposed | Self::AwaitingApproval | Self::Queued | Self::Running)
    }

    /// The name used on the wire and as a tag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Undone => "undone",
            Self::Failed => "failed",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// Where an action of a running plan stands. Written before and after each step in the world, so
/// that a crash at any point can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepPhase {
    /// Not begun.
    Pending,
    /// The intent is on the ledger; the executor may have been asked.
    Intended,
    /// The executor answered; the effect is being verified.
    Applied,
    /// The promised effect came.
    Verified,
    /// The promised effect did not come, or the executor failed; it will be taken back.
    Missed,
    /// The intent to take it back is on the ledger.
    UndoIntended,
    /// Taken back.
    Undone,
    /// Could not be taken back.
    NotUndone,
    /// Nobody knows whether it was done.
    Unknown,
    /// A newer plan took over during verification.
    Superseded,
    /// Not done, because an earlier one failed.
    Skipped,
}

impl StepPhase {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Intended | Self::Applied | Self::Missed | Self::UndoIntended)
    }
}

/// One action's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The action.
    pub action: ActionId,
    /// Where it stands.
    pub phase: StepPhase,
    /// What the executor did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Whether the effect came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// What the executor did to take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_receipt: Option<Receipt>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Ledger rows about it, in order.
    #[serde(default)]
    pub ledger: Vec<u64>,
    /// When each phase began.
    #[serde(default)]
    pub times: Vec<(StepPhase, Timestamp)>,
}

/// A line in a plan's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who; absent when the product itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PrincipalId>,
    /// What happened.
    pub text: String,
}

/// Everything about a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The plan, sealed.
    pub sealed: SealedPlan,
    /// Its digest, what approvals bind to.
    pub digest: Digest,
    /// Where it stands.
    pub phase: Phase,
    /// The rung of the ladder it was proposed on; the lowest of its kinds.
    pub rung: Rung,
    /// What the guard said last.
    pub verdict: Verdict,
    /// Approvals given.
    pub approvals: Vec<Approval>,
    /// Its actions, in order.
    pub steps: Vec<Step>,
    /// Its history.
    pub notes: Vec<Note>,
}

impl PlanRecord {
    /// The plan's id.
    #[must_use]
    pub fn id(&self) -> PlanId {
        self.sealed.plan().id
    }

    /// The services it acts on, each once.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceName> {
        let mut names: Vec<_> =
            self.sealed.plan().actions.iter().map(|a| a.spec.target.service.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A record with the revision to name in `If-Match`.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// The revision of its last change.
    pub revision: u64,
}

/// A story: one trouble or wish, from signal to ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// Its id.
    pub id: StoryId,
    /// One line for people.
    pub title: String,
    /// The service, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// What was found, in order, at most 100 (the oldest stay).
    pub findings: Vec<Finding>,
    /// Plans made, in order.
    pub plans: Vec<PlanId>,
}

/// A message to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its id.
    pub id: oag_types::NotificationId,
    /// How bad it is: `info`, `warning`, `critical`.
    pub severity: String,
    /// What to know or do.
    pub message: String,
    /// The plan it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// When.
    pub at: Timestamp,
    /// Who has seen it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<(PrincipalId, Timestamp)>,
}
