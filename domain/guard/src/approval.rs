//! Approvals: people agree to the exact plan they read.

use std::collections::BTreeSet;

use oag_types::{
    ApprovalId, Digest, Permission, PlanId, Principal, PrincipalId, PrincipalKind, Reason, Risk,
    SealedPlan, Target, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::selector::check_glob;
use crate::{GuardError, PolicySet, Resource, permissions};

/// How approvals work in a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalRules {
    /// How long an approval counts.
    pub expires_after_ms: i64,
    /// When two people must approve rather than one.
    pub second_person: SecondPerson,
}

/// When two people must approve; any of these is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecondPerson {
    /// An action of this risk or higher.
    pub risk: Option<Risk>,
    /// A quantity changed by at least this share of its value: 4 stands for five times as much.
    pub change_ratio: Option<f64>,
    /// Changes of the same quantity of the same service within this time count together.
    pub change_window_ms: i64,
    /// Action kinds, by glob.
    pub kinds: Vec<String>,
    /// Whether a person who asks for a plan over the API counts as the first of the two.
    pub proposer_counts: bool,
}

/// One person's agreement to one exact plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// Which plan.
    pub plan: PlanId,
    /// The digest of the bytes that were read.
    pub digest: Digest,
    /// Who agreed.
    pub principal: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// From this moment on it counts no more.
    pub expires_at: Timestamp,
}

/// Why somebody may not approve a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Service accounts never approve.
    #[error("only people approve; {name} is a service account")]
    NotAPerson {
        /// Who tried.
        name: String,
    },
    /// The principal is disabled.
    #[error("{name} is disabled")]
    Disabled {
        /// Who tried.
        name: String,
    },
    /// The plan is the approver's own.
    #[error("{name} proposed this plan; somebody else must approve it")]
    OwnPlan {
        /// Who tried.
        name: String,
    },
    /// The approver lacks `plan:approve` on a target.
    #[error("{}", .0.text)]
    NotPermitted(Reason),
    /// What was read is not this plan.
    #[error("the plan has digest {actual}, but {read} was read; read it again")]
    DigestMismatch {
        /// The digest of the plan.
        actual: Digest,
        /// The digest of what was read.
        read: Digest,
    },
    /// The plan is too old.
    #[error("the plan expired at {at}")]
    PlanExpired {
        /// When it expired.
        at: Timestamp,
    },
    /// The same person approved before and it still counts.
    #[error("{name} approved this plan already")]
    AlreadyApproved {
        /// Who tried.
        name: String,
    },
}

impl Default for ApprovalRules {
    fn default() -> Self {
        Self { expires_after_ms: 30 * 60 * 1_000, second_person: SecondPerson::default() }
    }
}

impl Default for SecondPerson {
    fn default() -> Self {
        Self {
            risk: Some(Risk::High),
            change_ratio: Some(4.0),
            change_window_ms: 60_000,
            kinds: Vec::new(),
            proposer_counts: true,
        }
    }
}

impl ApprovalRules {
    pub(crate) fn validate(&self, at: &str) -> Result<(), GuardError> {
        if self.expires_after_ms <= 0 {
            return Err(GuardError::invalid(format!("{at}.expires_after_ms"), "must be above 0"));
        }
        let ratio = self.second_person.change_ratio;
        if ratio.is_some_and(|ratio| !ratio.is_finite() || ratio < 0.0) {
            let problem = "must be a finite number, 0 or more";
            return Err(GuardError::invalid(format!("{at}.second_person.change_ratio"), problem));
        }
        if self.second_person.change_window_ms < 0 {
            let at = format!("{at}.second_person.change_window_ms");
            return Err(GuardError::invalid(at, "must be 0 or more"));
        }
        for (index, glob) in self.second_person.kinds.iter().enumerate() {
            check_glob(&format!("{at}.second_person.kinds[{index}]"), glob)?;
        }
        Ok(())
    }
}

impl Approval {
    /// The approval of `who` for this plan, once [`check_approver`] let it pass.
    #[must_use]
    pub fn new(
        id: ApprovalId,
        plan: &SealedPlan,
        who: &Principal,
        rules: &ApprovalRules,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            plan: plan.plan().id,
            digest: plan.digest(),
            principal: who.id,
            at: now,
            expires_at: now.plus_millis(rules.expires_after_ms),
        }
    }

    /// Whether it is about this exact plan, not by its proposer, and not expired.
    #[must_use]
    pub fn counts_for(&self, plan: &SealedPlan, now: Timestamp) -> bool {
        self.plan == plan.plan().id
            && self.digest == plan.digest()
            && self.principal != plan.plan().proposer
            && now < self.expires_at
    }
}

/// Whether `who` may approve the plan now, having read the bytes with `digest_read`. People are
/// compared, never keys: a person with two keys is one person.
///
/// # Errors
/// The first thing that stands against it.
pub fn check_approver(
    plan: &SealedPlan,
    digest_read: &Digest,
    who: &Principal,
    policies: &PolicySet,
    given: &[Approval],
    now: Timestamp,
) -> Result<(), Refusal> {
    may_approve(plan, who, policies)?;
    if *digest_read != plan.digest() {
        return Err(Refusal::DigestMismatch { actual: plan.digest(), read: *digest_read });
    }
    let expires_at = plan.plan().expires_at;
    if now >= expires_at {
        return Err(Refusal::PlanExpired { at: expires_at });
    }
    let again = |one: &Approval| one.principal == who.id && one.counts_for(plan, now);
    if given.iter().any(again) {
        return Err(Refusal::AlreadyApproved { name: who.name.clone() });
    }
    Ok(())
}

/// Whether enough different people agreed to this exact plan, counting neither its proposer nor
/// what expired.
#[must_use]
pub fn satisfied(needed: u32, plan: &SealedPlan, given: &[Approval], now: Timestamp) -> bool {
    let counting = given.iter().filter(|one| one.counts_for(plan, now));
    let people: BTreeSet<PrincipalId> = counting.map(|one| one.principal).collect();
    people.len() >= usize::try_from(needed).unwrap_or(usize::MAX)
}

/// What must hold of an approver whenever the approval is used, not only when it is given.
pub(crate) fn may_approve(
    plan: &SealedPlan,
    who: &Principal,
    policies: &PolicySet,
) -> Result<(), Refusal> {
    let name = || who.name.clone();
    if who.kind != PrincipalKind::Person {
        return Err(Refusal::NotAPerson { name: name() });
    }
    if who.disabled {
        return Err(Refusal::Disabled { name: name() });
    }
    if who.id == plan.plan().proposer {
        return Err(Refusal::OwnPlan { name: name() });
    }
    let approve = Permission::new(permissions::PLAN_APPROVE);
    for action in &plan.plan().actions {
        let resource = resource_of(&action.spec.target);
        policies.allows(who, &approve, &resource).map_err(Refusal::NotPermitted)?;
    }
    Ok(())
}

pub(crate) fn resource_of(target: &Target) -> Resource {
    Resource::service(target.service.clone(), target.group.clone())
}
