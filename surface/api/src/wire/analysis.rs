//! Analysis and replay, as the domain writes them.

use std::collections::BTreeMap;

use oag_ops::{
    AnalysisActionKind, AnalysisDecision, AnalysisFinding, DecisionPolicy, Difference, Language,
    NamedPolicy, PlanDraft, PlannedAction, PlannedUndo, PolicyOutcome, ReplayConfig, ReplayPoint,
};
use oag_types::{
    Evidence, Expectation, FindingKind, KindName, Risk, ScalingMode, ServiceName, Severity,
    Timestamp,
};
use serde::Deserialize;
use serde_json::Value;

use crate::shape::{Shape, Shaped};

/// `en` or `zh`.
impl Shaped for Language {
    const SHAPE: Shape = Shape::Text;
}

wire! {
    /// Policies to compare over recorded load.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"policies": [{"name": "now", "mode": "reactive"},
        {"name": "then", "mode": "predictive"}],
        "from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z"})]
    pub(crate) struct ReplayQuestion {
        /// One to eight policies.
        pub(crate) policies: Vec<NamedPolicy>,
        /// The first moment.
        pub(crate) from: Timestamp,
        /// The end, not included.
        pub(crate) to: Timestamp,
        /// Which services; all that one may see when empty.
        #[serde(default)]
        pub(crate) services: Vec<ServiceName>,
        /// The metric of load; `request_rate` when absent.
        #[serde(default)]
        pub(crate) metric: Option<String>,
        /// How it is simulated.
        #[serde(default)]
        pub(crate) config: ReplayConfig,
    }
}

describe! {
    /// Metrics pushed once, with what is known about where they come from.
    #[example({"metrics": {"cpu_usage": [61, 70, 84, 93], "request_rate": [90, 104, 127, 151]},
        "context": "order-service during the sale", "replicas": 3})]
    struct AnalysisQuestion = oag_ops::AnalyzeRequest {
        /// Values per metric, oldest first; null where one is missing.
        metrics: BTreeMap<String, Vec<Option<f64>>>,
        /// What is going on, in Chinese or English.
        context: Option<String> = optional,
        /// The service; otherwise it is looked for in the context.
        service: Option<ServiceName> = optional,
        /// Its present replicas.
        replicas: Option<u32> = optional,
        /// Fewest replicas that may be advised.
        min_replicas: Option<u32> = optional,
        /// Most replicas that may be advised.
        max_replicas: Option<u32> = optional,
        /// Distance between two values, in milliseconds; 30,000 when absent.
        step_ms: Option<i64> = optional,
    }

    /// One finding of an analysis.
    struct AnalysisFinding = oag_ops::AnalysisFinding {
        /// What was found.
        kind: FindingKind,
        /// How bad it is.
        severity: Severity,
        /// Probability that it is right, 0 to 1.
        confidence: f64,
        /// One line for people.
        summary: String,
        /// What it rests on.
        evidence: Vec<Evidence>,
    }

    /// The way back of an advised action.
    enum PlannedUndo = oag_ops::PlannedUndo {
        /// The same kind with these parameters.
        By(Value),
        /// Bring back what was there before.
        AsBefore,
    }

    /// One action of an advised plan.
    struct PlannedAction = oag_ops::PlannedAction {
        /// Which kind.
        kind: KindName,
        /// On which service.
        service: ServiceName,
        /// Parameters, in the form of the kind.
        params: Value,
        /// Effects that would be promised.
        expect: Vec<Expectation>,
        /// How much can go wrong.
        risk: Risk,
        /// The way back.
        undo: PlannedUndo,
    }

    /// An advised plan. Nothing is carried out: propose its actions.
    struct PlanDraft = oag_ops::PlanDraft {
        /// One line for people.
        summary: String,
        /// What to do, in order.
        actions: Vec<PlannedAction>,
    }

    /// Whether something should be done.
    enum AnalysisDecision = oag_ops::AnalysisDecision {
        /// Do what the plan says.
        Act,
        /// Nothing should be done.
        NoAction,
        /// It cannot be told without an answer to the question in `action`.
        Ask,
    }

    /// What kind of thing should be done.
    enum AnalysisActionKind = oag_ops::AnalysisActionKind {
        /// More replicas.
        ScaleUp,
        /// Look into errors or latency.
        Investigate,
        /// Answer a question first.
        Ask,
        /// Nothing.
        None,
    }

    /// What an analysis answers.
    struct AnalysisDocument = oag_ops::Analysis {
        /// What to do, as a sentence in the language of the context.
        action: String,
        /// What kind of thing that is.
        action_kind: AnalysisActionKind,
        /// Whether something should be done.
        decision: AnalysisDecision,
        /// The service, when it is known.
        service: Option<ServiceName>,
        /// Replicas advised.
        replicas: Option<u32>,
        /// Replicas needed for each present one.
        ratio: Option<f64>,
        /// What was found.
        findings: Vec<AnalysisFinding>,
        /// The plan, when something should be done and the service is known.
        plan: Option<PlanDraft>,
        /// How sure, 0 to 1.
        confidence: f64,
        /// What was taken for granted.
        assumptions: Vec<String>,
        /// The arithmetic and the facts.
        evidence: Vec<String>,
        /// The language of the texts, `en` or `zh`.
        language: Language,
    }

    /// The numbers decisions go by; what is left out has its default.
    struct DecisionNumbers = oag_ops::DecisionPolicy {
        /// Decisions in a row whose forecast must need more replicas before some are added.
        consecutive_forecasts: usize = optional,
        /// Whether load that is over the threshold now adds replicas at once.
        react_to_present_overload: bool = optional,
        /// Steps after an increase in which nothing is removed.
        cooldown_after_up_steps: u32 = optional,
        /// Relative distance from its target at which the reactive rule does nothing.
        reactive_tolerance: f64 = optional,
        /// Steps over which the reactive rule takes its highest recommendation.
        reactive_stabilisation_steps: usize = optional,
        /// Share of failing requests worth a finding.
        error_rate_warning: f64 = optional,
        /// Share of failing requests that is critical at once.
        error_rate_critical: f64 = optional,
        /// Requests in a step below which an error rate says nothing.
        error_volume_min: f64 = optional,
        /// Steps after a change of version in which errors are answered by a rollback.
        rollback_within_steps: u32 = optional,
        /// Steps in a row with room to spare before shed features are restored.
        restore_after_steps: usize = optional,
        /// Share of the threshold below which a step has room to spare.
        restore_below: f64 = optional,
        /// Latency this many times the usual is worth a finding.
        latency_factor: f64 = optional,
        /// How long proposals may wait, in steps.
        expires_steps: u32 = optional,
    }

    /// A policy under a name.
    struct ReplayPolicy = oag_ops::NamedPolicy {
        /// The name in the report.
        name: String,
        /// The numbers.
        policy: DecisionPolicy = optional,
        /// The rule for every service; each service's own when absent.
        mode: Option<ScalingMode> = optional,
        /// The threshold for every service; each service's own when absent.
        threshold: Option<f64> = optional,
        /// The quantile of the load ahead that must fit, 0.5 to 0.9999; 0.98 when absent.
        plan_quantile: Option<f64> = optional,
    }

    /// How a replay simulates; what is left out has its default.
    struct ReplayNumbers = oag_ops::ReplayConfig {
        /// Steps from a decision until new replicas are ready.
        start_delay_steps: u32 = optional,
        /// Replicas at the start.
        initial_replicas: Option<u32> = optional,
        /// Capacity of one replica where nothing says.
        capacity_per_replica: Option<f64> = optional,
        /// Leading share of the records that only teaches, 0 to 1.
        warmup_share: f64 = optional,
        /// Most records.
        records_max: usize = optional,
        /// Most points of a timeline.
        timeline_max: usize = optional,
    }

    /// One step of one service under one policy.
    struct ReplayPoint = oag_ops::ReplayPoint {
        /// When.
        at: Timestamp,
        /// Which service.
        service: ServiceName,
        /// Recorded load, requests per second.
        load: Option<f64>,
        /// Replicas wanted after the decision.
        wanted: u32,
        /// Replicas ready during the step.
        ready: u32,
        /// Load as a share of what the ready replicas carry.
        utilisation: Option<f64>,
        /// Why the wanted replicas changed.
        why: String = optional,
    }

    /// How one policy did.
    struct PolicyOutcome = oag_ops::PolicyOutcome {
        /// Its name.
        name: String,
        /// Steps with load.
        steps: u64,
        /// Share of those with more load than the ready replicas carry.
        overloaded_share: f64,
        /// Share of those over the threshold.
        over_threshold_share: f64,
        /// Requests beyond what the ready replicas carry.
        requests_over: f64,
        /// Replicas summed over steps: what it costs.
        replica_steps: u64,
        /// Replica-steps that the load needs, known afterwards.
        replica_steps_needed: u64,
        /// Increases.
        scale_ups: u64,
        /// Decreases.
        scale_downs: u64,
        /// Findings.
        findings: u64,
        /// What happened, thinned.
        timeline: Vec<ReplayPoint>,
    }

    /// Where policies first differ.
    struct Difference = oag_ops::Difference {
        /// When.
        at: Timestamp,
        /// On which service.
        service: ServiceName,
        /// For each policy: name, wanted replicas, why.
        sides: Vec<(String, u32, String)>,
    }

    /// Policies side by side.
    struct ReplayDocument = oag_ops::ReplayReport {
        /// The first step.
        from: Timestamp,
        /// The end of the last step.
        to: Timestamp,
        /// Records used.
        records: u64,
        /// One entry per policy, in order.
        policies: Vec<PolicyOutcome>,
        /// The first decision that is not the same under all.
        first_difference: Option<Difference>,
        /// What was assumed or left out.
        notes: Vec<String>,
    }
}
