//! The judgement: every rule speaks, the strictest wins.

use std::collections::BTreeMap;

use oag_types::{
    Action, ActionId, Decision, Origin, Permission, Principal, PrincipalId, PrincipalKind, Reason,
    SealedPlan, Timestamp, Undo, Verdict,
};

use crate::approval::{may_approve, resource_of};
use crate::limit_check::{self, Touch};
use crate::selector::glob_matches;
use crate::{Approval, Book, Done, Quantity, RECENT_MAX, Rung, permissions};

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

/// Judges a plan by every rule of the book. Nothing is changed and nothing is left out: the
/// verdict names every rule that spoke, also those that allowed. A plan that was let through
/// before is judged as if it had not been, so that it can be looked at again while it runs.
#[must_use]
pub fn judge(book: &Book, case: &Case<'_>) -> Verdict {
    let mut hearing = Hearing::default();
    form(case, &mut hearing);
    if case.now >= case.plan.plan().expires_at {
        let text = format!("the plan expired at {}", case.plan.plan().expires_at);
        hearing.deny("plan.expired", text);
    }
    proposer(book, case, &mut hearing);
    for step in case.steps {
        kill_switch(book, step, &mut hearing);
        freezes(book, step, case.now, &mut hearing);
        autonomy(book, case, step, &mut hearing);
        breaker(step, &mut hearing);
    }
    limits(book, case, &mut hearing);
    second_person(book, case, &mut hearing);
    hearing.close(book, case)
}

/// Judges the way back of an action that was let through.
pub(crate) fn judge_undo(
    book: &Book,
    plan: &SealedPlan,
    undone: ActionId,
    step: &Step<'_>,
) -> Verdict {
    let mut hearing = Hearing::default();
    let named = plan.plan().actions.iter().any(|action| {
        let Undo::By(spec) = &action.undo else { return false };
        action.id == undone && spec.target == action.spec.target && **spec == step.action.spec
    });
    if !named {
        hearing.deny("undo.not_in_plan", format!("the plan names no such way back for {undone}"));
    }
    let of_plan = |done: &&Done| done.plan == plan.plan().id && done.digest == plan.digest();
    let done = book.recent.iter().filter(of_plan).find(|done| done.action == undone);
    if done.is_none() {
        hearing.deny("undo.not_done", format!("{undone} was not lately let through"));
    }
    if book.recent.iter().filter(of_plan).any(|done| done.undoes == Some(undone)) {
        hearing.deny("undo.done_before", format!("{undone} was taken back before"));
    }
    kill_switch(book, step, &mut hearing);
    numbers(step, &mut hearing);
    let before = done.and_then(|done| done.quantity.as_ref()).map(|quantity| quantity.from);
    if before.is_none() || step.quantity.as_ref().map(|quantity| quantity.to) != before {
        let touch = Touch::of_step(step, Timestamp::default());
        for rule in &book.limits.rules {
            hearing.reasons.extend(limit_check::bounds(rule, &touch));
        }
    }
    hearing.allow("undo.in_plan", format!("the plan names this way back for {undone}"));
    hearing.verdict()
}

/// What has been said so far.
#[derive(Default)]
struct Hearing {
    reasons: Vec<Reason>,
    /// Most people any rule asks for.
    needed: u32,
}

impl Hearing {
    fn allow(&mut self, rule: &str, text: String) {
        self.reasons.push(Reason { rule: rule.to_owned(), decision: Decision::Allow, text });
    }

    fn deny(&mut self, rule: &str, text: String) {
        self.reasons.push(Reason { rule: rule.to_owned(), decision: Decision::Deny, text });
    }

    fn need(&mut self, rule: &str, text: String, people: u32) {
        self.needed = self.needed.max(people);
        let decision = Decision::NeedsApproval;
        self.reasons.push(Reason { rule: rule.to_owned(), decision, text });
    }

    /// Counts the approvals, then takes the strictest reason.
    fn close(mut self, book: &Book, case: &Case<'_>) -> Verdict {
        if self.needed == 0 {
            return self.verdict();
        }
        let (people, void) = approvals(book, case);
        if people.len() < usize::try_from(self.needed).unwrap_or(usize::MAX) {
            for text in void {
                let rule = "approval.void".to_owned();
                self.reasons.push(Reason { rule, decision: Decision::NeedsApproval, text });
            }
            return self.verdict();
        }
        for reason in &mut self.reasons {
            if reason.decision == Decision::NeedsApproval {
                reason.decision = Decision::Allow;
            }
        }
        let names: Vec<_> = people.values().copied().collect();
        let text = format!("approved by {}; {} needed", names.join(", "), self.needed);
        self.allow("approval.given", text);
        self.needed = 0;
        self.verdict()
    }

    fn verdict(self) -> Verdict {
        let strictest = self.reasons.iter().map(|reason| reason.decision).max();
        let decision = strictest.unwrap_or(Decision::Allow);
        let asks = decision == Decision::NeedsApproval;
        let approvals_needed = if asks { self.needed } else { 0 };
        Verdict { decision, reasons: self.reasons, approvals_needed }
    }
}

/// What is judged must be what was sealed, and its numbers must be numbers.
fn form(case: &Case<'_>, hearing: &mut Hearing) {
    let plan = case.plan.plan();
    let same = case.steps.len() == plan.actions.len()
        && case.steps.iter().zip(&plan.actions).all(|(step, action)| step.action == action);
    if !same {
        hearing.deny("case.steps", "the steps are not the actions of the plan".to_owned());
    }
    if case.proposer.id != plan.proposer {
        hearing.deny("case.proposer", "the plan names another proposer".to_owned());
    }
    if plan.actions.is_empty() {
        hearing.allow("plan.empty", "the plan changes nothing".to_owned());
    }
    for step in case.steps {
        numbers(step, hearing);
    }
}

fn numbers(step: &Step<'_>, hearing: &mut Hearing) {
    let service = &step.action.spec.target.service;
    if let Some(Quantity { name, from, to }) = &step.quantity
        && !(from.is_finite() && to.is_finite())
    {
        hearing.deny("case.quantity", format!("{name} of {service} is not a number"));
    }
    if step.replicas_affected_share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        let text = format!("the share of replicas of {service} is not between 0 and 1");
        hearing.deny("case.share", text);
    }
}

/// Whoever asks over the API needs each action's permission. The loop and models need only
/// `plan:propose`, since the ladder or an approver answers for the rest.
fn proposer(book: &Book, case: &Case<'_>, hearing: &mut Hearing) {
    let who = case.proposer;
    if who.disabled && case.steps.is_empty() {
        hearing.deny("policy.disabled", format!("{} is disabled", who.name));
    }
    let propose = Permission::new(permissions::PLAN_PROPOSE);
    let request = case.plan.plan().origin == Origin::Request;
    for step in case.steps {
        let resource = resource_of(&step.action.spec.target);
        let wanted = if request { &step.permission } else { &propose };
        match book.policies.allows(who, wanted, &resource) {
            Ok(()) => {
                let text = format!("{} holds {} on {resource}", who.name, wanted.as_str());
                hearing.allow("policy.role", text);
            }
            Err(reason) => hearing.reasons.push(reason),
        }
        // A person must not reach further through a model or the loop than by asking directly.
        if !request
            && who.kind == PrincipalKind::Person
            && let Err(reason) = book.policies.allows(who, &step.permission, &resource)
        {
            hearing.need("policy.own_permission", reason.text, 1);
        }
    }
}

fn kill_switch(book: &Book, step: &Step<'_>, hearing: &mut Hearing) {
    let target = &step.action.spec.target;
    if book.kill_switch.stops(&target.group) {
        let text = format!(
            "the kill switch is on for {} (group {}): {}",
            target.service, target.group, book.kill_switch.reason
        );
        hearing.deny("kill_switch", text);
    }
}

fn freezes(book: &Book, step: &Step<'_>, now: Timestamp, hearing: &mut Hearing) {
    let spec = &step.action.spec;
    for freeze in book.freezes.iter().filter(|freeze| freeze.active_at(now)) {
        if freeze.selector.matches(&spec.kind, &spec.target.service, &spec.target.group) {
            let text = format!(
                "{} of {} is frozen by '{}': {}",
                spec.kind, spec.target.service, freeze.name, freeze.reason
            );
            hearing.deny("freeze", text);
        }
    }
}

fn autonomy(book: &Book, case: &Case<'_>, step: &Step<'_>, hearing: &mut Hearing) {
    if case.plan.plan().origin == Origin::Request {
        return;
    }
    let kind = &step.action.spec.kind;
    let rung = book.ladder.rung(kind);
    let rule = format!("autonomy.{}", rung.as_str());
    if rung == Rung::Automatic {
        hearing.allow(&rule, format!("{kind} may act by itself"));
    } else {
        hearing.need(
            &rule,
            format!("{kind} is at '{}' and acts only once approved", rung.as_str()),
            1,
        );
    }
}

/// Behind an open breaker only what helps goes on unasked.
fn breaker(step: &Step<'_>, hearing: &mut Hearing) {
    const HELPS: [&str; 4] = [
        permissions::BREAKER_OPERATE,
        permissions::SERVICE_ROLLBACK,
        permissions::FEATURE_SHED,
        permissions::NOTIFY_SEND,
    ];
    if step.breaker_open && !HELPS.contains(&step.permission.as_str()) {
        let spec = &step.action.spec;
        let text = format!("{} of {} while its breaker is open", spec.kind, spec.target.service);
        hearing.need("breaker.open", text, 1);
    }
}

fn limits(book: &Book, case: &Case<'_>, hearing: &mut Hearing) {
    let mut touches = earlier(book, case);
    let mut said = vec![None; book.limits.rules.len()];
    for step in case.steps {
        touches.push(Touch::of_step(step, case.now));
        let spec = &step.action.spec;
        for (rule, said) in book.limits.rules.iter().zip(&mut said) {
            if !rule.selects(&spec.kind, &spec.target.service, &spec.target.group) {
                continue;
            }
            let objections = limit_check::check(rule, &touches, case.now);
            *said = Some(said.unwrap_or(true) && objections.is_empty());
            hearing.reasons.extend(objections);
        }
    }
    for (rule, said) in book.limits.rules.iter().zip(said) {
        if said == Some(true) {
            hearing.allow("limit.kept", format!("within '{}'", rule.name));
        }
    }
    let (needed, bound) = book.memory_needed(case);
    if bound > 0 && needed + bound > RECENT_MAX {
        let text = format!("more than {RECENT_MAX} actions would have to be remembered");
        hearing.deny("limit.memory", text);
    }
}

fn second_person(book: &Book, case: &Case<'_>, hearing: &mut Hearing) {
    let rules = &book.approval_rules.second_person;
    let asked = case.plan.plan().origin == Origin::Request
        && case.proposer.kind == PrincipalKind::Person
        && rules.proposer_counts;
    let people = if asked { 1 } else { 2 };
    let window_ms = rules.change_window_ms;
    let mut touches = earlier(book, case);
    touches.retain(|touch| case.now.millis_since(touch.at) < window_ms);
    for step in case.steps {
        let spec = &step.action.spec;
        let what = format!("{} of {}", spec.kind, spec.target.service);
        if rules.risk.is_some_and(|risk| step.action.risk >= risk) {
            hearing.need("second_person.risk", format!("{what} is of high risk"), people);
        }
        if rules.kinds.iter().any(|glob| glob_matches(glob, spec.kind.as_str())) {
            hearing.need("second_person.kind", format!("{what} always asks two people"), people);
        }
        let touch = Touch::of_step(step, case.now);
        if let Some(most) = rules.change_ratio
            && let Some(moved) = limit_check::movement(&touch, touches.iter())
            && !limit_check::exceeds(most, moved.ratio)
        {
            let text = format!("{what} changes by {:.3} of where it started", moved.ratio);
            hearing.need("second_person.change", text, people);
        }
        touches.push(touch);
    }
}

/// What other plans did.
fn earlier<'a>(book: &'a Book, case: &Case<'_>) -> Vec<Touch<'a>> {
    let (id, digest) = (case.plan.plan().id, case.plan.digest());
    let others = book.recent.iter().filter(|done| done.plan != id || done.digest != digest);
    others.map(Touch::of_done).collect()
}

/// The people whose approvals count now, by id, and why others do not.
fn approvals<'a>(book: &Book, case: &Case<'a>) -> (BTreeMap<PrincipalId, &'a str>, Vec<String>) {
    let (mut people, mut void) = (BTreeMap::new(), Vec::new());
    for approval in case.approvals {
        match approver(book, case, approval) {
            Ok(who) => {
                people.insert(who.id, who.name.as_str());
            }
            Err(why) => void.push(format!("approval {} does not count: {why}", approval.id)),
        }
    }
    (people, void)
}

/// The person behind an approval, when it counts. What held when it was given must hold still.
fn approver<'a>(
    book: &Book,
    case: &Case<'a>,
    approval: &Approval,
) -> Result<&'a Principal, String> {
    if approval.plan != case.plan.plan().id || approval.digest != case.plan.digest() {
        return Err("it is for another plan".to_owned());
    }
    let oldest = case.now.plus_millis(-book.approval_rules.expires_after_ms);
    if !approval.counts_for(case.plan, case.now) || approval.at <= oldest {
        return Err("it expired, or it is the proposer's own".to_owned());
    }
    let who = case.approvers.iter().find(|who| who.id == approval.principal);
    let who = who.ok_or("its principal is not known")?;
    may_approve(case.plan, who, &book.policies).map_err(|refusal| refusal.to_string())?;
    if case.plan.plan().origin != Origin::Request {
        for step in case.steps {
            let resource = resource_of(&step.action.spec.target);
            let held = book.policies.allows(who, &step.permission, &resource);
            held.map_err(|reason| reason.text)?;
        }
    }
    Ok(who)
}
