//! One pass over a stored log that recomputes everything from the entries.

use std::ops::Range;

use crate::row::check_payload;
use crate::tiles::Tiles;
use crate::tracks::{Nodes, Track, covered, find_exchange};
use crate::{
    Checkpoint, Claim, CompletedNode, Entry, Error, Frontier, Hash, Held, Problem, Report, Row,
    TILE_WIDTH, leaf_hash,
};

/// Verifies a log row by row, in memory that does not grow with it beyond its checkpoints and the
/// tile nodes that were pushed far from their rows.
///
/// Push the rows in the order of their index. Push each stored tile node before the rows it covers
/// or right after the last of them: then nothing accumulates, and an exchange of two rows within
/// one tile is named by row. Nodes pushed elsewhere are still compared.
#[derive(Debug)]
pub struct Verifier {
    frontier: Frontier,
    /// The index the next row must have.
    next: u64,
    rows: u64,
    erased: u64,
    /// Whether a gap or a row out of place ended the recomputation of the tree.
    broken: bool,
    nodes: Nodes,
    tiles: Tiles,
    outside: Track,
    store: Track,
    /// The leaf hashes of the tile being filled, or of the one just filled until the next row.
    tile: Vec<Hash>,
    first: Option<Problem>,
}

impl Verifier {
    /// A pass that compares with `checkpoints`: those held outside the store, opened with the
    /// log's key, in any order.
    #[must_use]
    pub fn new(checkpoints: Vec<Checkpoint>) -> Self {
        let mut verifier = Self {
            frontier: Frontier::new(),
            next: 0,
            rows: 0,
            erased: 0,
            broken: false,
            nodes: Nodes::default(),
            tiles: Tiles::default(),
            outside: Track::new(Held::Outside, checkpoints),
            store: Track::new(Held::Store, Vec::new()),
            tile: Vec::with_capacity(usize::from(TILE_WIDTH)),
            first: None,
        };
        verifier.reach_checkpoints();
        verifier
    }

    /// Compares with the checkpoints the store itself keeps as well. They are no evidence against
    /// whoever holds the key, so they are told apart in the report.
    ///
    /// To be called before the first row.
    #[must_use]
    pub fn with_stored_checkpoints(mut self, checkpoints: Vec<Checkpoint>) -> Self {
        self.store = Track::new(Held::Store, checkpoints);
        self.reach_checkpoints();
        self
    }

    /// Takes the next row as stored.
    pub fn push(&mut self, row: &Row) {
        self.rows += 1;
        self.place(row.index);
        let computed = leaf_hash(&row.entry);
        self.recognise(row);
        if let Some(problem) = self.check(row, computed) {
            self.note(problem);
        }
        if !self.broken {
            self.grow(computed);
        }
    }

    /// Takes a tile node as stored.
    pub fn push_node(&mut self, node: CompletedNode) {
        if let Some(stored) = self.nodes.store(node) {
            self.node_mismatch(stored);
        }
    }

    /// Takes the content of a full tile as stored. It must come before the last row it covers;
    /// otherwise it counts as stored without its rows. One that is not stored is not missed: a
    /// tile only saves reading what it is made of.
    pub fn push_tile(&mut self, level: u8, index: u64, bytes: Vec<u8>) {
        self.tiles.store(level, index, bytes);
    }

    /// Ends the pass over a store: its frontier must be that of the rows, and every full tile must
    /// have had its node pushed.
    #[must_use]
    pub fn finish(mut self, stored: &Frontier) -> Report {
        self.compare_size(stored.size());
        if !self.broken {
            self.compare_frontier(stored);
            for problem in self.nodes.unpaired().into_iter().chain(self.tiles.unexpected()) {
                self.note(problem);
            }
        }
        self.into_report()
    }

    /// Ends the pass over rows alone, for instance an export: only `size` is claimed, and tile
    /// nodes are compared where they were pushed.
    #[must_use]
    pub fn finish_sized(mut self, size: u64) -> Report {
        self.compare_size(size);
        self.into_report()
    }

    /// Keeps the problem if it is the first.
    fn note(&mut self, problem: Problem) {
        let earlier =
            self.first.as_ref().is_none_or(|first| problem.precedence() < first.precedence());
        if earlier {
            self.first = Some(problem);
        }
    }

    /// Checks that the row's index is the next one.
    fn place(&mut self, index: u64) {
        if index == self.next {
            self.next += 1;
            return;
        }
        self.broken = true;
        if index > self.next {
            self.note(Problem::Missing { rows: self.next..index });
            self.next = index.saturating_add(1);
            return;
        }
        match &self.first {
            Some(Problem::Missing { rows }) if rows.contains(&index) => {
                self.first = Some(Problem::Reordered { index: rows.start, other: rows.end });
            }
            Some(Problem::Reordered { .. }) => {}
            _ => self.note(Problem::Repeated { index }),
        }
    }

    /// A changed entry that turns up under this row's leaf hash was not changed but moved.
    fn recognise(&mut self, row: &Row) {
        if let Some(Problem::EntryChanged { index, computed, .. }) = self.first
            && computed == row.leaf_hash
        {
            self.first = Some(Problem::Reordered { index, other: row.index });
        }
    }

    /// Checks one row by itself.
    fn check(&mut self, row: &Row, computed: Hash) -> Option<Problem> {
        let index = row.index;
        if computed != row.leaf_hash {
            return Some(Problem::EntryChanged { index, computed, kept: row.leaf_hash });
        }
        let entry = match Entry::parse(&row.entry) {
            Ok(entry) => entry,
            Err(error) => {
                return Some(Problem::EntryMalformed { index, reason: error.to_string() });
            }
        };
        match check_payload(entry.payload_digest, row.salt.as_deref(), row.payload.as_deref()) {
            Ok(present) => {
                self.erased += u64::from(!present);
                None
            }
            Err(Error::HalfErased) => Some(Problem::HalfErased { index }),
            Err(_) => Some(Problem::PayloadChanged { index }),
        }
    }

    /// Adds a leaf to the recomputed tree and compares what became complete.
    fn grow(&mut self, leaf: Hash) {
        if self.tile.len() == usize::from(TILE_WIDTH) {
            self.tile.clear();
        }
        self.tile.push(leaf);
        self.fill(0, leaf);
        for node in self.frontier.append(leaf) {
            self.fill(node.level, node.hash);
            if let Some(stored) = self.nodes.compute(node) {
                self.node_mismatch(stored);
            }
        }
        self.reach_checkpoints();
    }

    fn fill(&mut self, level: u8, hash: Hash) {
        if let Some(problem) = self.tiles.add(level, hash) {
            self.note(problem);
        }
    }

    fn reach_checkpoints(&mut self) {
        let problems = [self.outside.reach(&self.frontier), self.store.reach(&self.frontier)];
        for problem in problems.into_iter().flatten() {
            self.note(problem);
        }
    }

    fn node_mismatch(&mut self, stored: CompletedNode) {
        let CompletedNode { level, index, hash } = stored;
        let rows = covered(level, index);
        let problem = if level == 1 { self.exchanged(&rows, hash) } else { None };
        self.note(problem.unwrap_or(Problem::NodeMismatch { level, index, rows }));
    }

    /// Two rows whose exchange explains why these rows do not give `expected`, if their leaf
    /// hashes are still at hand and nothing before them is wrong already.
    fn exchanged(&self, rows: &Range<u64>, expected: Hash) -> Option<Problem> {
        // A checkpoint on the way that does not match is a consequence of an exchange.
        let wrong = |first: &Problem| {
            !matches!(first, Problem::CheckpointMismatch { .. }) && first.rows().start < rows.end
        };
        if self.first.as_ref().is_some_and(wrong) {
            return None;
        }
        let tile_start = self.frontier.size().checked_sub(self.tile.len() as u64)?;
        let from = usize::try_from(rows.start.checked_sub(tile_start)?).ok()?;
        let until = usize::try_from(rows.end.checked_sub(tile_start)?).ok()?;
        let (low, high) = find_exchange(self.tile.get(from..until)?, expected)?;
        Some(Problem::Reordered { index: rows.start + low as u64, other: rows.start + high as u64 })
    }

    fn compare_size(&mut self, claimed: u64) {
        let rows = self.next;
        let by_checkpoint = [self.outside.beyond(rows), self.store.beyond(rows)]
            .into_iter()
            .flatten()
            .map(|(held, checkpoint)| (checkpoint.size, Claim::Checkpoint(held, checkpoint)));
        let claims = [(claimed, Claim::Size)].into_iter().filter(|(size, _)| *size > rows);
        let largest = claims.chain(by_checkpoint).reduce(|a, b| if b.0 > a.0 { b } else { a });
        if let Some((claimed, by)) = largest {
            self.note(Problem::Truncated { rows, claimed, by });
        }
        if claimed < rows {
            self.note(Problem::Surplus { rows: claimed..rows });
        }
    }

    fn compare_frontier(&mut self, stored: &Frontier) {
        if stored.size() != self.frontier.size() {
            return;
        }
        let pairs = self.frontier.nodes().iter().zip(stored.nodes());
        let differs = pairs.zip(self.frontier.spans()).find(|((ours, theirs), _)| ours != theirs);
        if let Some(((_, &expected), span)) = differs {
            let rows = span.start..span.end;
            let problem = self.exchanged(&rows, expected);
            self.note(problem.unwrap_or(Problem::FrontierMismatch { rows }));
        }
    }

    fn into_report(self) -> Report {
        Report {
            rows: self.rows,
            erased: self.erased,
            root: (!self.broken).then(|| self.frontier.root()),
            checkpoints_matched: self.outside.matched + self.store.matched,
            last_match: self.outside.last_match,
            first_fail: self.outside.first_fail,
            problem: self.first,
        }
    }
}
