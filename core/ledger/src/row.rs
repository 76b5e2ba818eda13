//! What a store keeps for one entry.

use aws_lc_rs::rand;

use crate::{Entry, EntryParts, Error, Hash, leaf_hash, payload_digest};

/// One row of a stored log.
///
/// `entry` and `leaf_hash` never change. `salt` and `payload` are erased together or not at all;
/// an erased row still proves that something was recorded, and when, by whom and about what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The position in the log, counted from 0 without gaps.
    pub index: u64,
    /// The exact bytes of the [`Entry`].
    pub entry: Vec<u8>,
    /// `leaf_hash(entry)`, kept beside it: the rows' hashes are the tiles of level 0.
    pub leaf_hash: Hash,
    /// The 32 random bytes before the payload; `None` once erased.
    pub salt: Option<Vec<u8>>,
    /// The payload the entry commits to; `None` once erased.
    pub payload: Option<Vec<u8>>,
}

/// 32 fresh random bytes for one payload. Never use a salt twice.
///
/// # Errors
/// [`Error::Crypto`] when the system gives no randomness.
pub fn new_salt() -> Result<[u8; 32], Error> {
    let mut salt = [0; 32];
    rand::fill(&mut salt).map_err(|_| Error::Crypto { action: "draw a salt" })?;
    Ok(salt)
}

/// The row for `payload` at `index`; `index` is the size of the log before it.
///
/// # Errors
/// [`Error::Malformed`] when a part of the entry breaks its rule.
pub fn new_row(
    index: u64,
    parts: EntryParts,
    payload: &[u8],
    salt: [u8; 32],
) -> Result<Row, Error> {
    let entry = parts.commit(payload_digest(&salt, payload)).to_bytes()?;
    let leaf_hash = leaf_hash(&entry);
    Ok(Row { index, entry, leaf_hash, salt: Some(salt.to_vec()), payload: Some(payload.to_vec()) })
}

impl Row {
    /// Whether payload and salt are both gone.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.salt.is_none() && self.payload.is_none()
    }

    /// The row without payload and salt. What it proves does not change.
    #[must_use]
    pub fn erased(self) -> Self {
        Self { salt: None, payload: None, ..self }
    }

    /// Reads the entry.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the bytes are not those of an entry.
    pub fn parse_entry(&self) -> Result<Entry, Error> {
        Entry::parse(&self.entry)
    }
}

/// Checks an opened or erased payload against the digest of its entry.
///
/// `Ok(true)` when it is there and matches, `Ok(false)` when both parts are erased.
pub(crate) fn check_payload(
    expected: Hash,
    salt: Option<&[u8]>,
    payload: Option<&[u8]>,
) -> Result<bool, Error> {
    match (salt, payload) {
        (None, None) => Ok(false),
        (Some(salt), Some(payload)) => match <&[u8; 32]>::try_from(salt) {
            Ok(salt) if payload_digest(salt, payload) == expected => Ok(true),
            _ => Err(Error::PayloadMismatch { expected }),
        },
        _ => Err(Error::HalfErased),
    }
}
