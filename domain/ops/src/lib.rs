//! Operation of services: signals in, findings, forecasts, scaling decisions, analysis of pushed
//! metrics and replay.
//!
//! Owns: signals in memory ([`SignalHub`]), what is known about a service at one moment
//! ([`ServiceSnapshot`]), the rules ([`decide()`]), one-off analysis ([`analyze()`]), replay of
//! recorded signals ([`replay()`]), looking back on proposals ([`look_back()`]), answers to questions
//! from the records ([`answer()`], [`RulesEngine`]) and the running loop ([`Ops`]). Refuses:
//! touching the world (executors do, behind the pilot), judging (the guard does), and I/O other
//! than its ports. `decide`, `analyze`, `answer`, `look_back` and `replay` are pure: the same input
//! gives the same output.

mod analyze;
mod answer;
mod decide;
mod desk;
mod engine;
mod hindsight;
mod hub;
mod ports;
mod replay;
mod snapshot;
mod watch;

pub use analyze::{
    Analysis, AnalysisActionKind, AnalysisDecision, AnalysisFinding, AnalyzeConfig, AnalyzeRequest,
    Language, PlanDraft, PlannedAction, PlannedUndo, analyze, analyze_with, find_service,
};
pub use answer::{Asker, Facts, Found, RULES_MODEL, Records, RulesEngine, answer, states_for};
pub use decide::{Aim, Decision, DecisionPolicy, FindingDraft, Outlook, ProposalDraft, decide};
pub use desk::Desk;
pub use engine::{Ops, OpsConfig, OpsCounters, OpsParts, StepReport};
pub use hindsight::{After, look_back};
pub use hub::{
    BackfillReport, HubConfig, HubCounters, IngestReport, SeriesFilter, SeriesScore, SeriesView,
    SignalHub,
};
pub use ports::{LongTerm, LongTermError, Source, SourceError};
pub use replay::{
    Difference, NamedPolicy, PolicyOutcome, ReplayConfig, ReplayPoint, ReplayReport, read_records,
    replay,
};
pub use snapshot::{
    ActivePlan, Basis, Capacity, CapacitySource, Deployed, Direction, Fleet, PastOutlook,
    ServiceSnapshot,
};
pub use watch::{Look, ServiceWatch};
