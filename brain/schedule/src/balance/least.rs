//! The fewest tasks for its slots.

use super::{Balance, Pick, Ready, Wanted, Why};
use crate::fleet::Worker;

/// The worker with the smallest share of its slots in use. Looks at one worker, unless a task does
/// not fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastConnections;

impl Balance for LeastConnections {
    fn key(&self, worker: &Worker) -> u64 {
        u64::from(worker.in_flight()) * 1_000_000 / u64::from(worker.spec().slots.max(1))
    }

    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick> {
        let found = ready.first_fit(ready.iter(), wanted)?;
        Some(Pick { worker: found.id(), cached_tokens: 0, why: Why::FewestTasks })
    }
}
