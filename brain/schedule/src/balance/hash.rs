//! By the caller's address.

use std::collections::BTreeMap;

use super::{Balance, Pick, Ready, Wanted, Why};
use crate::fleet::{Worker, WorkerId};
use crate::length::mix;

/// Places of each worker on the ring.
const PLACES: u64 = 64;
/// Places looked at before any worker with room is taken.
const TRIES: usize = 64;

/// Consistent hashing: a caller stays with its worker while that has room, goes to the next on the
/// ring when it has not, and few callers move when workers come or go (Karger et al. 1997; with
/// bounded loads, Mirrokni et al. 2018).
#[derive(Debug, Clone, Default)]
pub struct AddressHash {
    ring: BTreeMap<u64, WorkerId>,
}

fn place(worker: WorkerId, at: u64) -> u64 {
    mix(u64::from(worker.number()) + 1, at)
}

impl Balance for AddressHash {
    fn key(&self, _worker: &Worker) -> u64 {
        0
    }

    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick> {
        let from = mix(wanted.affinity, 0x61);
        let round = self.ring.range(from..).chain(self.ring.range(..from));
        let near = round.take(TRIES).filter_map(|(_, id)| ready.get(*id));
        let found = ready.first_fit(near, wanted)?;
        Some(Pick { worker: found.id(), cached_tokens: 0, why: Why::Address })
    }

    fn joined(&mut self, worker: &Worker) {
        self.ring.extend((0..PLACES).map(|at| (place(worker.id(), at), worker.id())));
    }

    fn left(&mut self, worker: WorkerId) {
        for at in 0..PLACES {
            self.ring.remove(&place(worker, at));
        }
    }
}
