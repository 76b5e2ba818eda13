//! The life of a plan: propose, guard, execute, verify, undo, record.
//!
//! Owns: the table of action kinds, plans and their records, the executor port, recovery after a
//! crash, the catalogue of services, the guard's book as it is kept, the directory of principals
//! and keys, stories and notifications, and the ledger as callers see it. Refuses: deciding what
//! to do about signals (`domain/ops`), judging (`domain/guard`), and touching the world itself
//! (executors do).

mod access;
mod catalogue;
mod claim;
mod desk;
mod directory;
mod docs;
mod document;
mod executor;
mod happenings;
mod index;
mod kind;
mod kinds;
mod nodes;
mod notes;
mod outcome;
mod pilot;
mod planning;
mod plans;
mod proofs;
mod proposal;
mod record;
mod rules;
mod run;
mod steps;
mod stories;
mod trials;
mod undo;
mod verify;

pub use access::Caller;
pub use claim::{Claim, Fact, Figures, Foretold};
pub use desk::Resolution;
pub use directory::{NewKey, NewPrincipal};
pub use docs::{PageOf, PageRequest};
pub use executor::{
    ExecError, Executor, Happened, Happening, LogLine, Mandate, Meter, Observed, Operation,
};
pub use happenings::HappeningCounts;
pub use index::InHand;
pub use kind::{ActionKind, Draft, DraftContext};
pub use kinds::{kind, kinds};
pub use nodes::{NodeCertificate, NodeRecord, NodeToken};
pub use outcome::{Keys, Outcome, receipt};
pub use pilot::{
    CheckpointSink, CrashPoints, LogKeys, NoCrashPoints, Pilot, PilotConfig, PilotParts,
};
pub use plans::PlanFilter;
pub use proofs::{LedgerHead, LedgerRow};
pub use proposal::{ActionWish, Proposal};
pub use record::{Note, Notification, Phase, PlanRecord, Step, StepPhase, Story, Versioned};
pub use stories::StoryView;
pub use trials::{Fate, Hindsight, Rehearsal, Trial};
