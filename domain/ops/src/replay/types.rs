//! What a replay is asked and what it answers.

use oag_types::{ScalingMode, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::DecisionPolicy;

/// A policy under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedPolicy {
    /// The name in the report.
    pub name: String,
    /// The numbers.
    #[serde(default)]
    pub policy: DecisionPolicy,
    /// The rule for every service; each service's own when absent.
    #[serde(default)]
    pub mode: Option<ScalingMode>,
    /// The threshold for every service; each service's own when absent.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// The quantile of the load ahead that must fit, 0.5 to 0.9999; that of a hub when absent.
    #[serde(default)]
    pub plan_quantile: Option<f64>,
}

impl NamedPolicy {
    /// The usual numbers under a rule for every service.
    #[must_use]
    pub fn usual(name: impl Into<String>, mode: ScalingMode) -> Self {
        Self {
            name: name.into(),
            policy: DecisionPolicy::default(),
            mode: Some(mode),
            threshold: None,
            plan_quantile: None,
        }
    }
}

/// How a replay simulates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayConfig {
    /// Steps from a decision until new replicas are ready.
    pub start_delay_steps: u32,
    /// Replicas at the start; what the first load needs when absent.
    pub initial_replicas: Option<u32>,
    /// Capacity of one replica where neither the service nor the records say.
    pub capacity_per_replica: Option<f64>,
    /// Leading share of the records that only teaches the forecaster, 0 to 1.
    pub warmup_share: f64,
    /// Most records.
    pub records_max: usize,
    /// Most points of a timeline; longer ones keep the changes and are thinned.
    pub timeline_max: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            start_delay_steps: 1,
            initial_replicas: None,
            capacity_per_replica: None,
            warmup_share: 0.0,
            records_max: 5_000_000,
            timeline_max: 5_000,
        }
    }
}

/// One step of one service under one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayPoint {
    /// When.
    pub at: Timestamp,
    /// Which service.
    pub service: ServiceName,
    /// Recorded load, requests per second; none in a gap.
    pub load: Option<f64>,
    /// Replicas wanted after the decision.
    pub wanted: u32,
    /// Replicas ready during the step.
    pub ready: u32,
    /// Load as a share of what the ready replicas carry; above 1 is an overload.
    pub utilisation: Option<f64>,
    /// Why the wanted replicas changed; empty when they did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How one policy did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyOutcome {
    /// Its name.
    pub name: String,
    /// Steps with load, summed over services.
    pub steps: u64,
    /// Share of those with more load than the ready replicas carry, 0 to 1.
    pub overloaded_share: f64,
    /// Share of those with more load than the threshold of what the ready replicas carry.
    pub over_threshold_share: f64,
    /// Requests beyond what the ready replicas carry.
    pub requests_over: f64,
    /// Ready or starting replicas, summed over steps: what it costs.
    pub replica_steps: u64,
    /// Replica-steps that the recorded load needs at the threshold, known afterwards.
    pub replica_steps_needed: u64,
    /// Increases.
    pub scale_ups: u64,
    /// Decreases.
    pub scale_downs: u64,
    /// Findings, counted when they begin.
    pub findings: u64,
    /// What happened, thinned to the configured length.
    pub timeline: Vec<ReplayPoint>,
}

/// Where two policies first differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// When.
    pub at: Timestamp,
    /// On which service.
    pub service: ServiceName,
    /// For each policy, in order: name, wanted replicas, why.
    pub sides: Vec<(String, u32, String)>,
}

/// Policies side by side. Nothing was executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The first step.
    pub from: Timestamp,
    /// The end of the last step.
    pub to: Timestamp,
    /// Records used.
    pub records: u64,
    /// One entry per policy, in order.
    pub policies: Vec<PolicyOutcome>,
    /// The first decision that is not the same under all policies.
    pub first_difference: Option<Difference>,
    /// What was assumed or left out.
    pub notes: Vec<String>,
}
