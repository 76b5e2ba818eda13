//! By measured latency and tasks.

use super::{Balance, Pick, Probes, Ready, Wanted, Why};
use crate::fleet::Worker;

/// The worker whose measured latency, times the tasks it would have, is least (as the peak
/// exponentially weighted moving averages of Finagle and linkerd). Knows nothing of the task.
#[derive(Debug, Clone, Default)]
pub struct LatencyAware {
    probes: Probes,
}

impl Balance for LatencyAware {
    fn key(&self, worker: &Worker) -> u64 {
        // Milliseconds and tasks: far below what fits, and the cast saturates.
        (worker.latency_s() * 1e3 * f64::from(worker.in_flight() + 1)) as u64
    }

    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick> {
        if let Some(probe) = self.probes.pick(ready, wanted) {
            return Some(probe);
        }
        let found = ready.first_fit(ready.iter(), wanted)?;
        Some(Pick { worker: found.id(), cached_tokens: 0, why: Why::Soonest })
    }
}
