//! Analysis of metrics that were pushed once.

mod types;

use oag_types::Problem;

pub use types::{
    Analysis, AnalysisActionKind, AnalysisDecision, AnalysisFinding, AnalyzeConfig, AnalyzeRequest,
    Language, PlanDraft, PlannedAction, PlannedUndo,
};

use crate::ServiceSnapshot;

/// Analyses with the default limits; see [`analyze_with`].
///
/// # Errors
/// When the input is not valid: the problem names the field.
pub fn analyze(
    request: &AnalyzeRequest,
    known: Option<&ServiceSnapshot>,
) -> Result<Analysis, Problem> {
    analyze_with(request, known, &AnalyzeConfig::default())
}

/// Analyses.
///
/// # Errors
/// When the input is not valid: the problem names the field.
pub fn analyze_with(
    _request: &AnalyzeRequest,
    _known: Option<&ServiceSnapshot>,
    _config: &AnalyzeConfig,
) -> Result<Analysis, Problem> {
    Err(Problem::field("metrics", "not yet"))
}
