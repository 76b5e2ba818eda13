//! Stories, findings, notifications, the ledger and the kinds on the wire.

use oag_pilot::{
    ActionKind, LedgerRow, Notification, PlanRecord, Story, StoryView as DomainStory, Versioned,
};
use oag_types::{
    Finding, NotificationId, PlanId, PrincipalId, Repeatability, ServiceName, StoryId, Timestamp,
};
use serde::Serialize;
use serde_json::Value;

use super::PlanView;

wire! {
    /// A finding with the revision it was written at.
    #[derive(Serialize)]
    pub(crate) struct FindingView {
        /// The finding.
        #[serde(flatten)]
        pub(crate) finding: Finding,
        /// The revision of its last change.
        pub(crate) revision: u64,
    }
}

impl From<Versioned<Finding>> for FindingView {
    fn from(found: Versioned<Finding>) -> Self {
        Self { finding: found.value, revision: found.revision }
    }
}

wire! {
    /// A story: one trouble or wish, from signal to ledger.
    #[derive(Serialize)]
    pub(crate) struct StoryView {
        /// Its id.
        pub(crate) id: StoryId,
        /// The revision of its last change; absent inside a story's details.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) revision: Option<u64>,
        /// One line for people.
        pub(crate) title: String,
        /// The service it is about.
        pub(crate) service: Option<ServiceName>,
        /// When it began.
        pub(crate) opened_at: Timestamp,
        /// When it was over.
        pub(crate) closed_at: Option<Timestamp>,
        /// What was found, in order.
        pub(crate) findings: Vec<Finding>,
        /// Plans made, in order.
        pub(crate) plans: Vec<PlanId>,
    }
}

impl StoryView {
    fn of(story: Story, revision: Option<u64>) -> Self {
        let Story { id, title, service, opened_at, closed_at, findings, plans } = story;
        Self { id, revision, title, service, opened_at, closed_at, findings, plans }
    }
}

impl From<Versioned<Story>> for StoryView {
    fn from(found: Versioned<Story>) -> Self {
        Self::of(found.value, Some(found.revision))
    }
}

wire! {
    /// A story with its plans and ledger rows.
    #[derive(Serialize)]
    pub(crate) struct StoryDetail {
        /// The story.
        pub(crate) story: StoryView,
        /// Its plans, in order.
        pub(crate) plans: Vec<PlanView>,
        /// Ledger rows about its plans and actions.
        pub(crate) ledger: Vec<LedgerRowView>,
    }
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

wire! {
    /// A message to people.
    #[derive(Serialize)]
    pub(crate) struct NotificationView {
        /// Its id.
        pub(crate) id: NotificationId,
        /// The revision of its last change.
        pub(crate) revision: u64,
        /// `info`, `warning` or `critical`.
        pub(crate) severity: String,
        /// What to know or do.
        pub(crate) message: String,
        /// The plan it is about.
        pub(crate) plan: Option<PlanId>,
        /// When.
        pub(crate) at: Timestamp,
        /// Who has seen it, and when.
        pub(crate) seen: Option<SeenView>,
    }

    /// Who has seen a notification.
    #[derive(Serialize)]
    pub(crate) struct SeenView {
        /// Who.
        pub(crate) by: PrincipalId,
        /// When.
        pub(crate) at: Timestamp,
    }
}

impl From<Versioned<Notification>> for NotificationView {
    fn from(found: Versioned<Notification>) -> Self {
        let revision = found.revision;
        let Notification { id, severity, message, plan, at, seen } = found.value;
        let seen = seen.map(|(by, at)| SeenView { by, at });
        Self { id, revision, severity, message, plan, at, seen }
    }
}

wire! {
    /// The head of the ledger.
    #[derive(Serialize)]
    pub(crate) struct LedgerHeadView {
        /// Rows.
        pub(crate) size: u64,
        /// Root of the Merkle tree, hexadecimal.
        pub(crate) root: String,
        /// The signed checkpoint over this head.
        pub(crate) checkpoint: String,
        /// The public key that checks it. Keep your own copy: this one proves nothing by itself.
        pub(crate) verifier_key: String,
    }
}

impl From<oag_pilot::LedgerHead> for LedgerHeadView {
    fn from(head: oag_pilot::LedgerHead) -> Self {
        let oag_pilot::LedgerHead { size, root, checkpoint, verifier_key } = head;
        Self { size, root, checkpoint, verifier_key }
    }
}

wire! {
    /// A row of the ledger.
    #[derive(Serialize)]
    pub(crate) struct LedgerRowView {
        /// Its index, from 0.
        pub(crate) index: u64,
        /// When.
        pub(crate) at: String,
        /// What kind of row.
        pub(crate) kind: String,
        /// What it is about.
        pub(crate) subject: String,
        /// What the tree commits to, hexadecimal.
        pub(crate) leaf_hash: String,
        /// The payload; null when erased.
        pub(crate) payload: Value,
        /// Whether the payload was erased.
        pub(crate) erased: bool,
    }
}

impl From<LedgerRow> for LedgerRowView {
    fn from(row: LedgerRow) -> Self {
        let LedgerRow { index, at, kind, subject, leaf_hash, payload, erased } = row;
        Self { index, at, kind, subject, leaf_hash, payload, erased }
    }
}

wire! {
    /// What an erasure did.
    #[derive(Serialize)]
    pub(crate) struct Erased {
        /// Whether there was something to erase.
        pub(crate) erased: bool,
    }

    /// The last lines of a service's output.
    #[derive(Serialize)]
    pub(crate) struct LogsView {
        /// The lines, oldest first.
        pub(crate) items: Vec<oag_pilot::LogLine>,
    }

    /// An action kind of the catalogue.
    #[derive(Serialize)]
    pub(crate) struct KindView {
        /// Its name.
        pub(crate) kind: String,
        /// What it does.
        pub(crate) about: String,
        /// The permission it needs.
        pub(crate) permission: String,
        /// What may be done after a crash in the middle of it.
        pub(crate) repeat: Repeatability,
        /// The JSON schema of its parameters.
        pub(crate) params_schema: Value,
    }
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
