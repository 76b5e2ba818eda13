//! The life of a plan: propose, guard, execute, verify, undo, record.
//!
//! Owns: the table of action kinds, plans and their records, the executor port, recovery after a
//! crash, and the directory of principals and keys. Refuses: deciding what to do about signals
//! (`domain/ops`), judging (`domain/guard`), and touching the world itself (executors do).

mod executor;
mod proposal;

pub use proposal::{ActionWish, Proposal};
pub use executor::{ExecError, Executor, LogLine, Meter, Observed, Operation};
