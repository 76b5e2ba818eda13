//! What may pass, told once more by other means: an unbounded log, plain loops, hand-written
//! rights per person. It shares no judging code with the crate.

use std::collections::{BTreeSet, HashSet};

use oag_guard::{FreezeWindow, KillScope, LimitRule, Rung, Selector};
use oag_types::{Decision, Origin};

use crate::world::{KINDS, Made, RawPlan, RawStep, SERVICES, number_of};

/// One action that went through.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) at: i64,
    pub(crate) kind: usize,
    pub(crate) service: usize,
    pub(crate) change: Option<(f64, f64)>,
    pub(crate) share: f64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) log: Vec<Logged>,
    pub(crate) rules: Vec<LimitRule>,
    pub(crate) freezes: Vec<FreezeWindow>,
    pub(crate) killed: Option<KillScope>,
    pub(crate) rungs: Vec<Rung>,
    pub(crate) approval_ms: i64,
    pub(crate) second_ratio: f64,
    pub(crate) second_window: i64,
}

const EPS: f64 = 1e-9;

impl Model {
    pub(crate) fn logged(&self, made: &Made, now: i64) -> Vec<Logged> {
        let steps = made.raw.steps.iter().zip(&made.quantities);
        steps
            .map(|(step, quantity)| {
                let change = quantity.as_ref().map(|quantity| (quantity.from, quantity.to));
                let given = step.share.map_or(0.0, |share| f64::from(share) / 10.0);
                let lost = match change {
                    Some((from, to)) if from > 0.0 && to < from => (from - to) / from,
                    _ => 0.0,
                };
                let share = if lost > given { lost } else { given };
                Logged { at: now, kind: step.kind, service: step.service, change, share }
            })
            .collect()
    }

    pub(crate) fn decide(&self, made: &Made, now: i64) -> Decision {
        if self.denied(made, now) {
            return Decision::Deny;
        }
        let needed = self.people_needed(made, now);
        if self.people(made, now).len() >= needed {
            Decision::Allow
        } else {
            Decision::NeedsApproval
        }
    }

    fn denied(&self, made: &Made, now: i64) -> bool {
        let raw = &made.raw;
        if raw.lives_ms <= 0 {
            return true;
        }
        if raw.steps.is_empty() && raw.proposer == 6 {
            return true;
        }
        for step in &raw.steps {
            let permission = match raw.origin {
                Origin::Request => KINDS[step.kind].1,
                Origin::Loop | Origin::Model => "plan:propose",
            };
            if !holds(raw.proposer, permission, SERVICES[step.service].1) {
                return true;
            }
            match &self.killed {
                Some(KillScope::All) => return true,
                Some(KillScope::Groups(groups))
                    if groups.iter().any(|group| group.as_str() == SERVICES[step.service].1) =>
                {
                    return true;
                }
                Some(KillScope::Groups(_)) | None => {}
            }
            for freeze in &self.freezes {
                let open = freeze.from.as_millis() <= now && now < freeze.to.as_millis();
                if open && selected(&freeze.selector, step.kind, step.service) {
                    return true;
                }
            }
        }
        let own = self.logged(made, now);
        let passed = self.log.len();
        let mut all = self.log.clone();
        for one in own {
            all.push(one);
            if self.rules.iter().any(|rule| breaks(rule, &all, passed, now)) {
                return true;
            }
        }
        false
    }

    fn people_needed(&self, made: &Made, now: i64) -> usize {
        let raw = &made.raw;
        let mut needed = 0;
        for step in &raw.steps {
            let mut asks =
                step.breaker_open && !["rollback", "notify"].contains(&KINDS[step.kind].0);
            if raw.origin != Origin::Request {
                asks |= self.rungs[step.kind] != Rung::Automatic;
                let group = SERVICES[step.service].1;
                let machine = raw.proposer == 4 || raw.proposer == 5;
                asks |= !machine && !holds(raw.proposer, KINDS[step.kind].1, group);
            }
            needed = needed.max(usize::from(asks));
            if step.risk == 2 {
                needed = 2;
            }
        }
        let mut all: Vec<Logged> = self.log.clone();
        all.retain(|one| now - one.at < self.second_window);
        for one in self.logged(made, now) {
            all.push(one);
            if let Some((_, _, ratio, _)) = moved(&all, |_| true)
                && ratio >= self.second_ratio - EPS
            {
                needed = 2;
            }
        }
        needed
    }

    fn people(&self, made: &Made, now: i64) -> HashSet<usize> {
        let RawPlan { origin, proposer, steps, .. } = &made.raw;
        let mut people = HashSet::new();
        for (approval, raw) in made.approvals.iter().zip(&made.raw.approvals) {
            let who = number_of(approval.principal);
            let known = made.approvers.iter().any(|one| one.id == approval.principal);
            let fresh = raw.age_ms < self.approval_ms && now < approval.expires_at.as_millis();
            let machine = who == 4 || who == 5;
            if !known || !raw.right_digest || !fresh || machine || who == 6 || who == *proposer {
                continue;
            }
            let able = |step: &RawStep| {
                let group = SERVICES[step.service].1;
                holds(who, "plan:approve", group)
                    && (*origin == Origin::Request || holds(who, KINDS[step.kind].1, group))
            };
            if steps.iter().all(able) {
                people.insert(who);
            }
        }
        people
    }
}

/// The rights of everybody, written out by hand.
fn holds(who: usize, permission: &str, group: &str) -> bool {
    let operator = ["service:stop", "service:start", "plan:propose"].contains(&permission);
    match who {
        0 | 1 | 5 | 9 => true,
        2 => operator && group == "shop",
        4 => operator,
        7 => group == "money",
        8 => permission == "plan:approve",
        _ => false,
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => {
            text.starts_with(head) && (head.len()..=text.len()).any(|at| glob(rest, &text[at..]))
        }
    }
}

fn selected(selector: &Selector, kind: usize, service: usize) -> bool {
    let any = |globs: &[String], text: &str| globs.iter().any(|one| glob(one, text));
    let (name, group) = SERVICES[service];
    (selector.kinds.is_empty() || any(&selector.kinds, KINDS[kind].0))
        && !any(&selector.except_kinds, KINDS[kind].0)
        && (selector.services.is_empty() || any(&selector.services, name))
        && (selector.groups.is_empty() || any(&selector.groups, group))
}

/// Total and ratio of the last change with every earlier one of `all` the same way.
fn moved(all: &[Logged], counts: impl Fn(usize) -> bool) -> Option<(f64, f64, f64, bool)> {
    let last = all.last()?;
    let (from, to) = last.change?;
    if from == to {
        return None;
    }
    let mut line = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let Some((a, b)) = one.change else { continue };
        let way = if to > from { b > a } else { b < a };
        let last = index + 1 == all.len();
        if way && one.service == all[all.len() - 1].service && (last || counts(index)) {
            line.push((a, (b - a).abs()));
        }
    }
    let total = line.iter().map(|(_, change)| change).sum();
    let (mut ratio, mut finite, mut zero) = (0.0_f64, 0.0_f64, false);
    for start in 0..line.len() {
        let change: f64 = line[start..].iter().map(|(_, change)| change).sum();
        ratio = ratio.max(change / line[start].0);
        if line[start].0 > 0.0 {
            finite = finite.max(change / line[start].0);
        } else {
            zero = true;
        }
    }
    Some((total, finite, ratio, zero))
}

/// Whether the last of `all` breaks the rule; from `passed` on they belong to the same plan.
fn breaks(rule: &LimitRule, all: &[Logged], passed: usize, now: i64) -> bool {
    let Some(last) = all.last() else { return false };
    if !selected(&rule.selector, last.kind, last.service) {
        return false;
    }
    let last_index = all.len() - 1;
    let counts = |index: usize, window: i64| {
        let one = &all[index];
        selected(&rule.selector, one.kind, one.service)
            && (index >= passed || now - one.at < window)
    };
    let Selector { kinds, .. } = &rule.selector;
    let bounded = rule.min.is_some()
        || rule.max.is_some()
        || rule.max_step.is_some()
        || rule.max_step_ratio.is_some();
    match last.change {
        None => {
            if bounded && !kinds.is_empty() && !kinds.contains(&"*".to_owned()) {
                return true;
            }
        }
        Some((from, to)) => {
            if rule.min.is_some_and(|min| to < min && to <= from) {
                return true;
            }
            if rule.max.is_some_and(|max| to > max && to >= from) {
                return true;
            }
        }
    }
    if let Some((total, finite, ratio, _)) = moved(all, |index| counts(index, rule.step_window_ms))
    {
        if rule.max_step.is_some_and(|max| total > max + EPS) {
            return true;
        }
        let ratio = if rule.max_step.is_some() { finite } else { ratio };
        if rule.max_step_ratio.is_some_and(|max| ratio > max + EPS) {
            return true;
        }
    }
    let up = last.change.is_some_and(|(from, to)| to > from);
    let wait =
        if up && rule.cooldown_up_ms.is_some() { rule.cooldown_up_ms } else { rule.cooldown_ms };
    for one in &all[..last_index] {
        let same = one.kind == last.kind && one.service == last.service;
        if same && wait.is_some_and(|wait| now - one.at < wait) {
            return true;
        }
    }
    if let Some(rate) = rule.rate {
        let count = (0..last_index).filter(|index| counts(*index, rate.per_ms)).count() + 1;
        if count > rate.count as usize {
            return true;
        }
    }
    if let Some(radius) = rule.blast_radius {
        let mut services = BTreeSet::from([last.service]);
        let mut share = last.share;
        for index in (0..last_index).filter(|index| counts(*index, radius.window_ms)) {
            services.insert(all[index].service);
            if all[index].service == last.service {
                share += all[index].share;
            }
        }
        if radius.services_per_window.is_some_and(|most| services.len() > most as usize) {
            return true;
        }
        let most = radius.share_of_capacity;
        if last.share > 0.0 && most.is_some_and(|most| share > most + EPS) {
            return true;
        }
    }
    false
}
