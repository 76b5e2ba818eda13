//! What travels: the types of requests and answers. The domain's types do not leave as they are
//! where the wire says something else: times of steps become objects, hashes of keys stay here.

mod analysis;
mod directory;
mod found;
mod guard;
mod operations;
mod plans;
mod records;
pub mod rules;
pub mod schema;

pub use analysis::{
    AnalysisDocument, AnalysisFinding, AnalysisQuestion, DecisionNumbers, Difference, PlanDraft,
    PlannedAction, PlannedUndo, PolicyOutcome, ReplayDocument, ReplayNumbers, ReplayPoint,
    ReplayPolicy, ReplayQuestion,
};
pub use directory::{
    KeyMinted, KeyRequest, KeyView, PrincipalChange, PrincipalRequest, PrincipalView, WhoAmI,
};
pub use guard::{
    ApprovalRulesView, AutonomyChange, AutonomyView, FreezesView, KillSwitchChange, KillSwitchView,
    LimitsView, PoliciesView,
};
pub use operations::{
    BackfillDone, BackfillRequest, BreakerView, LoadView, SampleView, SeriesKeyView, SeriesList,
    SeriesScoreView, SeriesWindow, SignalError, SignalRequest, SignalsTaken,
};
pub use plans::{
    ActionRequest, CancelRequest, DigestRequest, PlanView, ProposalRequest, ReasonRequest,
    ResolveRequest, StepTime, StepView,
};
pub use records::{
    FindingView, KindView, LedgerHeadView, LedgerRowView, LogsView, NotificationView, SeenView,
    StoryDetail, StoryView,
};

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageView<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `page_token` for the next page; absent on the last. A page may be empty and
    /// still have a next one, when what it held is not yours to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// The revision the page was read at: watches go on from here.
    pub revision: u64,
}
