//! The store port: what the domain asks of whatever keeps the truth.
//!
//! Owns: the commands, their preconditions and results, and the shape of what is kept (records,
//! change events, tasks, ledger rows). Refuses: SQL, connections, transactions as closures. Every
//! command is atomic: all of it happens, durably, before the answer comes, or none of it.
//! Every call carries a tenant; a store never shows one tenant's rows to another.

mod command;
mod port;
mod record;
mod task;

pub use command::{Batch, Committed, Expect, LedgerAppend, NewTask, Put};
pub use port::{ProofParts, Store, StoreError};
pub use record::{Change, Collection, Cursor, ListQuery, Page, Record, Revision};
pub use task::{Claim, Epoch, Task, TaskState, TaskToken};
