//! The hashing of RFC 6962 section 2.1 (the same as RFC 9162 section 2.1.1), with SHA-256.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::Error;

/// A SHA-256 hash. Shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// The root of a tree without entries: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    hash_parts(&[&[0x00], entry])
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let mut bytes = [0x01; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash::from_digest(digest(&SHA256, &bytes).as_ref())
}

/// What an entry commits to instead of its payload: `SHA-256(salt || payload)`.
///
/// The salt keeps a payload that could be guessed from being confirmed by its digest once it is
/// erased.
#[must_use]
pub fn payload_digest(salt: &[u8; 32], payload: &[u8]) -> Hash {
    hash_parts(&[salt, payload])
}

pub(crate) fn hash_parts(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    Hash::from_digest(context.finish().as_ref())
}

impl Hash {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 32 bytes, for a column of a store.
    ///
    /// # Errors
    /// [`Error::Malformed`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        <[u8; 32]>::try_from(bytes)
            .map(Self)
            .map_err(|_| Error::malformed("hash", format!("{} bytes, not 32", bytes.len())))
    }

    /// Reads 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything else, upper case included.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Error::malformed("hash", "upper-case hexadecimal"));
        }
        let bytes =
            hex::decode(text).map_err(|error| Error::malformed("hash", error.to_string()))?;
        Self::from_slice(&bytes)
    }

    /// Standard base64 with padding, as a checkpoint writes its root.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] writes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything else.
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        let bytes =
            STANDARD.decode(text).map_err(|error| Error::malformed("hash", error.to_string()))?;
        Self::from_slice(&bytes)
    }

    fn from_digest(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(bytes);
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(hash_parts(&[]), EMPTY_ROOT);
    }

    #[test]
    fn leaf_and_node_hashes_are_those_of_the_reference_tests() {
        assert_eq!(
            leaf_hash(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            node_hash(leaf_hash(b""), leaf_hash(&[0])).to_string(),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }

    #[test]
    fn texts_round_trip_and_odd_ones_are_refused() {
        let hash = leaf_hash(b"x");
        assert_eq!(Hash::from_hex(&hash.to_string()).unwrap(), hash);
        assert_eq!(Hash::from_base64(&hash.to_base64()).unwrap(), hash);
        Hash::from_hex(&hash.to_string().to_uppercase()).unwrap_err();
        Hash::from_hex("00").unwrap_err();
        Hash::from_base64("AAAA").unwrap_err();
        Hash::from_slice(&[0; 31]).unwrap_err();
    }
}
