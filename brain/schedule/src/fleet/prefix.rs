//! Which worker holds which prefix in its cache, as far as is known.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::WorkerId;

/// Workers remembered for one prefix: a prefix that all share needs no more.
const HOLDERS: usize = 6;

/// Numbers by one mixing step: the same in every run, and quick.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let number = part.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
            self.0 = crate::length::mix(self.0, number);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = crate::length::mix(number, 0);
    }
}

/// Holders of prefixes. Bounded by what each worker is remembered for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefixes {
    holders: HashMap<u64, [Option<WorkerId>; HOLDERS], BuildHasherDefault<Mixed>>,
}

/// What one worker is remembered for, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(VecDeque<u64>);

impl Prefixes {
    /// Workers that hold a prefix, the one it was seen on last first.
    pub(crate) fn holders(&self, prefix: u64) -> impl Iterator<Item = WorkerId> {
        self.holders.get(&prefix).into_iter().flatten().rev().copied().flatten()
    }

    /// Number of leading blocks of a prompt that some worker holds. Whoever holds a prefix holds
    /// the shorter ones as well, nearly always, so a binary search finds it.
    pub(crate) fn depth(&self, prefixes: &[u64]) -> usize {
        prefixes.partition_point(|prefix| self.holders.contains_key(prefix))
    }

    /// A worker has worked on a prompt, so its prefixes are in its cache; of each worker the last
    /// `most` are remembered.
    pub(super) fn seen(
        &mut self,
        worker: WorkerId,
        prefixes: &[u64],
        remembered: &mut Remembered,
        most: usize,
    ) {
        for prefix in prefixes.iter().take(most) {
            let holders = self.holders.entry(*prefix).or_default();
            if holders.contains(&Some(worker)) {
                continue;
            }
            // The newest is last; the oldest gives way.
            holders.rotate_left(1);
            holders[HOLDERS - 1] = Some(worker);
            remembered.0.push_back(*prefix);
        }
        while remembered.0.len() > most
            && let Some(prefix) = remembered.0.pop_front()
        {
            self.forget(worker, prefix);
        }
    }

    /// A worker is gone, or its cache is.
    pub(super) fn clear(&mut self, worker: WorkerId, remembered: &mut Remembered) {
        for prefix in remembered.0.drain(..) {
            self.forget(worker, prefix);
        }
    }

    fn forget(&mut self, worker: WorkerId, prefix: u64) {
        let Some(holders) = self.holders.get_mut(&prefix) else { return };
        for holder in holders.iter_mut().filter(|holder| **holder == Some(worker)) {
            *holder = None;
        }
        if holders.iter().all(Option::is_none) {
            self.holders.remove(&prefix);
        }
    }
}
