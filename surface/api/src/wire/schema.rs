//! The shapes of documents that are passed as the domain writes them: for the API description,
//! and for clients in Rust. A test reads real answers into these.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use super::found::{Evidence, Finding, FindingKind, LogLine, Severity};

macro_rules! documents {
    ($($(#[$meta:meta])* $kind:ident $name:ident { $($body:tt)* })*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, rename_all = "snake_case")]
        $(#[$meta])*
        pub $kind $name { $($body)* }
    )*};
}

documents! {
    /// What an action is done to.
    struct Target {
        /// The service.
        pub service: String,
        /// Its group when the plan was made.
        pub group: String,
        /// The executor that carries it out.
        pub executor: String,
    }

    /// An action as asked for.
    struct ActionSpec {
        /// Which kind, see `/api/v1/kinds`.
        pub kind: String,
        /// Done to what.
        pub target: Target,
        /// Parameters, in the form of the kind.
        #[serde(default)]
        pub params: Value,
    }

    /// What is looked at to see an effect.
    enum Observable {
        /// A field of the state the executor reports, such as `ready_replicas`.
        State(String),
        /// The latest value of a metric of the service.
        Metric(String),
    }

    /// How an observed value is compared with the promised one.
    enum Comparison {
        /// Equal; numbers within one part in a million.
        Eq,
        /// At most.
        Le,
        /// At least.
        Ge,
    }

    /// A promised effect, checkable by a machine.
    struct Expectation {
        /// What to look at.
        pub observe: Observable,
        /// How to compare.
        pub is: Comparison,
        /// The promised value.
        pub value: Value,
        /// How long it may take to come true, in milliseconds.
        pub within_ms: i64,
        /// How long it must then stay true, in milliseconds.
        #[serde(default)]
        pub hold_ms: i64,
    }

    /// How much can go wrong.
    enum Risk {
        /// Nothing that users see.
        Low,
        /// Users may see it for a moment.
        Medium,
        /// Users see it, or it cannot be taken back.
        High,
    }

    /// What may be done after a crash in the middle of an action.
    enum Repeatability {
        /// It is done again.
        Idempotent,
        /// It is looked at, then done if it was not.
        Observable,
        /// It is never repeated by itself; a person is asked.
        Neither,
    }

    /// The way back.
    enum Undo {
        /// This action takes it back.
        By(ActionSpec),
        /// Nothing needs to be taken back.
        NotNeeded,
        /// There is no way back, and why.
        Impossible(String),
    }

    /// One step of a plan.
    struct Action {
        /// Its id.
        #[schema(example = "act_019a0c7e5f0a7bd2a1b2c3d4e5f60718")]
        pub id: String,
        /// Which kind, see `/api/v1/kinds`.
        pub kind: String,
        /// Done to what.
        pub target: Target,
        /// Parameters, in the form of the kind.
        pub params: Value,
        /// One line for people.
        pub summary: String,
        /// What it promises; all must come true.
        pub expect: Vec<Expectation>,
        /// How much can go wrong.
        pub risk: Risk,
        /// The way back.
        pub undo: Undo,
        /// What may be done after a crash.
        pub repeat: Repeatability,
        /// Executors do the same key at most once.
        pub idempotency_key: String,
    }

    /// Where a plan came from.
    enum Origin {
        /// The loop decided it from signals.
        Loop,
        /// Somebody asked for it over the API.
        Request,
        /// A language model proposed it.
        Model,
    }

    /// An ordered list of actions with its reason.
    struct Plan {
        /// Its id.
        pub id: String,
        /// The story it belongs to.
        pub story: String,
        /// The owner.
        pub tenant: String,
        /// Who proposed it; never among those who approve it.
        pub proposer: String,
        /// Where it came from.
        pub origin: Origin,
        /// What will be done, for people.
        pub summary: String,
        /// Why.
        pub reason: String,
        /// The findings it answers.
        pub findings: Vec<String>,
        /// What will be done, in order.
        pub actions: Vec<Action>,
        /// The state it was decided on, per service.
        pub base: BTreeMap<String, u64>,
        /// When it was made.
        #[schema(format = DateTime)]
        pub created_at: String,
        /// After this it is not carried out any more.
        #[schema(format = DateTime)]
        pub expires_at: String,
    }

    /// What the guard says.
    enum Decision {
        /// Go ahead.
        Allow,
        /// Go ahead once people agreed.
        NeedsApproval,
        /// No.
        Deny,
    }

    /// One reason for a decision.
    struct Reason {
        /// The rule.
        pub rule: String,
        /// What this rule alone decides.
        pub decision: Decision,
        /// In plain words, with the numbers.
        pub text: String,
    }

    /// What the guard decided, with its reasons.
    struct Verdict {
        /// The strictest of the reasons.
        pub decision: Decision,
        /// Every rule that spoke.
        pub reasons: Vec<Reason>,
        /// How many people must approve.
        pub approvals_needed: u32,
    }

    /// What an executor did.
    struct Receipt {
        /// Whether the world was changed.
        pub changed: bool,
        /// What was done, for people.
        pub detail: String,
        /// The state before.
        #[serde(default)]
        pub before: Value,
        /// The state after.
        #[serde(default)]
        pub after: Value,
    }

    /// How a verification ended.
    enum VerificationState {
        /// Every promised effect came.
        Reached,
        /// At least one promised effect did not come in time.
        Missed,
        /// It cannot be known.
        Unknown,
        /// A newer plan took over before it could be told.
        Superseded,
    }

    /// One promised effect and what was measured.
    struct Measured {
        /// What was promised.
        pub expected: Expectation,
        /// What was seen last.
        pub actual: Value,
        /// Whether it holds.
        pub holds: bool,
    }

    /// The promised effects compared with what came.
    struct Verification {
        /// How it ended.
        pub state: VerificationState,
        /// One entry per promised effect.
        pub measured: Vec<Measured>,
        /// When it ended.
        #[schema(format = DateTime)]
        pub at: String,
    }

    /// Where a plan stands.
    enum Phase {
        /// Recorded; nobody is asked, but a person may take it up.
        Proposed,
        /// Waiting for people to approve.
        AwaitingApproval,
        /// Allowed and queued.
        Queued,
        /// Being carried out or verified.
        Running,
        /// Every promised effect came.
        Succeeded,
        /// An effect did not come, and what was done was taken back.
        Undone,
        /// An effect did not come, and it could not be taken back.
        Failed,
        /// It cannot be known whether an action was done; a person must say.
        OutcomeUnknown,
        /// The guard refused.
        Denied,
        /// It waited too long.
        Expired,
        /// A person called it off.
        Cancelled,
        /// A newer plan took over.
        Superseded,
    }

    /// Where an action of a plan stands.
    enum StepPhase {
        /// Not begun.
        Pending,
        /// The intent is on the ledger.
        Intended,
        /// The executor answered; the effect is being verified.
        Applied,
        /// The promised effect came.
        Verified,
        /// It did not come, or the executor failed.
        Missed,
        /// The intent to take it back is on the ledger.
        UndoIntended,
        /// Taken back.
        Undone,
        /// Could not be taken back.
        NotUndone,
        /// Nobody knows whether it was done.
        Unknown,
        /// A newer plan took over during verification.
        Superseded,
        /// Not done, because an earlier one failed.
        Skipped,
    }

    /// How far a kind may go by itself.
    enum Rung {
        /// It only proposes.
        Observe,
        /// It plays its plans through without changing anything.
        DryRun,
        /// It acts once a person approved.
        Approve,
        /// It acts by itself, within the limits.
        Automatic,
    }

    /// One person's agreement to one exact plan.
    struct Approval {
        /// Its id.
        pub id: String,
        /// Which plan.
        pub plan: String,
        /// The digest of the bytes that were read.
        pub digest: String,
        /// Who agreed.
        pub principal: String,
        /// When.
        #[schema(format = DateTime)]
        pub at: String,
        /// From this moment on it counts no more.
        #[schema(format = DateTime)]
        pub expires_at: String,
    }

    /// A line in a plan's history.
    struct Note {
        /// When.
        #[schema(format = DateTime)]
        pub at: String,
        /// Who; absent when the product itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub by: Option<String>,
        /// What happened.
        pub text: String,
    }
}
