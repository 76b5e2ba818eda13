//! Stories, findings, notifications, the ledger and the kinds on the wire.

use oag_pilot::{
    ActionKind, LedgerRow, Notification, PlanRecord, Story, StoryView as DomainStory, Versioned,
};
use oag_types::{
    Finding, NotificationId, PlanId, PrincipalId, Repeatability, ServiceName, StoryId, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{PlanView, schema};

/// A finding with the revision it was written at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// The finding.
    #[serde(flatten)]
    #[schema(value_type = schema::Finding)]
    pub finding: Finding,
    /// The revision of its last change.
    pub revision: u64,
}

impl From<Versioned<Finding>> for FindingView {
    fn from(found: Versioned<Finding>) -> Self {
        Self { finding: found.value, revision: found.revision }
    }
}

/// A story: one trouble or wish, from signal to ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoryView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: StoryId,
    /// The revision of its last change; absent inside a story's details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// One line for people.
    pub title: String,
    /// The service it is about.
    #[schema(value_type = Option<String>)]
    pub service: Option<ServiceName>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// What was found, in order.
    #[schema(value_type = Vec<schema::Finding>)]
    pub findings: Vec<Finding>,
    /// Plans made, in order.
    #[schema(value_type = Vec<String>)]
    pub plans: Vec<PlanId>,
}

impl StoryView {
    fn of(story: Story, revision: Option<u64>) -> Self {
        Self {
            id: story.id,
            revision,
            title: story.title,
            service: story.service,
            opened_at: story.opened_at,
            closed_at: story.closed_at,
            findings: story.findings,
            plans: story.plans,
        }
    }
}

impl From<Versioned<Story>> for StoryView {
    fn from(found: Versioned<Story>) -> Self {
        Self::of(found.value, Some(found.revision))
    }
}

/// A story with its plans and ledger rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoryDetail {
    /// The story.
    pub story: StoryView,
    /// Its plans, in order.
    pub plans: Vec<PlanView>,
    /// Ledger rows about its plans and actions.
    pub ledger: Vec<LedgerRowView>,
}

impl From<DomainStory> for StoryDetail {
    fn from(view: DomainStory) -> Self {
        let plan = |value: PlanRecord| PlanView::short(Versioned { value, revision: 0 });
        Self {
            story: StoryView::of(view.story, None),
            plans: view.plans.into_iter().map(plan).collect(),
            ledger: view.ledger.into_iter().map(LedgerRowView::from).collect(),
        }
    }
}

/// A message to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: NotificationId,
    /// The revision of its last change.
    pub revision: u64,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What to know or do.
    pub message: String,
    /// The plan it is about.
    #[schema(value_type = Option<String>)]
    pub plan: Option<PlanId>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who has seen it, and when.
    pub seen: Option<SeenView>,
}

/// Who has seen a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenView {
    /// Who.
    #[schema(value_type = String)]
    pub by: PrincipalId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl From<Versioned<Notification>> for NotificationView {
    fn from(found: Versioned<Notification>) -> Self {
        let notice = found.value;
        Self {
            id: notice.id,
            revision: found.revision,
            severity: notice.severity,
            message: notice.message,
            plan: notice.plan,
            at: notice.at,
            seen: notice.seen.map(|(by, at)| SeenView { by, at }),
        }
    }
}

/// The head of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerHeadView {
    /// Rows.
    pub size: u64,
    /// Root of the Merkle tree, hexadecimal.
    pub root: String,
    /// The signed checkpoint over this head.
    pub checkpoint: String,
    /// The public key that checks it. Keep your own copy: this one proves nothing by itself.
    pub verifier_key: String,
}

impl From<oag_pilot::LedgerHead> for LedgerHeadView {
    fn from(head: oag_pilot::LedgerHead) -> Self {
        let oag_pilot::LedgerHead { size, root, checkpoint, verifier_key } = head;
        Self { size, root, checkpoint, verifier_key }
    }
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerRowView {
    /// Its index, from 0.
    pub index: u64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What kind of row.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// What the tree commits to, hexadecimal.
    pub leaf_hash: String,
    /// The payload; null when erased.
    pub payload: Value,
    /// Whether the payload was erased.
    pub erased: bool,
}

impl From<LedgerRow> for LedgerRowView {
    fn from(row: LedgerRow) -> Self {
        let LedgerRow { index, at, kind, subject, leaf_hash, payload, erased } = row;
        Self { index, at, kind, subject, leaf_hash, payload, erased }
    }
}

/// The last lines of a service's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsView {
    /// The lines, oldest first.
    #[schema(value_type = Vec<schema::LogLine>)]
    pub items: Vec<oag_pilot::LogLine>,
}

/// An action kind of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KindView {
    /// Its name.
    pub kind: String,
    /// What it does.
    pub about: String,
    /// The permission it needs.
    pub permission: String,
    /// What may be done after a crash in the middle of it.
    #[schema(value_type = schema::Repeatability)]
    pub repeat: Repeatability,
    /// The JSON schema of its parameters.
    pub params_schema: Value,
}

impl From<&dyn ActionKind> for KindView {
    fn from(kind: &dyn ActionKind) -> Self {
        Self {
            kind: kind.name().to_owned(),
            about: kind.about().to_owned(),
            permission: kind.permission().0,
            repeat: kind.repeat(),
            params_schema: kind.params_schema(),
        }
    }
}
