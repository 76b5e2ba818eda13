//! One after the other.

use super::{Balance, Pick, Ready, Wanted, Why};
use crate::fleet::{Worker, WorkerId};

/// Each ready worker in turn. Looks at one worker, unless a task does not fit.
#[derive(Debug, Clone, Default)]
pub struct RoundRobin {
    last: Option<WorkerId>,
}

impl Balance for RoundRobin {
    fn key(&self, _worker: &Worker) -> u64 {
        0
    }

    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick> {
        let found = match self.last {
            Some(last) => ready.first_fit(ready.iter_after(last), wanted)?,
            None => ready.first_fit(ready.iter(), wanted)?,
        };
        self.last = Some(found.id());
        Some(Pick { worker: found.id(), cached_tokens: 0, why: Why::Turn })
    }
}
