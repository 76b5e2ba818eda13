//! What answers say of plans.

use oag_pilot::{Phase, PlanRecord};
use oag_types::{
    Comparison, Decision, Measured, Observable, Origin, PlanId, ServiceName, Timestamp,
    VerificationState,
};

use super::Facts;
use super::compose::{SHOWN_MAX, Writer};
use super::quote::{plain, quote};
use super::words::{self, join, say};

/// How far back "lately" reaches.
const LATELY_MS: i64 = 24 * 3_600_000;
/// Reasons of the guard and effects that did not come, of one plan.
const REASONS_MAX: usize = 3;
/// Characters of the name of a rule, a value or an effect.
const WORD_CHARS_MAX: usize = 60;

/// What ended otherwise than planned.
const SETBACKS: [Phase; 4] = [Phase::OutcomeUnknown, Phase::Failed, Phase::Undone, Phase::Denied];

impl Writer<'_> {
    pub(super) fn waiting(&mut self, services: &[ServiceName], facts: &Facts) {
        let l = self.language;
        self.stopped(facts);
        let waits = |plan: &PlanRecord| plan.phase == Phase::AwaitingApproval;
        let none = say!(l, ("没有计划在等待批准。"), ("No plan is waiting for approval."));
        let some = say!(l, ("等待批准的计划："), ("Waiting for approval:"));
        self.plans(&pick(facts, services, waits), (some, none), Self::asks_for_approval);
        let unknown = pick(facts, services, |plan| plan.phase == Phase::OutcomeUnknown);
        for plan in unknown.iter().take(SHOWN_MAX) {
            self.plan(plan);
            let id = plan.id();
            self.line(say!(
                l,
                ("  需要人查看实际结果，然后 `openautoglm resolve {id} --done` 或 `--not-done`"),
                ("  a person must look what happened, then `openautoglm resolve {id} --done` or `--not-done`")
            ));
        }
        self.more(unknown.len().saturating_sub(SHOWN_MAX));
        let proposed = |plan: &PlanRecord| {
            plan.phase == Phase::Proposed && plan.sealed.plan().expires_at > facts.at
        };
        let proposed = pick(facts, services, proposed);
        if !proposed.is_empty() {
            let ids = join(proposed.iter().take(SHOWN_MAX).map(|plan| plan.id()), l);
            let count = proposed.len();
            self.line(say!(
                l,
                ("另有 {count} 个计划只是提出，没有请人批准，但可以采用：{ids}"),
                ("Only proposed, with nobody asked, but there to be taken up: {count} ({ids})")
            ));
        }
        self.older_plans(facts);
    }

    pub(super) fn running(&mut self, services: &[ServiceName], facts: &Facts) {
        let l = self.language;
        self.stopped(facts);
        let none = say!(l, ("没有计划在执行或排队。"), ("No plan is queued or being carried out."));
        let some = say!(l, ("正在执行或排队的计划："), ("Queued or being carried out:"));
        let plans =
            pick(facts, services, |plan| matches!(plan.phase, Phase::Queued | Phase::Running));
        self.plans(&plans, (some, none), |_, _| {});
    }

    pub(super) fn setbacks(&mut self, services: &[ServiceName], facts: &Facts) {
        let l = self.language;
        let none = say!(
            l,
            ("读到的计划中没有被撤回、失败、被拒绝或结果未知的。"),
            ("None of the plans that were read was undone, failed, denied, or of unknown outcome.")
        );
        let some = say!(l, ("没有按计划完成的（新的在前）："), ("Not as planned, newest first:"));
        let plans = pick(facts, services, |plan| SETBACKS.contains(&plan.phase));
        self.plans(&plans, (some, none), Self::went_wrong);
        self.older_plans(facts);
    }

    /// What happened to plans in the last day, and what was found.
    pub(super) fn done(&mut self, services: &[ServiceName], facts: &Facts) {
        let l = self.language;
        let since = facts.at.plus_millis(-LATELY_MS);
        let plans = pick(facts, services, |plan| moved_at(plan) >= since);
        let by_loop = plans.iter().filter(|p| p.sealed.plan().origin == Origin::Loop).count();
        let (count, others) = (plans.len(), plans.len() - by_loop);
        self.line(say!(
            l,
            ("过去 24 小时（自 {since}）：有进展的计划 {count} 个，其中自动循环提出 {by_loop} 个，其他 {others} 个。"),
            ("In the last 24 hours (since {since}), plans made or moved: {count}, by the loop {by_loop}, by others {others}.")
        ));
        for plan in plans.iter().take(SHOWN_MAX) {
            self.plan(plan);
            if SETBACKS.contains(&plan.phase) {
                self.went_wrong(plan);
            }
        }
        self.more(plans.len().saturating_sub(SHOWN_MAX));
        if let Some(last) = pick(facts, services, |_| true).first().filter(|_| plans.is_empty()) {
            self.line(say!(l, ("更早的最后一个："), ("The last one before:")));
            self.plan(last);
        }
        self.older_plans(facts);
        let Some(found) = &facts.found else { return };
        let new = |f: &&oag_types::Finding| {
            f.at >= since
                && (services.is_empty() || f.service.as_ref().is_some_and(|s| services.contains(s)))
        };
        let ids: Vec<_> = found.findings.iter().filter(new).map(|finding| finding.id).collect();
        let (count, shown) = (ids.len(), join(ids.iter().take(SHOWN_MAX), l));
        if count > 0 {
            self.line(say!(
                l,
                ("同期的发现：{count} 个（{shown}）"),
                ("Findings in that time: {count} ({shown})")
            ));
        }
    }

    /// Plans in hand on a service, and the last one that ended.
    pub(super) fn plans_of(&mut self, service: &ServiceName, facts: &Facts) {
        let services = std::slice::from_ref(service);
        let all = pick(facts, services, |_| true);
        let live = |plan: &&&PlanRecord| {
            !plan.phase.is_final()
                && (plan.phase != Phase::Proposed || plan.sealed.plan().expires_at > facts.at)
        };
        let live: Vec<_> = all.iter().filter(live).collect();
        for plan in live.iter().take(REASONS_MAX) {
            self.plan(plan);
        }
        self.more(live.len().saturating_sub(REASONS_MAX));
        let over = all.iter().filter(|plan| ended(plan.phase));
        if let Some(last) = over.max_by_key(|plan| moved_at(plan)) {
            self.line(say!(self.language, ("最近结束的计划："), ("The plan that ended last:")));
            self.plan(last);
            self.went_wrong(last);
        }
    }

    /// Plans in hand that scale a service, and the last that did.
    pub(super) fn scaling_plans(&mut self, service: &ServiceName, facts: &Facts) {
        let scales = |plan: &PlanRecord| {
            let mut actions = plan.sealed.plan().actions.iter();
            actions.any(|a| a.spec.kind.as_str() == "scale" && a.spec.target.service == *service)
        };
        let all = pick(facts, std::slice::from_ref(service), scales);
        match all.first() {
            Some(newest) => {
                self.plan(newest);
                self.went_wrong(newest);
            }
            None => self.line(say!(
                self.language,
                ("- 读到的计划中没有扩缩容 {service} 的。"),
                ("- none of the plans that were read scales {service}")
            )),
        }
    }

    pub(super) fn one_plan(&mut self, id: PlanId, facts: &Facts) {
        let Some(plan) = facts.plans.iter().find(|plan| plan.id() == id) else {
            return self.not_found(&id);
        };
        self.plan(plan);
        match plan.phase {
            Phase::AwaitingApproval => self.asks_for_approval(plan),
            _ => self.went_wrong(plan),
        }
        let l = self.language;
        let findings = &plan.sealed.plan().findings;
        if !findings.is_empty() {
            let ids = join(findings.iter().take(SHOWN_MAX), l);
            self.line(say!(l, ("  它回应的发现：{ids}"), ("  it answers {ids}")));
        }
        for note in plan.notes.iter().rev().take(REASONS_MAX).rev() {
            let (at, text) = (note.at, quote(&note.text));
            self.line(format!("  {at}: {text}"));
        }
    }

    /// One plan in a line, with its reason.
    pub(super) fn plan(&mut self, plan: &PlanRecord) {
        let (l, id, inner) = (self.language, plan.id(), plan.sealed.plan());
        let (summary, reason) = (quote(&inner.summary), quote(&inner.reason));
        let (phase, origin) = (words::phase(plan.phase, l), words::origin(inner.origin, l));
        let at = moved_at(plan);
        self.line(say!(
            l,
            ("- {summary}：{phase}（{at}），{origin}，理由：{reason} [{id}]"),
            ("- {summary}: {phase} ({at}), {origin}, because {reason} [{id}]")
        ));
    }

    fn plans(
        &mut self,
        plans: &[&PlanRecord],
        (some, none): (String, String),
        more: fn(&mut Self, &PlanRecord),
    ) {
        if plans.is_empty() {
            return self.line(none);
        }
        self.line(some);
        for plan in plans.iter().take(SHOWN_MAX) {
            self.plan(plan);
            more(self, plan);
        }
        self.more(plans.len().saturating_sub(SHOWN_MAX));
    }

    fn asks_for_approval(&mut self, plan: &PlanRecord) {
        self.guard(plan, Decision::NeedsApproval);
        let (l, id, until) = (self.language, plan.id(), plan.sealed.plan().expires_at);
        let (given, needed) = (plan.approvals.len(), plan.verdict.approvals_needed);
        self.line(say!(
            l,
            ("  已有 {given} 个批准，需要 {needed} 个，{until} 过期；不是提出者的人可以 `openautoglm approve {id}`"),
            ("  {given} of {needed} approvals, until {until}; a person who did not propose it says `openautoglm approve {id}`")
        ));
    }

    /// Why a plan did not go as planned; nothing for one that did.
    fn went_wrong(&mut self, plan: &PlanRecord) {
        if !SETBACKS.contains(&plan.phase) {
            return;
        }
        if plan.phase == Phase::Denied {
            return self.guard(plan, Decision::Deny);
        }
        let l = self.language;
        for step in &plan.steps {
            let verification = step.verification.as_ref();
            let missed = verification.filter(|v| v.state != VerificationState::Reached);
            let missed = missed.iter().flat_map(|v| &v.measured).filter(|m| !m.holds);
            for measured in missed.take(REASONS_MAX) {
                let (promised, actual) = compared(measured);
                self.line(say!(
                    l,
                    ("  承诺 {promised}，实测 {actual}"),
                    ("  promised {promised}, measured {actual}")
                ));
            }
            if let Some(error) = &step.error {
                let error = quote(error);
                self.line(say!(l, ("  错误：{error}"), ("  error: {error}")));
            }
        }
        if let Some(note) = plan.notes.last() {
            let text = quote(&note.text);
            self.line(say!(l, ("  最后的记录：{text}"), ("  last note: {text}")));
        }
    }

    /// What the guard said, as far as it came out so.
    fn guard(&mut self, plan: &PlanRecord, decision: Decision) {
        let spoke = plan.verdict.reasons.iter().filter(|reason| reason.decision == decision);
        for reason in spoke.take(REASONS_MAX) {
            let (rule, text) = (plain(&reason.rule, WORD_CHARS_MAX), quote(&reason.text));
            self.line(say!(
                self.language,
                ("  守卫规则 {rule}：{text}"),
                ("  the guard's {rule}: {text}")
            ));
        }
    }

    fn older_plans(&mut self, facts: &Facts) {
        if facts.older_plans {
            self.line(say!(
                self.language,
                ("只读了较新的计划。"),
                ("Only the newest plans were read.")
            ));
        }
    }
}

/// Plans on these services (all when none is named), newest first.
pub(super) fn pick<'a>(
    facts: &'a Facts,
    services: &[ServiceName],
    wanted: impl Fn(&PlanRecord) -> bool,
) -> Vec<&'a PlanRecord> {
    let about = |plan: &PlanRecord| {
        let mut actions = plan.sealed.plan().actions.iter();
        services.is_empty() || actions.any(|a| services.contains(&a.spec.target.service))
    };
    facts.plans.iter().filter(|plan| about(plan) && wanted(plan)).collect()
}

/// When a plan came to where it stands.
fn moved_at(plan: &PlanRecord) -> Timestamp {
    plan.notes.last().map_or(plan.sealed.plan().created_at, |note| note.at)
}

/// Over, and not only put away.
const fn ended(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Succeeded | Phase::Undone | Phase::Failed | Phase::OutcomeUnknown | Phase::Denied
    )
}

fn compared(measured: &Measured) -> (String, String) {
    let expected = &measured.expected;
    let what = match &expected.observe {
        Observable::State(name) | Observable::Metric(name) => plain(name, WORD_CHARS_MAX),
    };
    let is = match expected.is {
        Comparison::Eq => "=",
        Comparison::Le => "≤",
        Comparison::Ge => "≥",
    };
    let value = plain(&expected.value.to_string(), WORD_CHARS_MAX);
    (format!("{what} {is} {value}"), plain(&measured.actual.to_string(), WORD_CHARS_MAX))
}
