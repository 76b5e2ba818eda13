//! What can go wrong, one variant per decision a caller can make.

use crate::Hash;

/// Every failure of this crate.
///
/// A [`Verifier`](crate::Verifier) does not fail: what it finds wrong with a log is a
/// [`Problem`](crate::Problem) inside a [`Report`](crate::Report).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes or text that are not in the format they claim: do not use them.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// The thing read: `entry`, `frontier`, `note`, `checkpoint`, `key`, `hash`, `bundle`.
        what: &'static str,
        /// Which rule it breaks.
        reason: String,
    },
    /// An index or size outside the tree: ask for something that exists.
    #[error("index {index} is outside a tree of {size} entries")]
    OutOfRange {
        /// The index or size asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The note carries no signature by the key it was opened with.
    #[error("the note is not signed by {name}")]
    NotSigned {
        /// The name of the key looked for.
        name: String,
    },
    /// A signature by the known key does not verify: the text was altered or forged.
    #[error("the signature of {name} does not match the note")]
    BadSignature {
        /// The name of the key.
        name: String,
    },
    /// The checkpoint belongs to another log.
    #[error("the checkpoint is of {found}, the key is of {expected}")]
    WrongOrigin {
        /// The name of the key.
        expected: String,
        /// The origin line of the checkpoint.
        found: String,
    },
    /// A proof does not lead to the root: the statement it was given for is not proven.
    #[error("the proof does not hold: {reason}")]
    ProofFailed {
        /// Which step failed.
        reason: &'static str,
    },
    /// Payload and salt do not give the digest the entry commits to.
    #[error("payload and salt do not give the digest {expected} of the entry")]
    PayloadMismatch {
        /// The digest inside the entry.
        expected: Hash,
    },
    /// Only one of payload and salt is there; erasing takes both.
    #[error("only one of payload and salt is present")]
    HalfErased,
    /// A hash the tree needs is not in the source.
    #[error("the source has no hash {index} at tile level {level}")]
    MissingHash {
        /// The tile level; 0 is the leaf hashes.
        level: u8,
        /// The position within that level.
        index: u64,
    },
    /// The source of hashes failed.
    #[error("the source of hashes failed")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cryptographic library refused: a key it does not accept, or no randomness.
    #[error("the cryptographic library refused to {action}")]
    Crypto {
        /// What was asked of it.
        action: &'static str,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed { what, reason: reason.into() }
    }
}
