//! Who may do what, within which limits, and with whose agreement.
//!
//! Owns: roles and policies as data, limits, freezes, circuit breakers, approvals, the kill
//! switch, the autonomy ladder, API keys, and the one judgement that joins them: [`judge`] says
//! allow, needs approval or deny, always with every reason, and [`Book::admit`] judges and writes
//! down in one step. Refuses: I/O, async, clocks (callers pass `now`), knowing what the action
//! kinds do (callers pass the permission and the changed quantity), and any way for an approval
//! to outvote a denial. What is not expressly allowed is denied.

mod approval;
mod autonomy;
mod book;
mod breaker;
mod breaker_config;
mod error;
mod freeze;
mod guard;
mod identity;
mod kill;
mod limit_check;
mod limits;
pub mod permissions;
mod policy;
mod selector;
mod window;

pub use approval::{Approval, ApprovalRules, Refusal, SecondPerson, check_approver, satisfied};
pub use autonomy::{Ladder, LadderChange, LadderEntry, LadderRules, Outcome, Rung, TrackRecord};
pub use book::{BOOK_VERSION, Book, Done, RECENT_MAX};
pub use breaker::{
    Admission, Breaker, BreakerEvent, BreakerSnapshot, BreakerState, Token, Transition,
};
pub use breaker_config::BreakerConfig;
pub use error::GuardError;
pub use freeze::{FreezeWindow, Recurrence, Weekday};
pub use guard::{Case, Step, judge};
pub use identity::{ApiKey, KeyError, Secret, mint, parse_key, verify};
pub use kill::{KillScope, KillSwitch};
pub use limits::{BlastRadius, LimitRule, Limits, Quantity, Rate};
pub use policy::{Policy, PolicySet, Resource};
pub use selector::{Selector, glob_matches};
