//! The running state of the tree: the roots of the full subtrees along its right edge.

use crate::tile::{Span, fold_right};
use crate::{Error, Hash, node_hash};

/// The hash of a full subtree of 256^`level` entries, one cell of a tile at `level`.
///
/// Stored when [`Frontier::append`] emits it, so that the tiles above the leaf hashes are served
/// without recomputing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedNode {
    /// The tile level, from 1 up; level 0 is the leaf hashes kept beside the rows.
    pub level: u8,
    /// The position within the level: it covers the entries from `index * 256^level`.
    pub index: u64,
    /// The Merkle tree hash of those entries.
    pub hash: Hash,
}

/// An append-only tree as far as its next append and its root need it ("compact range"): at most
/// 64 hashes, one per set bit of the size.
///
/// Kept in the same transaction as the rows it covers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The largest size that is read back, so that appending can never overflow.
    const SIZE_MAX: u64 = 1 << 62;

    /// The tree without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries the tree has; the index of the next one.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees, the largest (leftmost) first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Adds the leaf hash of the entry at index [`Frontier::size`], and gives the tile cells that
    /// became complete, lowest level first: none for 255 of 256 entries.
    pub fn append(&mut self, leaf: Hash) -> Vec<CompletedNode> {
        let merges = self.size.trailing_ones();
        self.size += 1;
        let mut completed = Vec::new();
        let mut hash = leaf;
        for height in 1..=merges {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(left, hash);
            if height % 8 == 0 {
                let index = (self.size >> height) - 1;
                completed.push(CompletedNode { level: (height / 8) as u8, index, hash });
            }
        }
        self.nodes.push(hash);
        completed
    }

    /// The Merkle tree hash of all entries.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold_right(&self.nodes)
    }

    /// The size as eight big-endian bytes, then the nodes, 32 bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        for node in &self.nodes {
            bytes.extend_from_slice(&node.0);
        }
        bytes
    }

    /// Reads what [`Frontier::to_bytes`] writes.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the length does not fit the size, or the size is beyond 2^62.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (head, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| Error::malformed("frontier", "shorter than its size"))?;
        let size = u64::from_be_bytes(*head);
        if size > Self::SIZE_MAX {
            return Err(Error::malformed("frontier", "size beyond 2^62"));
        }
        if rest.len() != size.count_ones() as usize * 32 {
            return Err(Error::malformed("frontier", format!("{} bytes for {size}", bytes.len())));
        }
        let nodes = rest.chunks_exact(32).map(Hash::from_slice).collect::<Result<_, _>>()?;
        Ok(Self { size, nodes })
    }

    /// The entries each node covers, in the order of [`Frontier::nodes`].
    pub(crate) fn spans(&self) -> Vec<Span> {
        Span::new(0, self.size).perfect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EMPTY_ROOT, leaf_hash};

    #[test]
    fn an_empty_frontier_has_the_empty_root() {
        assert_eq!(Frontier::new().root(), EMPTY_ROOT);
        assert_eq!(Frontier::parse(&[0; 8]).unwrap(), Frontier::new());
    }

    #[test]
    fn full_tiles_are_emitted_once_each_lowest_level_first() {
        let mut frontier = Frontier::new();
        let mut emitted = Vec::new();
        for index in 0..65_536_u64 {
            emitted.extend(frontier.append(leaf_hash(&index.to_be_bytes())));
        }
        let places: Vec<_> = emitted.iter().map(|node| (node.level, node.index)).collect();
        let mut expected: Vec<_> = (0..256).map(|index| (1, index)).collect();
        expected.push((2, 0));
        assert_eq!(places, expected);
        assert_eq!(emitted[256].hash, frontier.root());
    }

    #[test]
    fn bytes_round_trip_and_odd_lengths_are_refused() {
        let mut frontier = Frontier::new();
        for index in 0..300_u64 {
            frontier.append(leaf_hash(&index.to_be_bytes()));
            assert_eq!(Frontier::parse(&frontier.to_bytes()).unwrap(), frontier);
        }
        let bytes = frontier.to_bytes();
        Frontier::parse(&bytes[..bytes.len() - 1]).unwrap_err();
        Frontier::parse(&bytes[..7]).unwrap_err();
        Frontier::parse(&[bytes.as_slice(), &[0; 32]].concat()).unwrap_err();
        Frontier::parse(&[[0xff; 8].as_slice(), &[0; 64 * 32]].concat()).unwrap_err();
    }
}
