//! Typed actions: what can be done, to what, with which promised effect and which way back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ActionId, GroupName, ServiceName};

/// The name of an action kind, such as `scale`. The table of kinds is in `domain/pilot`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KindName(pub String);

impl KindName {
    /// From a name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an action is done to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// Its group at the time of planning; the guard checks it against the catalogue.
    pub group: GroupName,
    /// The executor that carries it out.
    pub executor: String,
}

/// An action as asked for: kind, target and parameters. The kind checks the parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// Which kind.
    pub kind: KindName,
    /// Done to what.
    pub target: Target,
    /// Parameters, in the form the kind defines.
    #[serde(default)]
    pub params: serde_json::Value,
}

/// How much can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nothing that users see.
    Low,
    /// Users may see it for a moment.
    Medium,
    /// Users see it, or it cannot be taken back.
    High,
}

/// What may be done after a crash in the middle of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeatability {
    /// Doing it twice has the effect of doing it once: it is done again.
    Idempotent,
    /// Whether it was done can be seen: it is looked at, then done if it was not.
    Observable,
    /// Neither: its outcome is unknown, it is never repeated by itself, and a person is asked.
    Neither,
}

/// The way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// This action takes it back.
    By(Box<ActionSpec>),
    /// Nothing needs to be taken back.
    NotNeeded,
    /// There is no way back, and why.
    Impossible(String),
}

/// What is looked at to see an effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observable {
    /// A field of the state the executor reports, such as `ready_replicas`.
    State(String),
    /// The latest value of a metric of the target service, such as `latency_p99_ms`.
    Metric(String),
}

/// How an observed value is compared with the promised one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Equal; numbers within one part in a million.
    Eq,
    /// At most.
    Le,
    /// At least.
    Ge,
}

/// A promised effect, checkable by a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// What to look at.
    pub observe: Observable,
    /// How to compare.
    pub is: Comparison,
    /// The promised value: a number, text or boolean.
    pub value: serde_json::Value,
    /// How long it may take to come true, in milliseconds.
    pub within_ms: i64,
    /// How long it must then stay true, in milliseconds; 0: once is enough.
    #[serde(default)]
    pub hold_ms: i64,
}

/// One step of a plan, complete: what, why it is safe, what it promises, how to take it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Its id.
    pub id: ActionId,
    /// What is done to what.
    #[serde(flatten)]
    pub spec: ActionSpec,
    /// One line for people.
    pub summary: String,
    /// What it promises; all must come true.
    pub expect: Vec<Expectation>,
    /// How much can go wrong.
    pub risk: Risk,
    /// The way back.
    pub undo: Undo,
    /// What may be done after a crash.
    pub repeat: Repeatability,
    /// Executors do the same key at most once where they can.
    pub idempotency_key: String,
}
