//! The shapes of analysis and replay, as the domain writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::rules::ScalingMode;
use super::schema::{Evidence, Expectation, FindingKind, Risk, Severity};

macro_rules! documents {
    ($($(#[$meta:meta])* $kind:ident $name:ident { $($body:tt)* })*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, rename_all = "snake_case")]
        $(#[$meta])*
        pub $kind $name { $($body)* }
    )*};
}

documents! {
    /// Metrics pushed once, with what is known about where they come from.
    #[schema(example = json!({"metrics": {"cpu_usage": [61, 70, 84, 93], "request_rate": [90, 104, 127, 151]},
        "context": "order-service during the sale", "replicas": 3}))]
    struct AnalysisQuestion {
        /// Values per metric, oldest first; null where one is missing.
        pub metrics: BTreeMap<String, Vec<Option<f64>>>,
        /// What is going on, in Chinese or English.
        #[serde(default)]
        pub context: Option<String>,
        /// The service; otherwise it is looked for in the context.
        #[serde(default)]
        pub service: Option<String>,
        /// Its present replicas.
        #[serde(default)]
        pub replicas: Option<u32>,
        /// Fewest replicas that may be advised.
        #[serde(default)]
        pub min_replicas: Option<u32>,
        /// Most replicas that may be advised.
        #[serde(default)]
        pub max_replicas: Option<u32>,
        /// Distance between two values, in milliseconds; 30,000 when absent.
        #[serde(default)]
        pub step_ms: Option<i64>,
    }

    /// One finding of an analysis.
    struct AnalysisFinding {
        /// What was found.
        pub kind: FindingKind,
        /// How bad it is.
        pub severity: Severity,
        /// Probability that it is right, 0 to 1.
        pub confidence: f64,
        /// One line for people.
        pub summary: String,
        /// What it rests on.
        pub evidence: Vec<Evidence>,
    }

    /// The way back of an advised action.
    enum PlannedUndo {
        /// The same kind with these parameters.
        By(Value),
        /// Bring back what was there before.
        AsBefore,
    }

    /// One action of an advised plan.
    struct PlannedAction {
        /// Which kind.
        pub kind: String,
        /// On which service.
        pub service: String,
        /// Parameters, in the form of the kind.
        pub params: Value,
        /// Effects that would be promised.
        pub expect: Vec<Expectation>,
        /// How much can go wrong.
        pub risk: Risk,
        /// The way back.
        pub undo: PlannedUndo,
    }

    /// An advised plan. Nothing is carried out: propose its actions.
    struct PlanDraft {
        /// One line for people.
        pub summary: String,
        /// What to do, in order.
        pub actions: Vec<PlannedAction>,
    }

    /// What an analysis answers.
    struct AnalysisDocument {
        /// What to do, as a sentence in the language of the context.
        pub action: String,
        /// `scale_up`, `investigate`, `ask` or `none`.
        pub action_kind: String,
        /// `act`, `no_action` or `ask`.
        pub decision: String,
        /// The service, when it is known.
        pub service: Option<String>,
        /// Replicas advised.
        pub replicas: Option<u32>,
        /// Replicas needed for each present one.
        pub ratio: Option<f64>,
        /// What was found.
        pub findings: Vec<AnalysisFinding>,
        /// The plan, when something should be done and the service is known.
        pub plan: Option<PlanDraft>,
        /// How sure, 0 to 1.
        pub confidence: f64,
        /// What was taken for granted.
        pub assumptions: Vec<String>,
        /// The arithmetic and the facts.
        pub evidence: Vec<String>,
        /// The language of the texts, `en` or `zh`.
        pub language: String,
    }

    /// The numbers decisions go by; what is left out has its default.
    struct DecisionNumbers {
        /// Decisions in a row whose forecast must need more replicas before some are added.
        #[serde(default)]
        pub consecutive_forecasts: Option<u32>,
        /// Whether load that is over the threshold now adds replicas at once.
        #[serde(default)]
        pub react_to_present_overload: Option<bool>,
        /// Steps after an increase in which nothing is removed.
        #[serde(default)]
        pub cooldown_after_up_steps: Option<u32>,
        /// Relative distance from its target at which the reactive rule does nothing.
        #[serde(default)]
        pub reactive_tolerance: Option<f64>,
        /// Steps over which the reactive rule takes its highest recommendation.
        #[serde(default)]
        pub reactive_stabilisation_steps: Option<u32>,
        /// Share of failing requests worth a finding.
        #[serde(default)]
        pub error_rate_warning: Option<f64>,
        /// Share of failing requests that is critical at once.
        #[serde(default)]
        pub error_rate_critical: Option<f64>,
        /// Requests in a step below which an error rate says nothing.
        #[serde(default)]
        pub error_volume_min: Option<f64>,
        /// Steps after a change of version in which errors are answered by a rollback.
        #[serde(default)]
        pub rollback_within_steps: Option<u32>,
        /// Steps in a row with room to spare before shed features are restored.
        #[serde(default)]
        pub restore_after_steps: Option<u32>,
        /// Share of the threshold below which a step has room to spare.
        #[serde(default)]
        pub restore_below: Option<f64>,
        /// Latency this many times the usual is worth a finding.
        #[serde(default)]
        pub latency_factor: Option<f64>,
        /// How long proposals may wait, in steps.
        #[serde(default)]
        pub expires_steps: Option<u32>,
    }

    /// A policy under a name.
    struct ReplayPolicy {
        /// The name in the report.
        pub name: String,
        /// The numbers.
        #[serde(default)]
        pub policy: Option<DecisionNumbers>,
        /// The rule for every service; each service's own when absent.
        #[serde(default)]
        pub mode: Option<ScalingMode>,
        /// The threshold for every service; each service's own when absent.
        #[serde(default)]
        pub threshold: Option<f64>,
        /// The quantile of the load ahead that must fit, 0.5 to 0.9999; 0.98 when absent.
        #[serde(default)]
        pub plan_quantile: Option<f64>,
    }

    /// How a replay simulates; what is left out has its default.
    struct ReplayNumbers {
        /// Steps from a decision until new replicas are ready.
        #[serde(default)]
        pub start_delay_steps: Option<u32>,
        /// Replicas at the start.
        #[serde(default)]
        pub initial_replicas: Option<u32>,
        /// Capacity of one replica where nothing says.
        #[serde(default)]
        pub capacity_per_replica: Option<f64>,
        /// Leading share of the records that only teaches, 0 to 1.
        #[serde(default)]
        pub warmup_share: Option<f64>,
        /// Most records.
        #[serde(default)]
        pub records_max: Option<u64>,
        /// Most points of a timeline.
        #[serde(default)]
        pub timeline_max: Option<u64>,
    }

    /// Policies to compare over recorded load.
    #[schema(example = json!({"policies": [{"name": "now", "mode": "reactive"},
        {"name": "then", "mode": "predictive"}],
        "from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z"}))]
    struct ReplayQuestion {
        /// One to eight policies.
        pub policies: Vec<ReplayPolicy>,
        /// The first moment.
        #[schema(format = DateTime)]
        pub from: String,
        /// The end, not included.
        #[schema(format = DateTime)]
        pub to: String,
        /// Which services; all that one may see when empty.
        #[serde(default)]
        pub services: Vec<String>,
        /// The metric of load; `request_rate` when absent.
        #[serde(default)]
        pub metric: Option<String>,
        /// How it is simulated.
        #[serde(default)]
        pub config: Option<ReplayNumbers>,
    }

    /// One step of one service under one policy.
    struct ReplayPoint {
        /// When.
        #[schema(format = DateTime)]
        pub at: String,
        /// Which service.
        pub service: String,
        /// Recorded load, requests per second.
        pub load: Option<f64>,
        /// Replicas wanted after the decision.
        pub wanted: u32,
        /// Replicas ready during the step.
        pub ready: u32,
        /// Load as a share of what the ready replicas carry.
        pub utilisation: Option<f64>,
        /// Why the wanted replicas changed.
        #[serde(default)]
        pub why: String,
    }

    /// How one policy did.
    struct PolicyOutcome {
        /// Its name.
        pub name: String,
        /// Steps with load.
        pub steps: u64,
        /// Share of those with more load than the ready replicas carry.
        pub overloaded_share: f64,
        /// Share of those over the threshold.
        pub over_threshold_share: f64,
        /// Requests beyond what the ready replicas carry.
        pub requests_over: f64,
        /// Replicas summed over steps: what it costs.
        pub replica_steps: u64,
        /// Replica-steps that the load needs, known afterwards.
        pub replica_steps_needed: u64,
        /// Increases.
        pub scale_ups: u64,
        /// Decreases.
        pub scale_downs: u64,
        /// Findings.
        pub findings: u64,
        /// What happened, thinned.
        pub timeline: Vec<ReplayPoint>,
    }

    /// Where policies first differ.
    struct Difference {
        /// When.
        #[schema(format = DateTime)]
        pub at: String,
        /// On which service.
        pub service: String,
        /// For each policy: name, wanted replicas, why.
        #[schema(value_type = Vec<Vec<Value>>)]
        pub sides: Vec<(String, u32, String)>,
    }

    /// Policies side by side.
    struct ReplayDocument {
        /// The first step.
        #[schema(format = DateTime)]
        pub from: String,
        /// The end of the last step.
        #[schema(format = DateTime)]
        pub to: String,
        /// Records used.
        pub records: u64,
        /// One entry per policy, in order.
        pub policies: Vec<PolicyOutcome>,
        /// The first decision that is not the same under all.
        pub first_difference: Option<Difference>,
        /// What was assumed or left out.
        pub notes: Vec<String>,
    }
}
