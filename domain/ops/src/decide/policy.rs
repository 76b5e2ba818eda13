//! The numbers decisions go by, and what a decision is.

use oag_pilot::ActionWish;
use oag_types::{Evidence, FindingKind, ServiceName, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Basis, Direction, PastOutlook};

/// The numbers decisions go by, beside those of each service's own `scaling`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionPolicy {
    /// Decisions in a row whose forecast must need more replicas before replicas are added.
    pub consecutive_forecasts: usize,
    /// Whether load that is over the threshold now adds replicas at once.
    pub react_to_present_overload: bool,
    /// Steps after an increase in which nothing is removed.
    pub cooldown_after_up_steps: u32,
    /// Relative distance from its target at which the reactive rule does nothing.
    pub reactive_tolerance: f64,
    /// Steps over which the reactive rule takes its highest recommendation before it removes.
    pub reactive_stabilisation_steps: usize,
    /// Share of failing requests that is worth a finding, two steps in a row.
    pub error_rate_warning: f64,
    /// Share of failing requests that is critical at once.
    pub error_rate_critical: f64,
    /// Requests in a step below which an error rate says nothing.
    pub error_volume_min: f64,
    /// Steps after a change of version in which errors are answered by a rollback.
    pub rollback_within_steps: u32,
    /// Steps in a row with room to spare before shed features are restored.
    pub restore_after_steps: usize,
    /// Share of the threshold below which a step counts as having room to spare.
    pub restore_below: f64,
    /// Latency this many times the usual, three steps in a row, is worth a finding.
    pub latency_factor: f64,
    /// How long proposals may wait, in steps of the service.
    pub expires_steps: u32,
}

impl Default for DecisionPolicy {
    fn default() -> Self {
        Self {
            consecutive_forecasts: 2,
            react_to_present_overload: true,
            cooldown_after_up_steps: 10,
            reactive_tolerance: 0.1,
            reactive_stabilisation_steps: 10,
            error_rate_warning: 0.05,
            error_rate_critical: 0.5,
            error_volume_min: 20.0,
            rollback_within_steps: 20,
            restore_after_steps: 10,
            restore_below: 0.9,
            latency_factor: 3.0,
            expires_steps: 20,
        }
    }
}

/// A finding before it has an id and a story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingDraft {
    /// What was found.
    pub kind: FindingKind,
    /// The service it is about.
    pub service: ServiceName,
    /// How bad it is.
    pub severity: Severity,
    /// Probability that it is right, 0 to 1.
    pub confidence: f64,
    /// One line for people.
    pub summary: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// What a proposal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// More replicas.
    ScaleUp,
    /// Fewer replicas.
    ScaleDown,
    /// The version before.
    Rollback,
    /// Non-core features off.
    Shed,
    /// Features on again.
    Restore,
}

/// A proposal before it has a story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposalDraft {
    /// What it is for.
    pub aim: Aim,
    /// The service it is about first; others are scaled along.
    pub service: ServiceName,
    /// Why, in plain words with the arithmetic.
    pub reason: String,
    /// The kinds of findings of `service` and the others that it answers.
    pub answers: Vec<(ServiceName, FindingKind)>,
    /// What to do, in order.
    pub actions: Vec<ActionWish>,
    /// How long it may wait, in milliseconds.
    pub expires_in_ms: i64,
}

/// What was seen ahead for one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// Which service.
    pub service: ServiceName,
    /// To be kept as history.
    pub past: PastOutlook,
    /// Present value of what was forecast.
    pub present: Option<f64>,
    /// What the wanted replicas carry in that unit; none when not known.
    pub capacity: Option<f64>,
    /// Replicas wanted now.
    pub wanted: Option<u32>,
    /// Replicas the decision wants instead, when it wants others.
    pub target: Option<(u32, Direction)>,
    /// Why, or why not, with the arithmetic.
    pub why: String,
}

impl Outlook {
    /// The basis of the forecast.
    #[must_use]
    pub const fn basis(&self) -> Option<Basis> {
        self.past.basis
    }
}

/// What was decided at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// What was found.
    pub findings: Vec<FindingDraft>,
    /// What should be done.
    pub proposals: Vec<ProposalDraft>,
    /// One entry per service that was due, in order.
    pub outlooks: Vec<Outlook>,
    /// What was not done and why, in plain words.
    pub notes: Vec<String>,
}
