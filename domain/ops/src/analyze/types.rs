//! What is asked of an analysis and what it answers.

use std::collections::BTreeMap;

use oag_types::{Evidence, Expectation, FindingKind, KindName, Risk, ServiceName, Severity};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Metrics pushed once, with what is known about where they come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyzeRequest {
    /// Values per metric, oldest first, ending at the same moment. Null where one is missing.
    pub metrics: BTreeMap<String, Vec<Option<f64>>>,
    /// What is going on, in Chinese or English.
    #[serde(default)]
    pub context: Option<String>,
    /// The service; otherwise it is looked for in the context.
    #[serde(default)]
    pub service: Option<ServiceName>,
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

/// Limits of an analysis, and the numbers it goes by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnalyzeConfig {
    /// Most metrics.
    pub series_max: usize,
    /// Most values of a metric.
    pub points_max: usize,
    /// Most bytes of context.
    pub context_bytes_max: usize,
    /// Replicas assumed when none are stated or known.
    pub assumed_replicas: u32,
    /// Utilisation above which a service is overloaded, 0 to 1.
    pub threshold: f64,
    /// Utilisation that advice aims at, 0 to 1.
    pub target: f64,
    /// Share of failing requests worth a finding.
    pub error_rate_warning: f64,
    /// Share of failing requests that is critical.
    pub error_rate_critical: f64,
    /// Steps ahead to forecast.
    pub horizon: usize,
    /// Most replicas advised when none are stated or known.
    pub max_replicas: u32,
}

impl Default for AnalyzeConfig {
    fn default() -> Self {
        Self {
            series_max: 200,
            points_max: 10_000,
            context_bytes_max: 10_000,
            assumed_replicas: 4,
            threshold: 0.85,
            target: 0.7,
            error_rate_warning: 0.05,
            error_rate_critical: 0.5,
            horizon: 10,
            max_replicas: 100,
        }
    }
}

/// The language of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Language {
    /// English.
    #[serde(rename = "en")]
    English,
    /// Simplified Chinese.
    #[serde(rename = "zh")]
    Chinese,
}

/// Whether something should be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisDecision {
    /// Do what the plan says.
    Act,
    /// Nothing should be done.
    NoAction,
    /// It cannot be told without an answer to the question in `action`.
    Ask,
}

/// What kind of thing should be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisActionKind {
    /// More replicas.
    ScaleUp,
    /// Look into errors or latency; roll back when a version was just released.
    Investigate,
    /// Answer a question first.
    Ask,
    /// Nothing.
    None,
}

/// One finding of an analysis, in its language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisFinding {
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

/// One action of an advised plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedAction {
    /// Which kind, such as `scale`.
    pub kind: KindName,
    /// On which service.
    pub service: ServiceName,
    /// Parameters, in the form of the kind.
    pub params: Value,
    /// Effects that would be promised.
    pub expect: Vec<Expectation>,
    /// How much can go wrong.
    pub risk: Risk,
    /// The way back; the target's group and executor are filled in when it is proposed.
    pub undo: PlannedUndo,
}

/// The way back of an advised action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedUndo {
    /// The same kind with these parameters.
    By(Value),
    /// Bring back what was there before; the number is known when it is proposed.
    AsBefore,
}

/// A plan as data. Nothing is executed by an analysis: propose the actions to carry them out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanDraft {
    /// One line for people, the same as the analysis' `action`.
    pub summary: String,
    /// What to do, in order.
    pub actions: Vec<PlannedAction>,
}

/// What an analysis answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// What to do, as a sentence in the language of the context.
    pub action: String,
    /// What kind of thing that is.
    pub action_kind: AnalysisActionKind,
    /// Whether something should be done.
    pub decision: AnalysisDecision,
    /// The service, when it is known.
    pub service: Option<ServiceName>,
    /// Replicas advised, when scaling is.
    pub replicas: Option<u32>,
    /// Replicas needed for each present one, when scaling is advised or was considered.
    pub ratio: Option<f64>,
    /// What was found.
    pub findings: Vec<AnalysisFinding>,
    /// The plan, when something should be done and the service is known.
    pub plan: Option<PlanDraft>,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// The arithmetic and the facts, line by line.
    pub evidence: Vec<String>,
    /// The language of the texts.
    pub language: Language,
}
