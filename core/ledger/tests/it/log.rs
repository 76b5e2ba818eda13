//! A small stored log to test on.

use oag_ledger::{
    Checkpoint, CompletedNode, EntryKind, EntryParts, Error, Frontier, Hash, HashSource, Problem,
    Report, Row, TILE_WIDTH, Verifier, leaf_hash, new_row, tile_bytes,
};

pub(crate) const ORIGIN: &str = "example.test/log";

/// What a store would hold, with every field open to tampering.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) rows: Vec<Row>,
    pub(crate) nodes: Vec<CompletedNode>,
    pub(crate) frontier: Frontier,
}

impl Log {
    pub(crate) fn new(size: u64) -> Self {
        let mut log = Self { rows: Vec::new(), nodes: Vec::new(), frontier: Frontier::new() };
        for _ in 0..size {
            log.append("as recorded");
        }
        log
    }

    pub(crate) fn append(&mut self, word: &str) {
        let row = row(self.frontier.size(), word);
        self.nodes.extend(self.frontier.append(row.leaf_hash));
        self.rows.push(row);
    }

    /// Recomputes all that is derived from the rows, as a careful attacker would.
    pub(crate) fn rebuild(&mut self) {
        self.nodes.clear();
        self.frontier = Frontier::new();
        for row in &mut self.rows {
            row.leaf_hash = leaf_hash(&row.entry);
            self.nodes.extend(self.frontier.append(row.leaf_hash));
        }
    }

    /// The frontier when the log had `size` rows.
    pub(crate) fn frontier_at(&self, size: u64) -> Frontier {
        let mut frontier = Frontier::new();
        for row in &self.rows[..size as usize] {
            frontier.append(row.leaf_hash);
        }
        frontier
    }

    pub(crate) fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::of(ORIGIN, &self.frontier_at(size))
    }

    /// Every full tile as a store would keep it.
    pub(crate) fn tiles(&self) -> Vec<(u8, u64, Vec<u8>)> {
        let full = |node: &CompletedNode| {
            let (level, index) = (node.level - 1, node.index);
            (level, index, tile_bytes(level, index, TILE_WIDTH, self).unwrap())
        };
        self.nodes.iter().map(full).collect()
    }

    /// What a pass says about the rows, nodes and these tiles.
    pub(crate) fn verify_tiles(&self, tiles: &[(u8, u64, Vec<u8>)]) -> Option<Problem> {
        let mut verifier = Verifier::new(Vec::new());
        for (level, index, bytes) in tiles {
            verifier.push_tile(*level, *index, bytes.clone());
        }
        for node in &self.nodes {
            verifier.push_node(*node);
        }
        for row in &self.rows {
            verifier.push(row);
        }
        verifier.finish(&self.frontier).problem
    }

    pub(crate) fn verify(&self, outside: &[Checkpoint]) -> Report {
        self.verify_with(outside, &[])
    }

    /// One pass with the nodes pushed before their rows, in the order of the rows they cover.
    pub(crate) fn verify_with(&self, outside: &[Checkpoint], stored: &[Checkpoint]) -> Report {
        let mut verifier = Verifier::new(outside.to_vec()).with_stored_checkpoints(stored.to_vec());
        for node in &self.nodes {
            verifier.push_node(*node);
        }
        for row in &self.rows {
            verifier.push(row);
        }
        let report = verifier.finish(&self.frontier);
        assert_eq!(report.problem.is_some(), self.verify_nodes_last(outside, stored));
        report
    }

    /// The same with the nodes after the rows: whether something is wrong must not depend on it.
    fn verify_nodes_last(&self, outside: &[Checkpoint], stored: &[Checkpoint]) -> bool {
        let mut verifier = Verifier::new(outside.to_vec()).with_stored_checkpoints(stored.to_vec());
        for row in &self.rows {
            verifier.push(row);
        }
        for node in &self.nodes {
            verifier.push_node(*node);
        }
        !verifier.finish(&self.frontier).is_sound()
    }
}

impl HashSource for Log {
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Error> {
        let found = match level {
            0 => self.rows.get(index as usize).map(|row| row.leaf_hash),
            _ => self
                .nodes
                .iter()
                .find(|node| (node.level, node.index) == (level, index))
                .map(|node| node.hash),
        };
        found.ok_or(Error::MissingHash { level, index })
    }
}

pub(crate) fn row(index: u64, word: &str) -> Row {
    let parts = EntryParts {
        at: format!("2026-03-01T10:{:02}:{:02}.000Z", index / 60 % 60, index % 60),
        tenant: "tenant".into(),
        kind: if index.is_multiple_of(2) { EntryKind::INTENT } else { EntryKind::OUTCOME },
        subject: format!("act_{}", index / 2),
    };
    let mut salt = [7; 32];
    salt[..8].copy_from_slice(&index.to_be_bytes());
    new_row(index, parts, format!("{{\"n\":{index},\"word\":\"{word}\"}}").as_bytes(), salt)
        .unwrap()
}
