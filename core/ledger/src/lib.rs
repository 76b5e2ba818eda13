//! The tamper-evident log: a tiled Merkle tree over entries, signed checkpoints, proofs and the
//! pass that checks a whole stored log.
//!
//! Owns: the bytes of an entry and what they commit to ([`Entry`], [`Row`]), the hashing of RFC
//! 6962 / RFC 9162 ([`leaf_hash`], [`node_hash`]), the running state of an append-only tree
//! ([`Frontier`]), the tile layout of C2SP tlog-tiles ([`tile_path`], [`HashSource`]), checkpoints
//! in the C2SP tlog-checkpoint and signed-note formats ([`Checkpoint`], [`SigningKey`],
//! [`VerifierKey`]), inclusion and consistency proofs, the streaming [`Verifier`] and the
//! [`ProofBundle`] a third party can check alone.
//!
//! Refuses: I/O, async, clocks, threads, SQL and HTTP. It never decides when to sign, where a
//! checkpoint is sent or who may erase a payload, and it never rewrites bytes it was given: an
//! entry that is not byte for byte what this crate would write is malformed. Cryptography is
//! aws-lc-rs only.
//!
//! `docs/ledger.md` says what the log proves, what it does not, and how to check a proof by hand.

mod bundle;
mod checkpoint;
mod entry;
mod error;
mod frontier;
mod hash;
mod note;
mod proof;
mod report;
mod row;
mod tile;
mod tiles;
mod tracks;
mod verify;

pub use bundle::{ProofBundle, Proven};
pub use checkpoint::Checkpoint;
pub use entry::{Entry, EntryKind, EntryParts};
pub use error::Error;
pub use frontier::{CompletedNode, Frontier};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, payload_digest};
pub use note::{SigningKey, VerifierKey};
pub use proof::{
    consistency_proof, consistency_ranges, inclusion_proof, inclusion_ranges, verify_consistency,
    verify_inclusion,
};
pub use report::{Claim, Held, Problem, Report};
pub use row::{Row, new_row, new_salt};
pub use tile::{
    HashRange, HashSource, KnownHashes, TILE_WIDTH, entries_path, entry_bundle, tile_bytes,
    tile_hashes, tile_path, tile_width,
};
pub use verify::Verifier;
