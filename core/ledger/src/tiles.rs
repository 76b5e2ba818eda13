//! Stored tiles held against those that a pass recomputes.

use std::collections::BTreeMap;

use crate::tile::tile_hashes;
use crate::tracks::covered;
use crate::{Hash, Problem, TILE_WIDTH};

/// The full tiles of a log: one of each level grows, and stored ones wait for theirs to be full.
#[derive(Debug, Default)]
pub(crate) struct Tiles {
    growing: Vec<Growing>,
    stored: BTreeMap<(u8, u64), Vec<u8>>,
}

#[derive(Debug, Default)]
struct Growing {
    index: u64,
    hashes: Vec<Hash>,
}

impl Tiles {
    /// Takes a stored tile.
    pub(crate) fn store(&mut self, level: u8, index: u64, bytes: Vec<u8>) {
        self.stored.insert((level, index), bytes);
    }

    /// Takes the next hash of a level. When that fills a tile, it must be what is stored.
    pub(crate) fn add(&mut self, level: u8, hash: Hash) -> Option<Problem> {
        let place = usize::from(level);
        if self.growing.len() <= place {
            self.growing.resize_with(place + 1, Growing::default);
        }
        let tile = &mut self.growing[place];
        tile.hashes.push(hash);
        if tile.hashes.len() < usize::from(TILE_WIDTH) {
            return None;
        }
        let stored = self.stored.remove(&(level, tile.index));
        let problem = stored.and_then(|bytes| compare(level, tile, &bytes));
        tile.hashes.clear();
        tile.index += 1;
        problem
    }

    /// Tiles that were never compared: not all of their rows came, or all before the tile did.
    pub(crate) fn unexpected(&self) -> Vec<Problem> {
        let unexpected = |&(level, index): &(u8, u64)| {
            let rows = covered(level.saturating_add(1), index);
            Problem::TileUnexpected { level, index, rows }
        };
        self.stored.keys().map(unexpected).collect()
    }
}

/// What is wrong with a stored tile. Two hashes in each other's place are two rows that were
/// exchanged; otherwise the first that differs is named.
fn compare(level: u8, tile: &Growing, bytes: &[u8]) -> Option<Problem> {
    let (index, ours) = (tile.index, &tile.hashes);
    let first = index * u64::from(TILE_WIDTH);
    let stored = tile_hashes(bytes).unwrap_or_default();
    if stored.len() != ours.len() {
        let rows = covered(level.saturating_add(1), index);
        return Some(Problem::TileMismatch { level, index, rows });
    }
    let pairs = ours.iter().zip(&stored).enumerate();
    let differ: Vec<usize> = pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect();
    match *differ.as_slice() {
        [] => None,
        [low, high] if level == 0 && (ours[low], ours[high]) == (stored[high], stored[low]) => {
            Some(Problem::Reordered { index: first + low as u64, other: first + high as u64 })
        }
        [at, ..] => {
            let rows = covered(level, first + at as u64);
            Some(Problem::TileMismatch { level, index, rows })
        }
    }
}
