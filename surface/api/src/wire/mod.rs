//! What travels: the types of requests and answers. The domain's types do not leave as they are
//! where the wire says something else: times of steps become objects, hashes of keys stay here.

mod analysis;
mod directory;
mod fleet;
mod found;
mod guard;
mod models;
mod operations;
mod plans;
mod predict;
mod records;
mod rules;
mod schema;
mod service;

use serde::Serialize;

pub(crate) use analysis::ReplayQuestion;
pub(crate) use directory::{
    KeyMinted, KeyRequest, KeyView, PrincipalChange, PrincipalRequest, PrincipalView, WhoAmI,
};
pub(crate) use fleet::{NodeCertificates, NodeTokenMinted, NodeTokenRequest};
pub(crate) use guard::{
    ApprovalRulesView, AutonomyChange, AutonomyView, FreezesView, KillSwitchChange, KillSwitchView,
    LimitsView, PoliciesView,
};
pub(crate) use models::{
    DetokenizeRequest, GenerateRequest, GenerateView, KeepRequest, KeptView, TextView,
    TokenizeRequest, TokensView, finish,
};
pub(crate) use operations::{
    BackfillDone, BackfillRequest, BreakerView, LoadView, SeriesKeyView, SeriesList,
    SeriesScoreView, SeriesWindow, SignalError, SignalRequest, SignalsTaken,
};
pub(crate) use plans::{
    CancelRequest, DigestRequest, PlanView, ProposalRequest, ReasonRequest, ResolveRequest,
};
pub(crate) use predict::{FeatureList, PlainPredictRequest, PredictRequest, PredictView};
pub(crate) use records::{
    Erased, FindingView, KindView, LedgerHeadView, LedgerRowView, LogsView, NotificationView,
    StoryDetail, StoryView,
};
pub(crate) use service::Service;

/// One page of a list.
#[derive(Serialize)]
pub(crate) struct PageView<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// What to send as `page_token` for the next page; absent on the last. A page may be empty and
    /// still have a next one, when what it held is not yours to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_page_token: Option<String>,
    /// The revision the page was read at: watches go on from here.
    pub(crate) revision: u64,
}

/// A list that comes whole.
#[derive(Serialize)]
pub(crate) struct ItemsView<T> {
    /// The items.
    pub(crate) items: Vec<T>,
}
