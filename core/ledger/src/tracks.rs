//! The helpers of a pass: checkpoints waiting for their size, tile nodes waiting for their other
//! half, and the search for two rows that were exchanged.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::tile::perfect_root;
use crate::{Checkpoint, CompletedNode, Frontier, Hash, Held, Problem, node_hash};

/// The checkpoints of one keeper.
#[derive(Debug)]
pub(crate) struct Track {
    held: Held,
    /// The largest size first, so that the next one is taken from the end.
    due: Vec<Checkpoint>,
    pub(crate) matched: u64,
    pub(crate) last_match: Option<Checkpoint>,
    pub(crate) first_fail: Option<Checkpoint>,
}

impl Track {
    pub(crate) fn new(held: Held, mut due: Vec<Checkpoint>) -> Self {
        due.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size));
        Self { held, due, matched: 0, last_match: None, first_fail: None }
    }

    /// Compares every checkpoint of the size just reached.
    pub(crate) fn reach(&mut self, frontier: &Frontier) -> Option<Problem> {
        self.due.last().filter(|next| next.size == frontier.size())?;
        let root = frontier.root();
        let (mut matching, mut failing) = (None, None);
        while let Some(next) = self.due.pop_if(|next| next.size == frontier.size()) {
            if next.root == root {
                self.matched += 1;
                matching = Some(next);
            } else {
                failing = failing.or(Some(next));
            }
        }
        if self.first_fail.is_some() {
            return None;
        }
        let Some(failing) = failing else {
            self.last_match = matching;
            return None;
        };
        self.first_fail = Some(failing.clone());
        let last_match = self.last_match.clone();
        Some(Problem::CheckpointMismatch { held: self.held, last_match, first_fail: failing })
    }

    /// The largest checkpoint that was not reached.
    pub(crate) fn beyond(&self, rows: u64) -> Option<(Held, Checkpoint)> {
        self.due.first().filter(|last| last.size > rows).map(|last| (self.held, last.clone()))
    }
}

/// Tile nodes of which only one half, the stored or the recomputed, has been seen.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    stored: BTreeMap<(u8, u64), Hash>,
    computed: BTreeMap<(u8, u64), Hash>,
}

impl Nodes {
    /// Takes a stored node; gives the recomputed hash when they differ.
    pub(crate) fn store(&mut self, node: CompletedNode) -> Option<CompletedNode> {
        let place = (node.level, node.index);
        match self.computed.remove(&place) {
            Some(computed) => (computed != node.hash).then_some(node),
            None => {
                self.stored.insert(place, node.hash);
                None
            }
        }
    }

    /// Takes a recomputed node; gives the stored one when they differ.
    pub(crate) fn compute(&mut self, node: CompletedNode) -> Option<CompletedNode> {
        let place = (node.level, node.index);
        match self.stored.remove(&place) {
            Some(hash) => (hash != node.hash).then_some(CompletedNode { hash, ..node }),
            None => {
                self.computed.insert(place, node.hash);
                None
            }
        }
    }

    /// The nodes that never met their other half.
    pub(crate) fn unpaired(&self) -> Vec<Problem> {
        let missing = self.computed.keys().map(|&(level, index)| Problem::NodeMissing {
            level,
            index,
            rows: covered(level, index),
        });
        let unexpected = self.stored.keys().map(|&(level, index)| Problem::NodeUnexpected {
            level,
            index,
            rows: covered(level, index),
        });
        missing.chain(unexpected).collect()
    }
}

/// The rows under a tile node; what would not fit is capped, since such a node pairs with nothing.
pub(crate) fn covered(level: u8, index: u64) -> Range<u64> {
    let width = 1_u64.checked_shl(u32::from(level) * 8).unwrap_or(u64::MAX);
    let start = index.saturating_mul(width);
    start..start.saturating_add(width)
}

/// The two positions among `leaves`, a power of two of them, whose exchange gives `root`.
///
/// At most 256 leaves: about half a million hashes, and only once a mismatch is known.
pub(crate) fn find_exchange(leaves: &[Hash], root: Hash) -> Option<(usize, usize)> {
    let mut levels = vec![leaves.to_vec()];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let above = below.chunks_exact(2).map(|pair| node_hash(pair[0], pair[1])).collect();
        levels.push(above);
    }
    debug_assert_eq!(levels.last().map(|top| top[0]), Some(perfect_root(leaves.to_vec())));
    for low in 0..leaves.len() {
        for high in low + 1..leaves.len() {
            let differ = leaves[low] != leaves[high];
            if differ && exchanged_root(&levels, low, high) == root {
                return Some((low, high));
            }
        }
    }
    None
}

fn exchanged_root(levels: &[Vec<Hash>], mut low: usize, mut high: usize) -> Hash {
    let (mut low_hash, mut high_hash) = (levels[0][high], levels[0][low]);
    for level in &levels[..levels.len() - 1] {
        if low ^ 1 == high {
            low_hash = node_hash(low_hash, high_hash);
            high_hash = low_hash;
        } else if low == high {
            low_hash = climb(level, low, low_hash);
            high_hash = low_hash;
        } else {
            low_hash = climb(level, low, low_hash);
            high_hash = climb(level, high, high_hash);
        }
        low >>= 1;
        high >>= 1;
    }
    low_hash
}

fn climb(level: &[Hash], index: usize, hash: Hash) -> Hash {
    let sibling = level[index ^ 1];
    if index & 1 == 0 { node_hash(hash, sibling) } else { node_hash(sibling, hash) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf_hash;

    #[test]
    fn every_exchange_in_a_small_subtree_is_found() {
        let leaves: Vec<_> = (0..16_u8).map(|byte| leaf_hash(&[byte])).collect();
        for low in 0..16 {
            for high in low + 1..16 {
                let mut other = leaves.clone();
                other.swap(low, high);
                assert_eq!(find_exchange(&leaves, perfect_root(other)), Some((low, high)));
            }
        }
        assert_eq!(find_exchange(&leaves, leaf_hash(b"")), None);
        assert_eq!(find_exchange(&leaves[..1], leaf_hash(b"")), None);
    }
}
