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

wire! {
    /// A wish for one action.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"kind": "scale", "service": "order-service", "params": {"replicas": 6}})]
    pub(crate) struct ActionRequest {
        /// Which kind, see `/api/v1/kinds`.
        pub(crate) kind: KindName,
        /// On which service.
        pub(crate) service: ServiceName,
        /// Parameters, in the form of the kind.
        #[serde(default)]
        pub(crate) params: Value,
        /// Effects promised beyond those the kind promises by itself.
        #[serde(default)]
        pub(crate) expect: Vec<Expectation>,
    }

    /// A wish for a plan.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"reason": "sale starts at noon", "actions": [
        {"kind": "scale", "service": "order-service", "params": {"replicas": 6}}]})]
    pub(crate) struct ProposalRequest {
        /// The story it belongs to; a new one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(crate) story: Option<StoryId>,
        /// Why, in plain words.
        pub(crate) reason: String,
        /// The findings it answers.
        #[serde(default)]
        pub(crate) findings: Vec<FindingId>,
        /// What to do, in order.
        pub(crate) actions: Vec<ActionRequest>,
        /// How long it may wait, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(crate) expires_in_ms: Option<i64>,
    }
}

impl From<ProposalRequest> for Proposal {
    fn from(request: ProposalRequest) -> Self {
        let ProposalRequest { story, reason, findings, actions, expires_in_ms } = request;
        let wish = |ActionRequest { kind, service, params, expect }| ActionWish {
            kind,
            service,
            params,
            expect,
        };
        let actions = actions.into_iter().map(wish).collect();
        Self { story, origin: Origin::Request, reason, findings, actions, expires_in_ms }
    }
}

wire! {
    /// Names the exact plan that was read.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct DigestRequest {
        /// The digest of the plan that was read.
        pub(crate) digest: Digest,
    }

    /// Why a plan is called off.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct CancelRequest {
        /// Why, for its history.
        pub(crate) reason: String,
    }

    /// A reason, for the ledger.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct ReasonRequest {
        /// Why.
        pub(crate) reason: String,
    }

    /// What a person found an unknown outcome to be.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"resolution": "done"})]
    pub(crate) struct ResolveRequest {
        /// `done` or `not_done`.
        pub(crate) resolution: Resolution,
    }

    /// A plan with everything that happened to it.
    #[derive(Serialize)]
    pub(crate) struct PlanView {
        /// Its id.
        #[example("pln_019a0c7e5f0a7bd2a1b2c3d4e5f60718")]
        pub(crate) id: PlanId,
        /// The revision of its last change; 0 for a dry run, of which nothing is kept.
        pub(crate) revision: u64,
        /// SHA-256 of `sealed`: what applying and approving bind to.
        pub(crate) digest: Digest,
        /// Where it stands.
        pub(crate) phase: Phase,
        /// The rung it was proposed on.
        pub(crate) rung: Rung,
        /// The plan.
        pub(crate) plan: Plan,
        /// The exact bytes of the plan; left out in lists.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) sealed: Option<String>,
        /// What the guard said last.
        pub(crate) verdict: Verdict,
        /// Approvals given.
        pub(crate) approvals: Vec<Approval>,
        /// Its actions, in order.
        pub(crate) steps: Vec<StepView>,
        /// Its history.
        pub(crate) notes: Vec<Note>,
    }

    /// One action's record.
    #[derive(Serialize)]
    pub(crate) struct StepView {
        /// The action.
        pub(crate) action: ActionId,
        /// Where it stands.
        pub(crate) phase: StepPhase,
        /// What the executor did.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) receipt: Option<Receipt>,
        /// Whether the effect came.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) verification: Option<Verification>,
        /// What the executor did to take it back.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) undo_receipt: Option<Receipt>,
        /// What went wrong, for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) error: Option<String>,
        /// Ledger rows about it, in order.
        pub(crate) ledger: Vec<u64>,
        /// When each phase began.
        pub(crate) times: Vec<StepTime>,
    }

    /// When a phase began.
    #[derive(Serialize)]
    pub(crate) struct StepTime {
        /// Which phase.
        pub(crate) phase: StepPhase,
        /// When.
        pub(crate) at: Timestamp,
    }
}

impl PlanView {
    /// A plan with its exact bytes.
    #[must_use]
    pub(crate) fn whole(found: Versioned<PlanRecord>) -> Self {
        let sealed = Some(found.value.sealed.bytes().to_owned());
        Self { sealed, ..Self::short(found) }
    }

    /// A plan of a list.
    #[must_use]
    pub(crate) fn short(found: Versioned<PlanRecord>) -> Self {
        let revision = found.revision;
        let PlanRecord { sealed, digest, phase, rung, verdict, approvals, steps, notes } =
            found.value;
        let plan = sealed.plan().clone();
        Self {
            id: plan.id,
            revision,
            digest,
            phase,
            rung,
            plan,
            sealed: None,
            verdict,
            approvals,
            steps: steps.into_iter().map(StepView::from).collect(),
            notes,
        }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let Step { action, phase, receipt, verification, undo_receipt, error, ledger, times } =
            step;
        let times = times.into_iter().map(|(phase, at)| StepTime { phase, at }).collect();
        Self { action, phase, receipt, verification, undo_receipt, error, ledger, times }
    }
}
