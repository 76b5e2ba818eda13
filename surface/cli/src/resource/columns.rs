//! What a row shows.

use oag_types::Timestamp;
use serde_json::Value;

use super::Resource;
use crate::value::{Read, age, cut, plain, span, words};

/// A column of a table.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) wide: bool,
    pub(crate) cell: fn(&Value, Timestamp) -> String,
}

const TEXT_CHARS: usize = 60;

const fn column(title: &'static str, cell: fn(&Value, Timestamp) -> String) -> Column {
    Column { title, wide: false, cell }
}

const fn wide(title: &'static str, cell: fn(&Value, Timestamp) -> String) -> Column {
    Column { title, wide: true, cell }
}

/// The columns of a list.
pub(super) const fn of(resource: Resource) -> &'static [Column] {
    match resource {
        Resource::Services => SERVICES,
        Resource::Plans => PLANS,
        Resource::Findings => FINDINGS,
        Resource::Stories => STORIES,
        Resource::Series => SERIES,
        Resource::Breakers => BREAKERS,
        Resource::Policies => POLICIES,
        Resource::Limits => LIMITS,
        Resource::Freezes => FREEZES,
        Resource::Kinds => KINDS,
        Resource::Principals => PRINCIPALS,
        Resource::Keys => KEYS,
        Resource::Notifications => NOTIFICATIONS,
        Resource::Autonomy => AUTONOMY,
        Resource::Ledger => LEDGER,
        Resource::Nodes => NODES,
        Resource::Groups => GROUPS,
        Resource::Models => MODELS,
        Resource::Queues => QUEUES,
    }
}

const SERVICES: &[Column] = &[
    column("name", |item, _| item.text("/name")),
    column("group", |item, _| item.text("/group")),
    column("executor", |item, _| item.text("/executor")),
    column("scaling", |item, _| match item.str("/scaling/mode") {
        "off" => "off".to_owned(),
        mode => format!(
            "{mode} {}-{}",
            item.text("/scaling/min_replicas"),
            item.text("/scaling/max_replicas")
        ),
    }),
    column("calls", |item, _| names(item.list("/depends_on"), "/service")),
    wide("features", |item, _| names(item.list("/features"), "/name")),
    wide("revision", |item, _| item.text("/revision")),
];

const NODES: &[Column] = &[
    column("name", |item, _| item.text("/name")),
    column("role", |item, _| item.text("/role")),
    column("state", |item, _| item.text("/state")),
    column("models", |item, _| names(item.list("/models"), "/name")),
    column("busy", |item, _| {
        let sum = |of: &str| -> u64 {
            item.list("/models").iter().filter_map(|model| model.pointer(of)?.as_u64()).sum()
        };
        format!("{}/{}", sum("/busy"), sum("/slots"))
    }),
    column("heard", |item, _| span(item.text("/heard_ms").parse().unwrap_or(0))),
    column("joined", |item, now| age(item.time("/joined_at"), now)),
    wide("version", |item, _| item.text("/version")),
    wide("groups", |item, _| item.list("/groups").iter().map(plain).collect::<Vec<_>>().join(", ")),
    wide("endpoint", |item, _| item.text("/endpoint")),
];

const GROUPS: &[Column] = &[
    column("name", |item, _| item.text("/name")),
    column("nodes", |item, _| item.text("/nodes")),
    column("connected", |item, _| item.text("/connected")),
    column("ready", |item, _| item.text("/ready")),
    column("busy", |item, _| format!("{}/{}", item.text("/busy"), item.text("/slots"))),
    column("models", |item, _| {
        cut(&item.list("/models").iter().map(plain).collect::<Vec<_>>().join(", "), TEXT_CHARS)
    }),
];

const MODELS: &[Column] = &[
    column("name", |item, _| item.text("/name")),
    column("nodes", |item, _| item.list("/nodes").len().to_string()),
    column("busy", |item, _| format!("{}/{}", item.text("/busy"), item.text("/slots"))),
    column("waiting", |item, _| item.text("/waiting")),
    column("window", |item, _| item.text("/window_tokens")),
];

const QUEUES: &[Column] = &[
    column("model", |item, _| item.text("/model")),
    column("policy", |item, _| item.text("/policy")),
    column("waiting", |item, _| item.text("/waiting")),
    column("tokens", |item, _| item.text("/tokens")),
    column("wait", |item, _| span(item.text("/expected_wait_ms").parse().unwrap_or(0))),
    column("busy", |item, _| format!("{}/{}", item.text("/busy"), item.text("/slots"))),
    column("next", |item, _| {
        let first = item.list("/next").first();
        first.map(|line| cut(line.str("/reason"), TEXT_CHARS)).unwrap_or_default()
    }),
];

const PLANS: &[Column] = &[
    column("name", |item, _| item.text("/id")),
    column("phase", |item, _| words(item.str("/phase"))),
    column("risk", |item, _| risk(item).to_owned()),
    column("age", |item, now| age(item.time("/plan/created_at"), now)),
    column("summary", |item, _| cut(item.str("/plan/summary"), TEXT_CHARS)),
    wide("services", |item, _| services(item).join(", ")),
    wide("rung", |item, _| words(item.str("/rung"))),
    wide("approvals", |item, _| {
        let given = item.list("/approvals").len();
        format!("{given}/{}", item.text("/verdict/approvals_needed"))
    }),
    wide("proposer", |item, _| item.text("/plan/proposer")),
    wide("reason", |item, _| item.text("/plan/reason")),
];

const FINDINGS: &[Column] = &[
    column("name", |item, _| item.text("/id")),
    column("severity", |item, _| item.text("/severity")),
    column("kind", |item, _| words(item.str("/kind"))),
    column("service", |item, _| item.text("/service")),
    column("sure", |item, _| percent(item.at("/confidence"))),
    column("age", |item, now| age(item.time("/at"), now)),
    column("summary", |item, _| cut(item.str("/summary"), TEXT_CHARS)),
    wide("story", |item, _| item.text("/story")),
];

const STORIES: &[Column] = &[
    column("name", |item, _| item.text("/id")),
    column("state", |item, _| story_state(item).to_owned()),
    column("service", |item, _| item.text("/service")),
    column("findings", |item, _| item.list("/findings").len().to_string()),
    column("plans", |item, _| item.list("/plans").len().to_string()),
    column("age", |item, now| age(item.time("/opened_at"), now)),
    column("title", |item, _| cut(item.str("/title"), TEXT_CHARS)),
    wide("closed", |item, now| age(item.time("/closed_at"), now)),
];

const SERIES: &[Column] = &[
    column("name", |item, _| item.text("/name")),
    column("service", |item, _| item.text("/labels/service")),
    column("labels", |item, _| {
        let labels = item.at("/labels").as_object();
        let others = labels.into_iter().flatten().filter(|(name, _)| *name != "service");
        let pairs: Vec<_> = others.map(|(n, v)| format!("{n}={}", plain(v))).collect();
        pairs.join(",")
    }),
];

const BREAKERS: &[Column] = &[
    column("service", |item, _| item.text("/service")),
    column("state", |item, _| words(item.str("/state"))),
    column("facts", |item, _| item.text("/facts")),
];

const POLICIES: &[Column] = &[
    column("role", |item, _| item.text("/role")),
    column("permissions", |item, _| item.text("/permissions")),
    column("resources", |item, _| item.text("/resources")),
];

const LIMITS: &[Column] = &[
    column("name", |item, _| item.text("/name")),
    column("kinds", |item, _| or_all(item.text("/selector/kinds"))),
    column("services", |item, _| or_all(item.text("/selector/services"))),
    column("quantity", |item, _| item.text("/quantity")),
    column("min", |item, _| item.text("/min")),
    column("max", |item, _| item.text("/max")),
    column("step", |item, _| item.text("/max_step")),
    column("cooldown", |item, _| item.at("/cooldown_ms").as_i64().map(span).unwrap_or_default()),
    wide("groups", |item, _| or_all(item.text("/selector/groups"))),
    wide("rate", |item, _| item.text("/rate")),
    wide("blast radius", |item, _| item.text("/blast_radius")),
];

const FREEZES: &[Column] = &[
    column("name", |item, _| item.text("/name")),
    column("state", |item, now| freeze_state(item, now).to_owned()),
    column("from", |item, _| item.text("/from")),
    column("to", |item, _| item.text("/to")),
    column("kinds", |item, _| or_all(item.text("/selector/kinds"))),
    column("reason", |item, _| cut(item.str("/reason"), TEXT_CHARS)),
    wide("groups", |item, _| or_all(item.text("/selector/groups"))),
    wide("repeat", |item, _| item.text("/repeat")),
];

const KINDS: &[Column] = &[
    column("kind", |item, _| item.text("/kind")),
    column("about", |item, _| item.text("/about")),
    column("parameters", |item, _| {
        let known = item.at("/params_schema/properties").as_object();
        known.map(|p| p.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default()
    }),
    column("permission", |item, _| item.text("/permission")),
    wide("after a crash", |item, _| repeat(item.str("/repeat")).to_owned()),
];

const PRINCIPALS: &[Column] = &[
    column("name", |item, _| item.text("/id")),
    column("kind", |item, _| words(item.str("/kind"))),
    column("called", |item, _| item.text("/name")),
    column("roles", |item, _| roles(item)),
    column("state", |item, _| {
        if item.at("/disabled") == &Value::Bool(true) { "disabled" } else { "enabled" }.to_owned()
    }),
];

const KEYS: &[Column] = &[
    column("name", |item, _| item.text("/id")),
    column("principal", |item, _| item.text("/principal")),
    column("for", |item, _| item.text("/name")),
    column("state", |item, now| key_state(item, now).to_owned()),
    column("age", |item, now| age(item.time("/created_at"), now)),
    column("used", |item, now| age(item.time("/last_used_at"), now)),
    column("expires", |item, now| age(item.time("/expires_at"), now)),
    wide("scopes", |item, _| or_all(item.text("/scopes"))),
];

const NOTIFICATIONS: &[Column] = &[
    column("name", |item, _| item.text("/id")),
    column("severity", |item, _| item.text("/severity")),
    column("seen", |item, _| if item.at("/seen").is_null() { "no" } else { "yes" }.to_owned()),
    column("age", |item, now| age(item.time("/at"), now)),
    column("message", |item, _| cut(item.str("/message"), 80)),
    wide("plan", |item, _| item.text("/plan")),
];

const AUTONOMY: &[Column] = &[
    column("kind", |item, _| item.text("/kind")),
    column("rung", |item, _| words(item.str("/rung"))),
    column("ceiling", |item, _| words(item.str("/ceiling"))),
    column("verified", |item, _| item.text("/record/verified")),
    column("failed", |item, _| item.text("/record/failed")),
    column("unknown", |item, _| item.text("/record/unknown")),
    column("changed", |item, now| age(item.time("/changed_at"), now)),
    wide("proposals", |item, _| {
        format!("{}/{}", item.text("/record/proposals_right"), item.text("/record/proposals"))
    }),
    wide("dry runs", |item, _| {
        format!("{}/{}", item.text("/record/dry_runs_clean"), item.text("/record/dry_runs"))
    }),
    wide("undone", |item, _| item.text("/record/undone")),
];

const LEDGER: &[Column] = &[
    column("index", |item, _| item.text("/index")),
    column("age", |item, now| age(item.time("/at"), now)),
    column("kind", |item, _| item.text("/kind")),
    column("subject", |item, _| item.text("/subject")),
    column("payload", |item, _| match item.at("/erased") {
        Value::Bool(true) => "(erased)".to_owned(),
        _ => cut(&item.text("/payload"), TEXT_CHARS),
    }),
    wide("leaf hash", |item, _| item.text("/leaf_hash")),
];

/// The services a plan acts on, each once.
pub(crate) fn services(plan: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        plan.list("/plan/actions").iter().map(|action| action.text("/target/service")).collect();
    names.sort();
    names.dedup();
    names
}

/// The highest risk of a plan's actions.
pub(crate) fn risk(plan: &Value) -> &'static str {
    let actions = plan.list("/plan/actions");
    let has = |risk: &str| actions.iter().any(|action| action.str("/risk") == risk);
    if has("high") {
        "high"
    } else if has("medium") {
        "medium"
    } else {
        "low"
    }
}

/// What may be done after a crash, in words.
pub(crate) fn repeat(name: &str) -> &'static str {
    match name {
        "idempotent" => "done again",
        "observable" => "looked at, then done if it was not",
        _ => "never repeated by itself",
    }
}

/// A share as percent.
pub(crate) fn percent(value: &Value) -> String {
    value.as_f64().map(|share| format!("{:.0}%", share * 100.0)).unwrap_or_default()
}

/// Roles with where they hold.
pub(crate) fn roles(principal: &Value) -> String {
    let role = |binding: &Value| {
        let role = binding.text("/role");
        let groups = binding.list("/scope/groups");
        let groups: Vec<String> = groups.iter().map(|group| format!("@{}", plain(group))).collect();
        format!("{role}{}", groups.join(","))
    };
    principal.list("/roles").iter().map(role).collect::<Vec<_>>().join(" ")
}

/// Whether a story goes on.
pub(crate) fn story_state(story: &Value) -> &'static str {
    if story.at("/closed_at").is_null() { "open" } else { "closed" }
}

fn key_state(key: &Value, now: Timestamp) -> &'static str {
    if !key.at("/revoked_at").is_null() {
        "revoked"
    } else if key.time("/expires_at").is_some_and(|at| at <= now) {
        "expired"
    } else {
        "valid"
    }
}

fn freeze_state(freeze: &Value, now: Timestamp) -> &'static str {
    let begun = freeze.time("/from").is_some_and(|from| from <= now);
    let over = freeze.time("/to").is_some_and(|to| to <= now);
    match (begun, over) {
        (_, true) => "over",
        (true, false) => "in force",
        (false, false) => "to come",
    }
}

fn names(items: &[Value], pointer: &str) -> String {
    items.iter().map(|item| item.text(pointer)).collect::<Vec<_>>().join(",")
}

fn or_all(text: String) -> String {
    if text.is_empty() { "all".to_owned() } else { text }
}
