//! A whole fleet under a simulated clock, scheduled by the product's own [`Scheduler`].
//!
//! What is simulated is what surrounds the scheduler: requests that come as recorded, and workers
//! that read prompts and write answers at fixed rates, one sequence in each slot. A worker in the
//! simulation stops a sequence only between two steps. The scheduler sees what it would see in
//! life: facts known on arrival, ends, losses after missed heartbeats; never the length of an
//! answer that is not written, unless the run is marked as that of an oracle.
//!
//! Deterministic: the same trace, setup and seed give the same outcome.
//!
//! [`Scheduler`]: crate::scheduler::Scheduler

mod engine;
mod faults;
mod outcome;
mod trace;

use std::time::Duration;

pub use engine::run;
pub use faults::Faults;
pub use outcome::{Outcome, Point, Served, Summary};
pub use trace::{Arrival, COLUMNS, Trace, TraceError};

use crate::length::Predictor;
use crate::scheduler::Config;
use crate::task::Rates;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Workers.
    pub nodes: usize,
    /// Sequences each works on at a time.
    pub slots: u32,
    /// How fast.
    pub rates: Rates,
    /// How the scheduler decides.
    pub scheduler: Config,
    /// What it has learned before.
    pub predictor: Predictor,
    /// Whether it is told the true length of every answer: no scheduler can be.
    pub oracle: bool,
    /// Paused sequences whose cache each worker keeps; of others the prompt, and what was written,
    /// is read again when they go on.
    pub kept: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// Time from a crash to the moment it is known: three missed heartbeats.
    pub detection: Duration,
    /// For faults.
    pub seed: u64,
}

impl Setup {
    /// So many healthy workers with eight slots each, and a scheduler.
    #[must_use]
    pub fn new(nodes: usize, scheduler: Config) -> Self {
        Self {
            nodes,
            slots: 8,
            rates: Rates::default(),
            scheduler,
            predictor: Predictor::default(),
            oracle: false,
            kept: 8,
            faults: Faults::default(),
            detection: Duration::from_secs(15),
            seed: 1,
        }
    }
}
