//! Plans and what becomes of them, as the domain writes them.

use std::collections::BTreeMap;

use oag_types::{
    Action, ActionId, ActionSpec, ApprovalId, Comparison, Decision, Digest, Expectation, FindingId,
    GroupName, KindName, Measured, Observable, Origin, PlanId, PrincipalId, Reason, Repeatability,
    Risk, ServiceName, StoryId, Target, Tenant, Timestamp, Undo, VerificationState,
};
use serde_json::Value;

describe! {
    /// What an action is done to.
    struct Target = oag_types::Target {
        /// The service.
        service: ServiceName,
        /// Its group when the plan was made.
        group: GroupName,
        /// The executor that carries it out.
        executor: String,
    }

    /// An action as asked for.
    struct ActionSpec = oag_types::ActionSpec {
        /// Which kind, see `/api/v1/kinds`.
        kind: KindName,
        /// Done to what.
        target: Target,
        /// Parameters, in the form of the kind.
        params: Value = optional,
    }

    /// What is looked at to see an effect.
    enum Observable = oag_types::Observable {
        /// A field of the state the executor reports, such as `ready_replicas`.
        State(String),
        /// The latest value of a metric of the service.
        Metric(String),
    }

    /// How an observed value is compared with the promised one.
    enum Comparison = oag_types::Comparison {
        /// Equal; numbers within one part in a million.
        Eq,
        /// At most.
        Le,
        /// At least.
        Ge,
    }

    /// A promised effect, checkable by a machine.
    struct Expectation = oag_types::Expectation {
        /// What to look at.
        observe: Observable,
        /// How to compare.
        is: Comparison,
        /// The promised value.
        value: Value,
        /// How long it may take to come true, in milliseconds.
        within_ms: i64,
        /// How long it must then stay true, in milliseconds.
        hold_ms: i64 = optional,
    }

    /// How much can go wrong.
    enum Risk = oag_types::Risk {
        /// Nothing that users see.
        Low,
        /// Users may see it for a moment.
        Medium,
        /// Users see it, or it cannot be taken back.
        High,
    }

    /// What may be done after a crash in the middle of an action.
    enum Repeatability = oag_types::Repeatability {
        /// It is done again.
        Idempotent,
        /// It is looked at, then done if it was not.
        Observable,
        /// It is never repeated by itself; a person is asked.
        Neither,
    }

    /// The way back.
    enum Undo = oag_types::Undo {
        /// This action takes it back.
        By(Box<ActionSpec>),
        /// Nothing needs to be taken back.
        NotNeeded,
        /// There is no way back, and why.
        Impossible(String),
    }

    /// One step of a plan.
    struct Action = oag_types::Action {
        /// Its id.
        id: ActionId,
        /// What it does, to what.
        spec: ActionSpec = flat,
        /// One line for people.
        summary: String,
        /// What it promises; all must come true.
        expect: Vec<Expectation>,
        /// How much can go wrong.
        risk: Risk,
        /// The way back.
        undo: Undo,
        /// What may be done after a crash.
        repeat: Repeatability,
        /// Executors do the same key at most once.
        idempotency_key: String,
    }

    /// Where a plan came from.
    enum Origin = oag_types::Origin {
        /// The loop decided it from signals.
        Loop,
        /// Somebody asked for it over the API.
        Request,
        /// A language model proposed it.
        Model,
    }

    /// An ordered list of actions with its reason.
    struct Plan = oag_types::Plan {
        /// Its id.
        id: PlanId,
        /// The story it belongs to.
        story: StoryId,
        /// The owner.
        tenant: Tenant,
        /// Who proposed it; never among those who approve it.
        proposer: PrincipalId,
        /// Where it came from.
        origin: Origin,
        /// What will be done, for people.
        summary: String,
        /// Why.
        reason: String,
        /// The findings it answers.
        findings: Vec<FindingId>,
        /// What will be done, in order.
        actions: Vec<Action>,
        /// The state it was decided on, per service.
        base: BTreeMap<String, u64>,
        /// When it was made.
        created_at: Timestamp,
        /// After this it is not carried out any more.
        expires_at: Timestamp,
    }

    /// What the guard says.
    enum Decision = oag_types::Decision {
        /// Go ahead.
        Allow,
        /// Go ahead once people agreed.
        NeedsApproval,
        /// No.
        Deny,
    }

    /// One reason for a decision.
    struct Reason = oag_types::Reason {
        /// The rule.
        rule: String,
        /// What this rule alone decides.
        decision: Decision,
        /// In plain words, with the numbers.
        text: String,
    }

    /// What the guard decided, with its reasons.
    struct Verdict = oag_types::Verdict {
        /// The strictest of the reasons.
        decision: Decision,
        /// Every rule that spoke.
        reasons: Vec<Reason>,
        /// How many people must approve.
        approvals_needed: u32,
    }

    /// What an executor did.
    struct Receipt = oag_types::Receipt {
        /// Whether the world was changed.
        changed: bool,
        /// What was done, for people.
        detail: String,
        /// The state before.
        before: Value = optional,
        /// The state after.
        after: Value = optional,
    }

    /// How a verification ended.
    enum VerificationState = oag_types::VerificationState {
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
    struct Measured = oag_types::Measured {
        /// What was promised.
        expected: Expectation,
        /// What was seen last.
        actual: Value,
        /// Whether it holds.
        holds: bool,
    }

    /// The promised effects compared with what came.
    struct Verification = oag_types::Verification {
        /// How it ended.
        state: VerificationState,
        /// One entry per promised effect.
        measured: Vec<Measured>,
        /// When it ended.
        at: Timestamp,
    }

    /// Where a plan stands.
    enum Phase = oag_pilot::Phase {
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
    enum StepPhase = oag_pilot::StepPhase {
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
    enum Rung = oag_guard::Rung {
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
    struct Approval = oag_guard::Approval {
        /// Its id.
        id: ApprovalId,
        /// Which plan.
        plan: PlanId,
        /// The digest of the bytes that were read.
        digest: Digest,
        /// Who agreed.
        principal: PrincipalId,
        /// When.
        at: Timestamp,
        /// From this moment on it counts no more.
        expires_at: Timestamp,
    }

    /// What a person found an unknown outcome to be.
    enum Resolution = oag_pilot::Resolution {
        /// The action was done.
        Done,
        /// It was not done.
        NotDone,
    }

    /// A line in a plan's history.
    struct Note = oag_pilot::Note {
        /// When.
        at: Timestamp,
        /// Who; absent when the product itself.
        by: Option<PrincipalId> = optional,
        /// What happened.
        text: String,
    }
}
