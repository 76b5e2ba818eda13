//! By measured latency and tasks.

use super::{Balance, Pick, Ready, Wanted, Why};
use crate::fleet::Worker;

/// One pick in so many goes to the worker that comes last, so that a worker which was slow once is
/// measured again.
pub(super) const PROBE_EVERY: u32 = 256;

/// The worker whose measured latency, times the tasks it would have, is least (as the peak
/// exponentially weighted moving averages of Finagle and linkerd). Knows nothing of the task.
#[derive(Debug, Clone, Default)]
pub struct LatencyAware {
    picks: u32,
}

impl Balance for LatencyAware {
    fn key(&self, worker: &Worker) -> u64 {
        // Milliseconds and tasks: far below what fits, and the cast saturates.
        (worker.latency_s() * 1e3 * f64::from(worker.in_flight() + 1)) as u64
    }

    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick> {
        let fits = |worker: &&Worker| worker.fits(wanted.tokens);
        self.picks = (self.picks + 1) % PROBE_EVERY;
        let probed = if self.picks == 0 { ready.last().filter(fits) } else { None };
        let (found, why) = match probed {
            Some(worker) => (worker, Why::Probe),
            None => (ready.first_fit(ready.iter(), wanted)?, Why::Soonest),
        };
        Some(Pick { worker: found.id(), cached_tokens: 0, why })
    }
}
