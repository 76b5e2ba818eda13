//! A plan: what changes, what can go wrong, what the guard says, and what comes next.

use std::fmt::Write;

use oag_types::Timestamp;
use serde_json::Value;

use crate::resource::{repeat, risk, services};
use crate::value::{Read, age, count, plain, span, words};

/// Present states by service, as far as they are known.
pub(crate) type States = std::collections::BTreeMap<String, Value>;

/// Everything about a plan that has not begun.
pub(crate) fn plan(plan: &Value, states: &States, now: Timestamp) -> String {
    let mut text = summary(plan, now);
    line(&mut text, "");
    line(&mut text, "changes");
    text.push_str(&changes(plan, states));
    line(&mut text, "");
    line(&mut text, &blast_radius(plan));
    line(&mut text, "");
    text.push_str(&verdict(plan));
    text
}

/// The first lines of a plan.
pub(crate) fn summary(plan: &Value, now: Timestamp) -> String {
    let mut text = format!("plan {}  {}\n", plan.str("/id"), words(plan.str("/phase")));
    line(&mut text, &format!("  {}", plan.str("/plan/summary")));
    line(&mut text, &format!("  why: {}", plan.str("/plan/reason")));
    let made = age(plan.time("/plan/created_at"), now);
    let origin = match plan.str("/plan/origin") {
        "loop" => "by the loop",
        "model" => "by a language model",
        _ => "on request",
    };
    let proposer = plan.str("/plan/proposer");
    let expires = age(plan.time("/plan/expires_at"), now);
    let expiry = match plan.str("/phase") {
        "proposed" | "awaiting_approval" | "queued" if expires.starts_with("in ") => {
            format!(", expires {expires}")
        }
        _ => String::new(),
    };
    line(&mut text, &format!("  proposed {made} ago {origin} by {proposer}{expiry}"));
    let rung = words(plan.str("/rung"));
    line(&mut text, &format!("  risk {}, rung of autonomy: {rung}", risk(plan)));
    line(&mut text, &format!("  digest {}", plan.str("/digest")));
    text
}

/// The actions with their effects, risk and way back.
pub(crate) fn changes(plan: &Value, states: &States) -> String {
    let mut text = String::new();
    for (at, action) in plan.list("/plan/actions").iter().enumerate() {
        line(&mut text, &format!("  {}. {}", at + 1, action.str("/summary")));
        let service = action.str("/target/service");
        for change in changed_fields(action, states.get(service)) {
            line(&mut text, &format!("     {change}"));
        }
        for expectation in action.list("/expect") {
            line(&mut text, &format!("     promises {}", promise(expectation)));
        }
        let undo = undo(action.at("/undo"));
        line(&mut text, &format!("     risk {}; undo: {undo}", action.str("/risk")));
        line(&mut text, &format!("     after a crash: {}", repeat(action.str("/repeat"))));
    }
    text
}

/// Parameters against the present state, or against what the way back says was there.
fn changed_fields(action: &Value, state: Option<&Value>) -> Vec<String> {
    let Some(params) = action.at("/params").as_object() else { return Vec::new() };
    let before = |name: &str| {
        let seen = state.map(|state| state.at("/fields")).and_then(|fields| fields.get(name));
        seen.or_else(|| action.at("/undo/by/params").get(name)).filter(|value| !value.is_null())
    };
    let change = |(name, wanted): (&String, &Value)| match before(name) {
        Some(present) if present == wanted => format!("{name}: {} (as it is)", plain(present)),
        Some(present) => format!("{name}: {} -> {}", plain(present), plain(wanted)),
        None => format!("{name}: {}", plain(wanted)),
    };
    params.iter().map(change).collect()
}

/// A promised effect in words.
pub(crate) fn promise(expectation: &Value) -> String {
    let what = match expectation.at("/observe").as_object().and_then(|o| o.iter().next()) {
        Some((kind, name)) => format!("{} {}", kind, plain(name)),
        None => "something".to_owned(),
    };
    let is = match expectation.str("/is") {
        "le" => "at most",
        "ge" => "at least",
        _ => "=",
    };
    let within = expectation.at("/within_ms").as_i64().map(span).unwrap_or_default();
    let hold = match expectation.at("/hold_ms").as_i64() {
        Some(millis) if millis > 0 => format!(", held for {}", span(millis)),
        _ => String::new(),
    };
    format!("{what} {is} {} within {within}{hold}", expectation.text("/value"))
}

fn undo(undo: &Value) -> String {
    if let Some(action) = undo.get("by") {
        return format!("{} {}", action.str("/kind"), action.text("/params"));
    }
    match undo.get("impossible") {
        Some(why) => format!("not possible, {}", plain(why)),
        None => "not needed".to_owned(),
    }
}

fn blast_radius(plan: &Value) -> String {
    let names = services(plan);
    let actions = count(plan.list("/plan/actions").len(), "action", "actions");
    let touched = count(names.len(), "service", "services");
    format!("blast radius: {actions} on {touched}: {}", names.join(", "))
}

/// What the guard says, with every reason.
pub(crate) fn verdict(plan: &Value) -> String {
    let decision = decision(plan.str("/verdict/decision"));
    let needed = plan.at("/verdict/approvals_needed").as_u64().unwrap_or(0);
    let given = plan.list("/approvals").len();
    let mut text = match needed {
        0 => format!("guard: {decision}\n"),
        _ => format!("guard: {decision} ({given} of {needed} approvals given)\n"),
    };
    for reason in plan.list("/verdict/reasons") {
        let word = self::decision(reason.str("/decision"));
        let rule = reason.str("/rule");
        line(&mut text, &format!("  {word}: {} [{rule}]", reason.str("/text")));
    }
    for approval in plan.list("/approvals") {
        let (who, at) = (approval.str("/principal"), approval.str("/at"));
        line(&mut text, &format!("  approved by {who} at {at}"));
    }
    text
}

fn decision(name: &str) -> &'static str {
    match name {
        "allow" => "allow",
        "needs_approval" => "needs approval",
        _ => "deny",
    }
}

fn line(text: &mut String, line: &str) {
    // Writing into a text cannot fail.
    let _ = writeln!(text, "{line}");
}
