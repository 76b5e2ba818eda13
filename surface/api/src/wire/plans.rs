//! Plans, stories, findings, notifications and the ledger on the wire.

use oag_guard::{Approval, Rung};
use oag_pilot::{
    ActionWish, Note, Phase, PlanRecord, Proposal, Resolution, Step, StepPhase, Versioned,
};
use oag_types::{
    ActionId, Digest, Expectation, FindingId, KindName, Origin, Plan, PlanId, Receipt, ServiceName,
    StoryId, Timestamp, Verdict, Verification,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::schema;

/// A wish for one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "scale", "service": "order-service", "params": {"replicas": 6}}))]
pub struct ActionRequest {
    /// Which kind, see `/api/v1/kinds`.
    #[schema(value_type = String)]
    pub kind: KindName,
    /// On which service.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// Parameters, in the form of the kind.
    #[serde(default)]
    pub params: Value,
    /// Effects promised beyond those the kind promises by itself.
    #[serde(default)]
    #[schema(value_type = Vec<schema::Expectation>)]
    pub expect: Vec<Expectation>,
}

/// A wish for a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "sale starts at noon", "actions": [
    {"kind": "scale", "service": "order-service", "params": {"replicas": 6}}]}))]
pub struct ProposalRequest {
    /// The story it belongs to; a new one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub story: Option<StoryId>,
    /// Why, in plain words.
    pub reason: String,
    /// The findings it answers.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub findings: Vec<FindingId>,
    /// What to do, in order.
    pub actions: Vec<ActionRequest>,
    /// How long it may wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<i64>,
}

impl From<ProposalRequest> for Proposal {
    fn from(request: ProposalRequest) -> Self {
        let wish = |action: ActionRequest| ActionWish {
            kind: action.kind,
            service: action.service,
            params: action.params,
            expect: action.expect,
        };
        Self {
            story: request.story,
            origin: Origin::Request,
            reason: request.reason,
            findings: request.findings,
            actions: request.actions.into_iter().map(wish).collect(),
            expires_in_ms: request.expires_in_ms,
        }
    }
}

/// Names the exact plan that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestRequest {
    /// The digest of the plan that was read.
    #[schema(value_type = String)]
    pub digest: Digest,
}

/// Why a plan is called off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why, for its history.
    pub reason: String,
}

/// A reason, for the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// Why.
    pub reason: String,
}

/// What a person found an unknown outcome to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"resolution": "done"}))]
pub struct ResolveRequest {
    /// `done` or `not_done`.
    #[schema(value_type = String)]
    pub resolution: Resolution,
}

/// A plan with everything that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanView {
    /// Its id.
    #[schema(value_type = String, example = "pln_019a0c7e5f0a7bd2a1b2c3d4e5f60718")]
    pub id: PlanId,
    /// The revision of its last change; 0 for a dry run, of which nothing is kept.
    pub revision: u64,
    /// SHA-256 of `sealed`: what applying and approving bind to.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Where it stands.
    #[schema(value_type = schema::Phase)]
    pub phase: Phase,
    /// The rung it was proposed on.
    #[schema(value_type = schema::Rung)]
    pub rung: Rung,
    /// The plan.
    #[schema(value_type = schema::Plan)]
    pub plan: Plan,
    /// The exact bytes of the plan; left out in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// What the guard said last.
    #[schema(value_type = schema::Verdict)]
    pub verdict: Verdict,
    /// Approvals given.
    #[schema(value_type = Vec<schema::Approval>)]
    pub approvals: Vec<Approval>,
    /// Its actions, in order.
    pub steps: Vec<StepView>,
    /// Its history.
    #[schema(value_type = Vec<schema::Note>)]
    pub notes: Vec<Note>,
}

/// One action's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepView {
    /// The action.
    #[schema(value_type = String)]
    pub action: ActionId,
    /// Where it stands.
    #[schema(value_type = schema::StepPhase)]
    pub phase: StepPhase,
    /// What the executor did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Receipt>)]
    pub receipt: Option<Receipt>,
    /// Whether the effect came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Verification>)]
    pub verification: Option<Verification>,
    /// What the executor did to take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Receipt>)]
    pub undo_receipt: Option<Receipt>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Ledger rows about it, in order.
    pub ledger: Vec<u64>,
    /// When each phase began.
    pub times: Vec<StepTime>,
}

/// When a phase began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepTime {
    /// Which phase.
    #[schema(value_type = schema::StepPhase)]
    pub phase: StepPhase,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl PlanView {
    /// A plan with its exact bytes.
    #[must_use]
    pub fn whole(found: Versioned<PlanRecord>) -> Self {
        let sealed = Some(found.value.sealed.bytes().to_owned());
        Self { sealed, ..Self::short(found) }
    }

    /// A plan of a list.
    #[must_use]
    pub fn short(found: Versioned<PlanRecord>) -> Self {
        let record = found.value;
        Self {
            id: record.id(),
            revision: found.revision,
            digest: record.digest,
            phase: record.phase,
            rung: record.rung,
            plan: record.sealed.plan().clone(),
            sealed: None,
            verdict: record.verdict,
            approvals: record.approvals,
            steps: record.steps.into_iter().map(StepView::from).collect(),
            notes: record.notes,
        }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let times = step.times.into_iter().map(|(phase, at)| StepTime { phase, at });
        Self {
            action: step.action,
            phase: step.phase,
            receipt: step.receipt,
            verification: step.verification,
            undo_receipt: step.undo_receipt,
            error: step.error,
            ledger: step.ledger,
            times: times.collect(),
        }
    }
}
