//! The tile layout of C2SP tlog-tiles, and where proofs get their hashes from.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::{EMPTY_ROOT, Error, Frontier, Hash, node_hash};

/// How many hashes a full tile holds.
pub const TILE_WIDTH: u16 = 256;

/// Consecutive hashes at one tile level, never across two tiles: one read of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashRange {
    /// The tile level; 0 is the leaf hashes.
    pub level: u8,
    /// The position of the first hash within the level.
    pub start: u64,
    /// How many: a power of two up to 128, or up to 256 when a whole tile is read.
    pub count: u64,
}

/// Where the hashes of a tree come from: a store, a cache or downloaded tiles.
pub trait HashSource {
    /// The hash at `index` of tile `level`: at level 0 the leaf hash of entry `index`, above the
    /// [`CompletedNode`](crate::CompletedNode) with that level and index.
    ///
    /// # Errors
    /// [`Error::MissingHash`] when there is none, [`Error::Source`] when the source failed.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Error>;

    /// All hashes of a range in order; to be overridden where one read is cheaper than many.
    ///
    /// # Errors
    /// As [`HashSource::hash`].
    fn range(&self, range: HashRange) -> Result<Vec<Hash>, Error> {
        (range.start..range.start + range.count)
            .map(|index| self.hash(range.level, index))
            .collect()
    }

    /// The root over a range of a power of two of hashes, where the source has it without them.
    fn root(&self, _range: HashRange) -> Option<Hash> {
        None
    }
}

/// Hashes held in memory: what an asynchronous store fetched for
/// [`inclusion_ranges`](crate::inclusion_ranges) before asking for the proof.
#[derive(Debug, Clone, Default)]
pub struct KnownHashes {
    hashes: HashMap<(u8, u64), Hash>,
    ranges: HashMap<HashRange, Vec<Hash>>,
    roots: HashMap<HashRange, Hash>,
}

impl KnownHashes {
    /// No hashes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The roots along the right edge of a tree: with them no proof needs a hash of a tile that is
    /// not full, but for entries in such a tile itself.
    #[must_use]
    pub fn along(frontier: &Frontier) -> Self {
        let ranges = frontier.spans().into_iter().map(Span::range);
        let roots = ranges.zip(frontier.nodes().iter().copied()).collect();
        Self { roots, ..Self::default() }
    }

    /// Of these ranges, those whose root is not known yet.
    #[must_use]
    pub fn missing(&self, mut ranges: Vec<HashRange>) -> Vec<HashRange> {
        ranges.retain(|range| !self.roots.contains_key(range));
        ranges
    }

    /// Adds one hash, replacing what was there.
    pub fn insert(&mut self, level: u8, index: u64, hash: Hash) {
        self.hashes.insert((level, index), hash);
    }

    /// Adds the hashes of a range, from its start on; they are found as that range.
    pub fn insert_range(&mut self, range: HashRange, hashes: Vec<Hash>) {
        self.ranges.insert(range, hashes);
    }
}

impl HashSource for KnownHashes {
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Error> {
        self.hashes.get(&(level, index)).copied().ok_or(Error::MissingHash { level, index })
    }

    fn range(&self, range: HashRange) -> Result<Vec<Hash>, Error> {
        if let Some(hashes) = self.ranges.get(&range) {
            return Ok(hashes.clone());
        }
        let HashRange { level, start, count } = range;
        (start..start + count).map(|index| self.hash(level, index)).collect()
    }

    fn root(&self, range: HashRange) -> Option<Hash> {
        self.roots.get(&range).copied()
    }
}

/// The path of a tile, `tile/<level>/<index>[.p/<width>]`: the index in zero-padded groups of
/// three digits, all but the last marked `x`, the width only for a tile that is not full.
#[must_use]
pub fn tile_path(level: u8, index: u64, width: u16) -> String {
    path(&level.to_string(), index, width)
}

/// The path of the entries under a tile of level 0, `tile/entries/<index>[.p/<width>]`.
#[must_use]
pub fn entries_path(index: u64, width: u16) -> String {
    path("entries", index, width)
}

/// How many hashes tile `index` of `level` has in a tree of `size` entries: 256 when full, 0 when
/// it does not exist.
#[must_use]
pub fn tile_width(level: u8, index: u64, size: u64) -> u16 {
    let hashes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
    let before = index.saturating_mul(u64::from(TILE_WIDTH));
    hashes.saturating_sub(before).min(u64::from(TILE_WIDTH)) as u16
}

/// The content of a tile of `width` hashes: the hashes one after another.
///
/// # Errors
/// [`Error::OutOfRange`] for a width of 0 or above 256 or an index no tree reaches, and what the
/// source answers.
pub fn tile_bytes(
    level: u8,
    index: u64,
    width: u16,
    source: &impl HashSource,
) -> Result<Vec<u8>, Error> {
    let start = index
        .checked_mul(u64::from(TILE_WIDTH))
        .filter(|start| start.checked_add(u64::from(width)).is_some())
        .filter(|_| (1..=TILE_WIDTH).contains(&width))
        .ok_or(Error::OutOfRange { index, size: u64::from(width) })?;
    let hashes = source.range(HashRange { level, start, count: u64::from(width) })?;
    if hashes.len() != usize::from(width) {
        return Err(Error::MissingHash { level, index: start + hashes.len() as u64 });
    }
    Ok(hashes.iter().flat_map(|hash| hash.0).collect())
}

/// The hashes of a tile's content.
///
/// # Errors
/// [`Error::Malformed`] unless it is 1 to 256 hashes of 32 bytes.
pub fn tile_hashes(bytes: &[u8]) -> Result<Vec<Hash>, Error> {
    let whole = bytes.len().is_multiple_of(32);
    if !whole || bytes.is_empty() || bytes.len() > usize::from(TILE_WIDTH) * 32 {
        return Err(Error::malformed("tile", format!("{} bytes", bytes.len())));
    }
    bytes.chunks_exact(32).map(Hash::from_slice).collect()
}

/// The content of an entry bundle: each entry after its length as two big-endian bytes.
///
/// # Errors
/// [`Error::Malformed`] for an entry above 65535 bytes.
pub fn entry_bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len())
            .map_err(|_| Error::malformed("entry", "longer than 65535 bytes"))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// The entries from `start` up to, without, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Span {
    pub(crate) fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    pub(crate) fn len(self) -> u64 {
        self.end - self.start
    }

    /// The perfect subtrees that make up the span, leftmost first. The span must be a subtree of
    /// some tree, so `start` is a multiple of the largest power of two below its length.
    pub(crate) fn perfect(self) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut start = self.start;
        while start < self.end {
            let length = 1 << (self.end - start).ilog2();
            pieces.push(Self::new(start, start + length));
            start += length;
        }
        pieces
    }

    /// Where the hash of a perfect subtree is computed from.
    pub(crate) fn range(self) -> HashRange {
        let height = self.len().ilog2();
        let level = height / 8;
        HashRange { level: level as u8, start: self.start >> (level * 8), count: 1 << (height % 8) }
    }

    /// The Merkle tree hash of the span.
    pub(crate) fn root(self, source: &impl HashSource) -> Result<Hash, Error> {
        let mut roots = Vec::new();
        for piece in self.perfect() {
            let range = piece.range();
            if let Some(root) = source.root(range) {
                roots.push(root);
                continue;
            }
            let hashes = source.range(range)?;
            if hashes.len() as u64 != range.count {
                return Err(Error::MissingHash { level: range.level, index: range.start });
            }
            roots.push(perfect_root(hashes));
        }
        Ok(fold_right(&roots))
    }
}

/// The root over a power of two of neighbouring hashes.
pub(crate) fn perfect_root(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(pair[0], pair[1])).collect();
    }
    hashes.first().copied().unwrap_or(EMPTY_ROOT)
}

/// The root over full subtrees of falling size.
pub(crate) fn fold_right(roots: &[Hash]) -> Hash {
    roots.iter().rev().copied().reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_ROOT)
}

fn path(level: &str, index: u64, width: u16) -> String {
    let mut groups = vec![index % 1000];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    let mut path = format!("tile/{level}");
    while let Some(group) = groups.pop() {
        let mark = if groups.is_empty() { "" } else { "x" };
        let _ = write!(path, "/{mark}{group:03}");
    }
    if width < TILE_WIDTH {
        let _ = write!(path, ".p/{width}");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_layout() {
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(0, 1067, 8), "tile/0/x001/067.p/8");
        assert_eq!(tile_path(2, 0, 1), "tile/2/000.p/1");
        assert_eq!(tile_path(1, 1000, 256), "tile/1/x001/000");
        assert_eq!(entries_path(7, 3), "tile/entries/007.p/3");
    }

    #[test]
    fn widths_are_those_of_the_example_tree_of_70000() {
        let widths = |level: u8, index| tile_width(level, index, 70_000);
        assert_eq!([widths(0, 272), widths(0, 273), widths(0, 274)], [256, 112, 0]);
        assert_eq!([widths(1, 0), widths(1, 1)], [256, 17]);
        assert_eq!([widths(2, 0), widths(2, 1), widths(3, 0)], [1, 0, 0]);
        assert_eq!([tile_width(0, 0, 256), tile_width(1, 0, 256)], [256, 1]);
        assert_eq!(tile_width(63, u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn a_span_splits_into_the_set_bits_of_its_length() {
        let pieces = Span::new(512, 512 + 300).perfect();
        let ranges: Vec<_> = pieces.into_iter().map(Span::range).collect();
        assert_eq!(
            ranges,
            [
                HashRange { level: 1, start: 2, count: 1 },
                HashRange { level: 0, start: 768, count: 32 },
                HashRange { level: 0, start: 800, count: 8 },
                HashRange { level: 0, start: 808, count: 4 },
            ]
        );
    }

    #[test]
    fn tiles_and_bundles_are_concatenations() {
        let mut known = KnownHashes::new();
        known.insert(0, 256, EMPTY_ROOT);
        assert_eq!(tile_bytes(0, 1, 1, &known).unwrap(), EMPTY_ROOT.0);
        tile_bytes(0, 1, 2, &known).unwrap_err();
        tile_bytes(0, 1, 0, &known).unwrap_err();
        tile_bytes(0, u64::MAX, 256, &known).unwrap_err();
        assert_eq!(tile_hashes(&EMPTY_ROOT.0.repeat(2)).unwrap(), [EMPTY_ROOT; 2]);
        tile_hashes(b"").unwrap_err();
        tile_hashes(&[0; 33]).unwrap_err();
        tile_hashes(&[0; 257 * 32]).unwrap_err();
        let bundle = entry_bundle([b"ab".as_slice(), b""]).unwrap();
        assert_eq!(bundle, [0, 2, b'a', b'b', 0, 0]);
        entry_bundle([vec![0; 65_536].as_slice()]).unwrap_err();
    }
}
