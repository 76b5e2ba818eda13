//! The judgement: every rule speaks, the strictest wins.

use oag_types::{
    Action, ActionId, Decision, Permission, Principal, Reason, SealedPlan, Timestamp, Verdict,
};

use crate::{Approval, Book, Done, Quantity};

/// One action of a plan with what the guard needs to know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<'a> {
    /// The action, as in the plan, its target's group as in the catalogue.
    pub action: &'a Action,
    /// The permission its kind asks for.
    pub permission: Permission,
    /// The quantity it changes, when it changes one.
    pub quantity: Option<Quantity>,
    /// The share of the service's replicas it takes away or restarts at once, 0 to 1.
    pub replicas_affected_share: Option<f64>,
    /// Whether the breaker of its service is open.
    pub breaker_open: bool,
}

/// A plan before the guard.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The plan.
    pub plan: &'a SealedPlan,
    /// One step per action of the plan, in its order.
    pub steps: &'a [Step<'a>],
    /// Who proposed it.
    pub proposer: &'a Principal,
    /// The approvals given so far.
    pub approvals: &'a [Approval],
    /// The principals behind the approvals, as they are now. An approval whose principal is not
    /// here does not count.
    pub approvers: &'a [Principal],
    /// The present moment.
    pub now: Timestamp,
}

impl Step<'_> {
    /// What is remembered of the step once it is let through.
    pub(crate) fn done(&self, plan: &SealedPlan, now: Timestamp) -> Done {
        let spec = &self.action.spec;
        Done {
            plan: plan.plan().id,
            digest: plan.digest(),
            action: self.action.id,
            kind: spec.kind.clone(),
            service: spec.target.service.clone(),
            group: spec.target.group.clone(),
            at: now,
            quantity: self.quantity.clone(),
            share: self.replicas_affected_share,
        }
    }
}

/// Judges a plan by every rule of the book. Nothing is changed and nothing is left out: the
/// verdict names every rule that spoke, also those that allowed.
#[must_use]
pub fn judge(book: &Book, case: &Case<'_>) -> Verdict {
    let _ = (book, case);
    Verdict {
        decision: Decision::Deny,
        reasons: vec![Reason {
            rule: "guard.not_ready".to_owned(),
            decision: Decision::Deny,
            text: "nothing is judged yet, so nothing is allowed".to_owned(),
        }],
        approvals_needed: 0,
    }
}

pub(crate) fn judge_undo(
    book: &Book,
    plan: &SealedPlan,
    undone: ActionId,
    step: &Step<'_>,
) -> Verdict {
    let _ = (book, plan, undone, step);
    Verdict { decision: Decision::Deny, reasons: Vec::new(), approvals_needed: 0 }
}
