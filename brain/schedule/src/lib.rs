//! Which task of a fleet of language-model workers runs next, and where.
//!
//! Owns: admission queues with their policies ([`queue`], [`policy`]), the prediction of answer
//! lengths ([`length`]), the choice of a worker ([`fleet`], [`balance`]), the scheduler that joins
//! them ([`scheduler`]), and a simulation of a whole fleet around that same scheduler
//! ([`simulate`]).
//!
//! Refuses: I/O, async, clocks and unseeded randomness. Time is given by the caller. Everything is
//! bounded and deterministic: the same calls give the same answers. No input makes it panic.

pub mod balance;
pub mod fleet;
pub mod length;
pub mod policy;
pub mod queue;
pub mod scheduler;
pub mod simulate;
mod task;
mod time;

pub use scheduler::{Admitted, Assignment, Config, Preemption, Scheduler, Turn};
pub use task::{Class, Context, Rates, Task, Ticket, User};
pub use time::Moment;
