//! The guard's document of one tenant: its rules and what it lately let through.

use std::collections::VecDeque;

use oag_types::{
    ActionId, Decision, Digest, GroupName, KindName, PlanId, Reason, SealedPlan, ServiceName,
    Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::guard::{Case, Step, judge, judge_undo};
use crate::{
    ApprovalRules, FreezeWindow, GuardError, KillSwitch, Ladder, LimitRule, Limits, PolicySet,
    Quantity,
};

/// The version of the document this program writes.
pub const BOOK_VERSION: u32 = 1;

/// Most actions remembered. When the rules need more to judge, the guard denies.
pub const RECENT_MAX: usize = 1_024;

/// Shortest time an action is remembered, so that a limit made longer later finds some history.
const REMEMBER_MS: i64 = 3_600_000;

/// Everything the guard judges by, kept as one document so that judging and writing down what
/// was let through are one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Book {
    /// The version of the document's form.
    pub version: u32,
    /// Who may do what.
    pub policies: PolicySet,
    /// How much, how fast, how often.
    pub limits: Limits,
    /// When not.
    pub freezes: Vec<FreezeWindow>,
    /// Whose agreement is needed.
    pub approval_rules: ApprovalRules,
    /// Whether anything acts at all.
    pub kill_switch: KillSwitch,
    /// Which kinds may act by themselves.
    pub ladder: Ladder,
    /// What was lately let through, oldest first.
    pub recent: VecDeque<Done>,
}

/// One action that was let through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// The plan it was part of.
    pub plan: PlanId,
    /// The digest of that plan.
    pub digest: Digest,
    /// The action.
    pub action: ActionId,
    /// Its kind.
    pub kind: KindName,
    /// The service it was done to.
    pub service: ServiceName,
    /// The group of that service.
    pub group: GroupName,
    /// When it was let through.
    pub at: Timestamp,
    /// The quantity it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// The share of the service's replicas it took away or restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The action it took back, when it is a way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<ActionId>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            version: BOOK_VERSION,
            policies: PolicySet::default(),
            limits: Limits::default(),
            freezes: Vec::new(),
            approval_rules: ApprovalRules::default(),
            kill_switch: KillSwitch::default(),
            ladder: Ladder::default(),
            recent: VecDeque::new(),
        }
    }
}

impl Book {
    /// Judges the case and, only when it is allowed, remembers its actions: the check and the
    /// record are one step. A plan is admitted once.
    pub fn admit(&mut self, case: &Case<'_>) -> Verdict {
        let mut verdict = judge(self, case);
        let plan = case.plan.plan();
        if self.recent.iter().any(|done| done.plan == plan.id) {
            verdict.reasons.push(Reason {
                rule: "plan.admitted_before".to_owned(),
                decision: Decision::Deny,
                text: "this plan was let through before and is not let through twice".to_owned(),
            });
            verdict.decision = Decision::Deny;
            verdict.approvals_needed = 0;
        }
        if verdict.decision == Decision::Allow {
            let steps = case.steps.iter();
            self.remember(steps.map(|step| done(step, case.plan, None, case.now)), case.now);
        }
        verdict
    }

    /// Judges the way back of an action that was let through, and remembers it when allowed.
    /// It must be the very undo that the sealed plan names, so that what was agreed to covers
    /// it; the kill switch and the bounds of quantities still hold, while freezes, cool-downs,
    /// rates and approvals do not stand between a fault and its repair.
    pub fn admit_undo(
        &mut self,
        plan: &SealedPlan,
        undone: ActionId,
        step: &Step<'_>,
        now: Timestamp,
    ) -> Verdict {
        let verdict = judge_undo(self, plan, undone, step);
        if verdict.decision == Decision::Allow {
            self.remember(std::iter::once(done(step, plan, Some(undone), now)), now);
        }
        verdict
    }

    /// Checks the whole document.
    ///
    /// # Errors
    /// The first field that is wrong, by its path.
    pub fn validate(&self) -> Result<(), GuardError> {
        if self.version > BOOK_VERSION {
            return Err(GuardError::Version { found: self.version, known: BOOK_VERSION });
        }
        self.policies.validate()?;
        self.limits.validate()?;
        for (index, freeze) in self.freezes.iter().enumerate() {
            let at = format!("freezes[{index}]");
            freeze.validate(&at)?;
            if self.freezes[..index].iter().any(|earlier| earlier.name == freeze.name) {
                let problem = format!("'{}' is used by an earlier freeze", freeze.name);
                return Err(GuardError::invalid(format!("{at}.name"), problem));
            }
        }
        self.approval_rules.validate("approval_rules")?;
        self.ladder.validate("ladder")
    }

    /// How many remembered actions some rule still needs, those of this plan left aside, and how
    /// many actions of the plan some rule will need.
    pub(crate) fn memory_needed(&self, case: &Case<'_>) -> (usize, usize) {
        let plan = case.plan.plan().id;
        let others = self.recent.iter().filter(|done| done.plan != plan);
        let needed = others.filter(|done| self.needs(done, case.now)).count();
        let own = case.steps.iter().map(|step| done(step, case.plan, None, case.now));
        (needed, own.filter(|done| self.needs(done, case.now)).count())
    }

    fn needs(&self, done: &Done, now: Timestamp) -> bool {
        let age_ms = now.millis_since(done.at);
        let second = &self.approval_rules.second_person;
        let counts = second.change_ratio.is_some() && done.quantity.is_some();
        let bound = |rule: &LimitRule| {
            age_ms < rule.looks_back_ms() && rule.selects(&done.kind, &done.service, &done.group)
        };
        (counts && age_ms < second.change_window_ms) || self.limits.rules.iter().any(bound)
    }

    fn remember(&mut self, new: impl Iterator<Item = Done>, now: Timestamp) {
        let mut recent = std::mem::take(&mut self.recent);
        recent.retain(|done| now.millis_since(done.at) < REMEMBER_MS || self.needs(done, now));
        recent.extend(new);
        let mut excess = recent.len().saturating_sub(RECENT_MAX);
        recent.retain(|done| {
            let drop = excess > 0 && !self.needs(done, now);
            excess -= usize::from(drop);
            !drop
        });
        self.recent = recent;
    }
}

fn done(step: &Step<'_>, plan: &SealedPlan, undoes: Option<ActionId>, now: Timestamp) -> Done {
    let spec = &step.action.spec;
    Done {
        plan: plan.plan().id,
        digest: plan.digest(),
        action: step.action.id,
        kind: spec.kind.clone(),
        service: spec.target.service.clone(),
        group: spec.target.group.clone(),
        at: now,
        quantity: step.quantity.clone(),
        share: step.replicas_affected_share,
        undoes,
    }
}
