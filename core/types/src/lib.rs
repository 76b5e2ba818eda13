//! The words of the product, in one place, so that every floor above says the same thing.
//!
//! Owns: ids, time, tenants, principals, signals, findings, actions, plans, verdicts, receipts,
//! verifications, services and error kinds. Refuses: behaviour with state, I/O, async, clocks.
//! Everything here is plain data that can be compared, hashed and written down.

mod action;
mod error;
mod finding;
mod id;
mod plan;
mod principal;
mod service;
mod signal;
mod tenant;
mod time;
mod trace;
mod verdict;

pub use action::{
    Action, ActionSpec, Comparison, Expectation, KindName, Observable, Repeatability, Risk, Target,
    Undo,
};
pub use error::{Code, ErrorKind, Problem};
pub use finding::{Evidence, Finding, FindingKind, Severity};
pub use id::{
    ActionId, ApprovalId, EventId, FindingId, GenerationId, IdError, KeyId, NotificationId, PlanId,
    PrincipalId, StoryId,
};
pub use plan::{Digest, Origin, Plan, SealedPlan};
pub use principal::{Permission, Principal, PrincipalKind, Role, RoleBinding, Scope};
pub use service::{
    Dependency, Feature, GroupName, NameError, NodeName, ScalingMode, ScalingSpec, Service,
    ServiceName,
};
pub use signal::{Labels, Sample, SeriesKey, Signal};
pub use tenant::Tenant;
pub use time::{TimeError, Timestamp};
pub use trace::TraceId;
pub use verdict::{Decision, Measured, Reason, Receipt, Verdict, Verification, VerificationState};
