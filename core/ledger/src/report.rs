//! What a pass over a log found.

use std::fmt;
use std::ops::Range;

use crate::{Checkpoint, Hash};

/// Who keeps a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The store that is being verified: whoever can rewrite it and holds the key can replace it.
    Store,
    /// Somewhere the store cannot reach: the only thing that shows a consistent rewrite.
    Outside,
}

/// What says that there should be more rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The size kept with the store's frontier, or the one the caller gave.
    Size,
    /// A checkpoint.
    Checkpoint(Held, Checkpoint),
}

/// The first thing wrong with a log. `Display` is one line for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The entry's bytes do not hash to the leaf hash kept beside them: one of the two changed.
    EntryChanged {
        /// The row.
        index: u64,
        /// The hash of the entry as found.
        computed: Hash,
        /// The hash kept beside it.
        kept: Hash,
    },
    /// The hashes agree, but the bytes are not those of an entry.
    EntryMalformed {
        /// The row.
        index: u64,
        /// Which rule they break.
        reason: String,
    },
    /// Payload or salt changed: they do not give the digest in the entry.
    PayloadChanged {
        /// The row.
        index: u64,
    },
    /// Only one of payload and salt is there.
    HalfErased {
        /// The row.
        index: u64,
    },
    /// Rows are not there, while later ones are.
    Missing {
        /// The indexes that are not there.
        rows: Range<u64>,
    },
    /// Two rows stand in each other's place: at `index` stands what belongs to `other`.
    Reordered {
        /// The lower of the two places.
        index: u64,
        /// The other one.
        other: u64,
    },
    /// A row came twice.
    Repeated {
        /// Its index.
        index: u64,
    },
    /// The tail is gone: there are fewer rows than something says.
    Truncated {
        /// How many rows there are.
        rows: u64,
        /// How many there should be.
        claimed: u64,
        /// Who says so.
        by: Claim,
    },
    /// There are rows beyond the size kept with the frontier.
    Surplus {
        /// The rows beyond it.
        rows: Range<u64>,
    },
    /// A stored tile node is not the hash of the rows it covers: those rows, with their hashes,
    /// were rewritten or the node was.
    NodeMismatch {
        /// The tile level.
        level: u8,
        /// The position within it.
        index: u64,
        /// The rows it covers.
        rows: Range<u64>,
    },
    /// The node of a full tile is not stored.
    NodeMissing {
        /// The tile level.
        level: u8,
        /// The position within it.
        index: u64,
        /// The rows it covers.
        rows: Range<u64>,
    },
    /// A tile node is stored for rows of which not all are there.
    NodeUnexpected {
        /// The tile level.
        level: u8,
        /// The position within it.
        index: u64,
        /// The rows it covers.
        rows: Range<u64>,
    },
    /// A stored tile is not made of the hashes of its rows: they were rewritten, or it was.
    TileMismatch {
        /// The tile level.
        level: u8,
        /// The position within it.
        index: u64,
        /// The rows under the first hash that differs.
        rows: Range<u64>,
    },
    /// A full tile is stored for rows of which not all are there.
    TileUnexpected {
        /// The tile level.
        level: u8,
        /// The position within it.
        index: u64,
        /// The rows it covers.
        rows: Range<u64>,
    },
    /// The stored frontier is not that of the rows: they or it were rewritten.
    FrontierMismatch {
        /// The rows under the first node that differs.
        rows: Range<u64>,
    },
    /// The rows are not those a checkpoint was signed over. When it is held outside and nothing
    /// else is wrong, the log was rewritten consistently.
    CheckpointMismatch {
        /// Who keeps the checkpoint.
        held: Held,
        /// The last checkpoint of that keeper that still matches; rows below its size are intact.
        last_match: Option<Checkpoint>,
        /// The first that does not.
        first_fail: Checkpoint,
    },
}

impl Problem {
    /// The rows the problem lies in: one row where it can be told, else the smallest range known.
    #[must_use]
    pub fn rows(&self) -> Range<u64> {
        match self {
            Self::EntryChanged { index, .. }
            | Self::EntryMalformed { index, .. }
            | Self::PayloadChanged { index }
            | Self::HalfErased { index }
            | Self::Reordered { index, .. }
            | Self::Repeated { index } => *index..*index + 1,
            Self::Truncated { rows, claimed, .. } => *rows..*claimed,
            Self::Missing { rows }
            | Self::Surplus { rows }
            | Self::NodeMismatch { rows, .. }
            | Self::NodeMissing { rows, .. }
            | Self::NodeUnexpected { rows, .. }
            | Self::TileMismatch { rows, .. }
            | Self::TileUnexpected { rows, .. }
            | Self::FrontierMismatch { rows } => rows.clone(),
            Self::CheckpointMismatch { last_match, first_fail, .. } => {
                last_match.as_ref().map_or(0, |checkpoint| checkpoint.size)..first_fail.size
            }
        }
    }

    /// Problems are ordered by where they are certain to have shown, the narrower first: a changed
    /// row comes before the node over it, and a node before a row behind it.
    pub(crate) fn precedence(&self) -> (u64, u64) {
        let rows = self.rows();
        match self {
            Self::Missing { .. } | Self::Truncated { .. } | Self::Surplus { .. } => {
                (rows.start + 1, 1)
            }
            _ => (rows.end, rows.end.saturating_sub(rows.start)),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EntryChanged { index, .. } => {
                write!(out, "row {index} changed: its entry does not give its leaf hash")
            }
            Self::EntryMalformed { index, reason } => {
                write!(out, "row {index} is not an entry: {reason}")
            }
            Self::PayloadChanged { index } => {
                write!(out, "row {index} changed: payload and salt do not give its digest")
            }
            Self::HalfErased { index } => {
                write!(out, "row {index} is half erased: only payload or only salt is there")
            }
            Self::Missing { rows } => write!(out, "missing: {}", span(rows)),
            Self::Reordered { index, other } => {
                write!(out, "reordered: in place {index} stands row {other}")
            }
            Self::Repeated { index } => write!(out, "row {index} is there twice"),
            Self::Truncated { rows, claimed, by } => {
                let by = match by {
                    Claim::Size => "the stored size".to_owned(),
                    Claim::Checkpoint(held, _) => format!("a checkpoint {}", place(*held)),
                };
                write!(out, "truncated: {rows} rows, but {by} says {claimed}")
            }
            Self::Surplus { rows } => write!(out, "beyond the stored size: {}", span(rows)),
            Self::NodeMismatch { level, index, rows } => {
                write!(out, "rewritten: tile node {level}/{index} is not that of {}", span(rows))
            }
            Self::NodeMissing { level, index, rows } => {
                write!(out, "tile node {level}/{index} over {} is not stored", span(rows))
            }
            Self::NodeUnexpected { level, index, rows } => {
                write!(out, "tile node {level}/{index} is stored without all {}", span(rows))
            }
            Self::TileMismatch { level, index, rows } => {
                write!(out, "rewritten: tile {level}/{index} is not that of {}", span(rows))
            }
            Self::TileUnexpected { level, index, rows } => {
                write!(out, "tile {level}/{index} is stored without all {}", span(rows))
            }
            Self::FrontierMismatch { rows } => {
                write!(out, "rewritten: the frontier is not that of {}", span(rows))
            }
            Self::CheckpointMismatch { held, last_match, first_fail } => {
                let (held, size) = (place(*held), first_fail.size);
                write!(out, "rewritten: the checkpoint {held} at {size} does not match, ")?;
                match last_match {
                    Some(last) => write!(out, "the last that does is at {}", last.size),
                    None => out.write_str("and none before it does"),
                }
            }
        }
    }
}

fn span(rows: &Range<u64>) -> String {
    match rows.end.saturating_sub(rows.start) {
        1 => format!("row {}", rows.start),
        _ => format!("rows {} to {}", rows.start, rows.end.saturating_sub(1)),
    }
}

fn place(held: Held) -> &'static str {
    match held {
        Held::Store => "in the store",
        Held::Outside => "held outside",
    }
}

/// The outcome of a pass over a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rows seen.
    pub rows: u64,
    /// Of those, rows whose payload and salt are erased.
    pub erased: u64,
    /// The root recomputed over all rows; `None` when rows were missing or out of order.
    pub root: Option<Hash>,
    /// Checkpoints, of either keeper, that match.
    pub checkpoints_matched: u64,
    /// The last checkpoint held outside that matches, before any that fails: what came before it
    /// is what it was when that checkpoint was signed.
    pub last_match: Option<Checkpoint>,
    /// The first checkpoint held outside that fails. Together with `last_match`: the rewrite lies
    /// in the rows from `last_match.size` up to `first_fail.size`.
    pub first_fail: Option<Checkpoint>,
    /// The first thing wrong; `None` when the log is sound.
    pub problem: Option<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problem.is_none()
    }
}
