//! Checks a plan against the limits, together with what was lately let through: several actions
//! of a plan, and several plans, get no further than one.

use std::collections::BTreeSet;

use oag_types::{Decision, GroupName, KindName, Reason, ServiceName, Timestamp};

use crate::guard::Step;
use crate::{Done, LimitRule, Quantity};

/// An action as the limits see it: let through before, or part of the plan that is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touch<'a> {
    pub(crate) kind: &'a KindName,
    pub(crate) service: &'a ServiceName,
    pub(crate) group: &'a GroupName,
    pub(crate) at: Timestamp,
    pub(crate) quantity: Option<&'a Quantity>,
    share: f64,
    /// Part of the plan that is judged: inside every window, however short.
    own: bool,
}

/// The largest share of a starting value by which a quantity was changed in one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Movement {
    /// The whole change in the direction of the last one, including it.
    pub(crate) total: f64,
    /// The largest share; infinite when it started from zero.
    pub(crate) ratio: f64,
    /// The largest share, leaving out what started from zero.
    ratio_from_something: f64,
}

impl<'a> Touch<'a> {
    pub(crate) fn of_done(done: &'a Done) -> Self {
        Self {
            kind: &done.kind,
            service: &done.service,
            group: &done.group,
            at: done.at,
            quantity: done.quantity.as_ref(),
            share: share(done.share, done.quantity.as_ref()),
            own: false,
        }
    }

    pub(crate) fn of_step(step: &'a Step<'_>, now: Timestamp) -> Self {
        let spec = &step.action.spec;
        Self {
            kind: &spec.kind,
            service: &spec.target.service,
            group: &spec.target.group,
            at: now,
            quantity: step.quantity.as_ref(),
            share: share(step.replicas_affected_share, step.quantity.as_ref()),
            own: true,
        }
    }

    /// A moment that seems to lie ahead, because a clock went back, counts as just now.
    fn within(&self, window_ms: i64, now: Timestamp) -> bool {
        self.own || now.millis_since(self.at) < window_ms
    }

    fn selected_by(&self, rule: &LimitRule) -> bool {
        rule.selects(self.kind, self.service, self.group)
    }
}

/// What one rule says to the last of `touches`, given those before it.
pub(crate) fn check(rule: &LimitRule, touches: &[Touch<'_>], now: Timestamp) -> Vec<Reason> {
    let Some((last, before)) = touches.split_last() else { return Vec::new() };
    if !last.selected_by(rule) {
        return Vec::new();
    }
    let mut objections = Vec::new();
    objections.extend(bounds(rule, last));
    objections.extend(steps(rule, last, before, now));
    objections.extend(cooldown(rule, last, before, now));
    objections.extend(rate(rule, before, now));
    objections.extend(services(rule, last, before, now));
    objections.extend(capacity(rule, last, before, now));
    objections
}

/// The bounds alone, which hold for the way back too.
pub(crate) fn bounds(rule: &LimitRule, touch: &Touch<'_>) -> Vec<Reason> {
    let mut objections = Vec::new();
    if !touch.selected_by(rule) {
        return objections;
    }
    let Some(quantity) = touch.quantity else {
        let bounded = rule.min.is_some()
            || rule.max.is_some()
            || rule.max_step.is_some()
            || rule.max_step_ratio.is_some();
        if bounded && rule.selector.names_kinds() {
            let text = format!("{} says nothing of the quantity it changes", touch.kind);
            objections.push(deny("limit.unmeasured", rule, touch, &text));
        }
        return objections;
    };
    if !rule.binds_quantity(quantity) {
        return objections;
    }
    let Quantity { name, from, to } = quantity;
    // From outside, a change towards the bounds is no offence: it is the only way back in.
    if let Some(min) = rule.min
        && *to < min
        && to <= from
    {
        let text = format!("{name} {from} to {to}, the least is {min}");
        objections.push(deny("limit.min", rule, touch, &text));
    }
    if let Some(max) = rule.max
        && *to > max
        && to >= from
    {
        let text = format!("{name} {from} to {to}, the most is {max}");
        objections.push(deny("limit.max", rule, touch, &text));
    }
    objections
}

/// How far `last` moves its quantity in its direction, with what `before` moved it the same way.
pub(crate) fn movement<'a>(
    last: &Touch<'a>,
    before: impl DoubleEndedIterator<Item = &'a Touch<'a>>,
) -> Option<Movement> {
    let quantity = last.quantity?;
    let change = quantity.to - quantity.from;
    if change == 0.0 {
        return None;
    }
    let same_way = before.rev().filter_map(|touch| {
        let other = touch.quantity?;
        let same = touch.service == last.service && other.name == quantity.name;
        (same && (other.to - other.from) * change > 0.0).then_some(other)
    });
    // Every stretch that ends here is measured by its own start, so that no mixture of ups and
    // downs hides a change that would not pass alone.
    let mut moved = Movement { total: 0.0, ratio: 0.0, ratio_from_something: 0.0 };
    for one in std::iter::once(quantity).chain(same_way) {
        moved.total += (one.to - one.from).abs();
        if one.from == 0.0 {
            moved.ratio = f64::INFINITY;
        } else {
            let ratio = moved.total / one.from.abs();
            moved.ratio = moved.ratio.max(ratio);
            moved.ratio_from_something = moved.ratio_from_something.max(ratio);
        }
    }
    Some(moved)
}

/// Whether a sum of decimal fractions is above a bound, leaving rounding aside.
pub(crate) fn exceeds(value: f64, bound: f64) -> bool {
    value > bound + 1e-9 * bound.abs().max(1.0)
}

fn steps(rule: &LimitRule, last: &Touch<'_>, before: &[Touch<'_>], now: Timestamp) -> Vec<Reason> {
    let mut objections = Vec::new();
    if rule.max_step.is_none() && rule.max_step_ratio.is_none() {
        return objections;
    }
    let Some(quantity) = last.quantity.filter(|quantity| rule.binds_quantity(quantity)) else {
        return objections;
    };
    let counted = before
        .iter()
        .filter(|touch| touch.selected_by(rule) && touch.within(rule.step_window_ms, now));
    let Some(moved) = movement(last, counted) else { return objections };
    let so_far =
        |what: String| format!("{} {} to {}: {what}", quantity.name, quantity.from, quantity.to);
    if let Some(max) = rule.max_step
        && exceeds(moved.total, max)
    {
        let text = so_far(format!("a change of {} in one step, the most is {max}", moved.total));
        objections.push(deny("limit.max_step", rule, last, &text));
    }
    if let Some(max) = rule.max_step_ratio {
        // From zero there is no share; a rule that also bounds the step itself decides by that.
        let ratio = if rule.max_step.is_some() { moved.ratio_from_something } else { moved.ratio };
        if exceeds(ratio, max) {
            let text = so_far(format!("{ratio:.3} of where it started, the most is {max}"));
            objections.push(deny("limit.max_step_ratio", rule, last, &text));
        }
    }
    objections
}

fn cooldown(
    rule: &LimitRule,
    last: &Touch<'_>,
    before: &[Touch<'_>],
    now: Timestamp,
) -> Option<Reason> {
    let up = last.quantity.is_some_and(|quantity| quantity.to > quantity.from);
    let cooldown_ms = if up { rule.cooldown_up_ms.or(rule.cooldown_ms) } else { rule.cooldown_ms }?;
    let same = |touch: &&Touch<'_>| touch.kind == last.kind && touch.service == last.service;
    let latest = before.iter().filter(same).map(|touch| touch.at).max()?;
    let passed_ms = now.millis_since(latest).max(0);
    (passed_ms < cooldown_ms).then(|| {
        let text = format!("{passed_ms} ms since the last {}, wait {cooldown_ms} ms", last.kind);
        deny("limit.cooldown", rule, last, &text)
    })
}

fn rate(rule: &LimitRule, before: &[Touch<'_>], now: Timestamp) -> Option<Reason> {
    let rate = rule.rate?;
    let counted = |touch: &&Touch<'_>| touch.selected_by(rule) && touch.within(rate.per_ms, now);
    let with_this = before.iter().filter(counted).count() + 1;
    (with_this > usize::try_from(rate.count).unwrap_or(usize::MAX)).then(|| {
        let text = format!(
            "'{}': action {with_this} within {} ms, the most is {}",
            rule.name, rate.per_ms, rate.count
        );
        Reason { rule: "limit.rate".to_owned(), decision: Decision::Deny, text }
    })
}

fn services(
    rule: &LimitRule,
    last: &Touch<'_>,
    before: &[Touch<'_>],
    now: Timestamp,
) -> Option<Reason> {
    let radius = rule.blast_radius?;
    let most = radius.services_per_window?;
    let counted =
        |touch: &&Touch<'_>| touch.selected_by(rule) && touch.within(radius.window_ms, now);
    let earlier = before.iter().filter(counted).map(|touch| touch.service);
    let touched: BTreeSet<&ServiceName> = earlier.chain([last.service]).collect();
    (touched.len() > usize::try_from(most).unwrap_or(usize::MAX)).then(|| {
        let text = format!(
            "{} services touched within {} ms, the most is {most}",
            touched.len(),
            radius.window_ms
        );
        deny("limit.blast_services", rule, last, &text)
    })
}

fn capacity(
    rule: &LimitRule,
    last: &Touch<'_>,
    before: &[Touch<'_>],
    now: Timestamp,
) -> Option<Reason> {
    let radius = rule.blast_radius?;
    let most = radius.share_of_capacity?;
    if last.share == 0.0 {
        return None;
    }
    let counted = |touch: &&Touch<'_>| {
        touch.service == last.service
            && touch.selected_by(rule)
            && touch.within(radius.window_ms, now)
    };
    let share: f64 = before.iter().filter(counted).map(|touch| touch.share).sum();
    let share = share + last.share;
    exceeds(share, most).then(|| {
        let text = format!(
            "{share:.3} of its replicas taken away or restarted within {} ms, the most is {most}",
            radius.window_ms
        );
        deny("limit.blast_share", rule, last, &text)
    })
}

/// The share of replicas an action takes away: what the caller says, and never less than what
/// the change of replicas itself says.
fn share(given: Option<f64>, quantity: Option<&Quantity>) -> f64 {
    let removed = quantity
        .filter(|quantity| quantity.name == "replicas" && quantity.from > 0.0)
        .map_or(0.0, |quantity| ((quantity.from - quantity.to) / quantity.from).clamp(0.0, 1.0));
    given.unwrap_or(0.0).max(removed)
}

fn deny(id: &str, rule: &LimitRule, touch: &Touch<'_>, text: &str) -> Reason {
    Reason {
        rule: id.to_owned(),
        decision: Decision::Deny,
        text: format!("'{}' on {}: {text}", rule.name, touch.service),
    }
}
