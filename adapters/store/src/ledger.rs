//! The rows a batch appends, computed from the stored frontier; pure but for the salts.

use oag_ledger::{
    CompletedNode, EntryKind, EntryParts, Frontier, Hash, HashRange, KnownHashes, Row, TILE_WIDTH,
    inclusion_ranges, new_row, new_salt, tile_hashes,
};
use oag_store_port::{LedgerAppend, ProofParts, StoreError};
use oag_types::{Tenant, Timestamp};

/// What an append changes.
pub(crate) struct Extension {
    /// The new rows with their kind and subject.
    pub(crate) rows: Vec<NewRow>,
    /// Subtrees that became complete.
    pub(crate) nodes: Vec<CompletedNode>,
    /// The frontier after it.
    pub(crate) frontier: Frontier,
}

/// A row about to be stored.
pub(crate) struct NewRow {
    pub(crate) index: u64,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) entry: Vec<u8>,
    pub(crate) leaf_hash: Hash,
    pub(crate) salt: Vec<u8>,
    pub(crate) payload: String,
}

/// A stored row as the databases give it.
pub(crate) struct StoredRow {
    pub(crate) index: i64,
    pub(crate) entry: Vec<u8>,
    pub(crate) leaf_hash: Vec<u8>,
    pub(crate) salt: Option<Vec<u8>>,
    pub(crate) payload: Option<String>,
}

/// The frontier as it is stored (`None`: empty).
pub(crate) fn frontier(stored: Option<&[u8]>) -> Result<Frontier, StoreError> {
    let parsed = stored.map(Frontier::parse).transpose();
    Ok(parsed.map_err(|error| broken(&error))?.unwrap_or_default())
}

/// Extends the tree with this frontier by `appends`.
pub(crate) fn extend(
    mut frontier: Frontier,
    tenant: &Tenant,
    at: Timestamp,
    appends: &[LedgerAppend],
) -> Result<Extension, StoreError> {
    let mut rows = Vec::with_capacity(appends.len());
    let mut nodes = Vec::new();
    for append in appends {
        let kind = EntryKind::new(append.kind.as_str())
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let parts = EntryParts {
            at: at.to_string(),
            tenant: tenant.as_str().to_owned(),
            kind,
            subject: append.subject.clone(),
        };
        let salt = new_salt().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let row = new_row(frontier.size(), parts, append.payload.as_bytes(), salt)
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        nodes.extend(frontier.append(row.leaf_hash));
        rows.push(NewRow {
            index: row.index,
            kind: append.kind.clone(),
            subject: append.subject.clone(),
            entry: row.entry,
            leaf_hash: row.leaf_hash,
            salt: salt.to_vec(),
            payload: append.payload.clone(),
        });
    }
    Ok(Extension { rows, nodes, frontier })
}

/// The row as the ledger knows it.
pub(crate) fn row(stored: StoredRow) -> Result<Row, StoreError> {
    Ok(Row {
        index: crate::check::from_db(stored.index),
        entry: stored.entry,
        leaf_hash: hash(&stored.leaf_hash)?,
        salt: stored.salt,
        payload: stored.payload.map(String::into_bytes),
    })
}

/// A node as the ledger knows it.
pub(crate) fn node(level: u8, index: i64, bytes: &[u8]) -> Result<CompletedNode, StoreError> {
    Ok(CompletedNode { level, index: crate::check::from_db(index), hash: hash(bytes)? })
}

/// The full tile that a range of hashes lies in: level and index.
pub(crate) fn tile_of(range: HashRange) -> (u8, u64) {
    (range.level, range.start / u64::from(TILE_WIDTH))
}

/// The hashes of a range from the content of its tile.
pub(crate) fn part(tile: &[u8], range: HashRange) -> Result<Vec<Hash>, StoreError> {
    let from = range.start % u64::from(TILE_WIDTH) * 32;
    let until = from.saturating_add(range.count.saturating_mul(32)).min(tile.len() as u64);
    let bytes = usize::try_from(from).ok().zip(usize::try_from(until).ok());
    let bytes = bytes.and_then(|(from, until)| tile.get(from..until)).unwrap_or_default();
    tile_hashes(bytes).map_err(|error| broken(&error))
}

/// What the right edge of a tree tells, and what a proof of a row in it needs besides.
pub(crate) fn wanted(
    index: u64,
    frontier: &Frontier,
) -> Result<(KnownHashes, Vec<HashRange>), StoreError> {
    let known = KnownHashes::along(frontier);
    let ranges = inclusion_ranges(index, frontier.size()).map_err(|error| broken(&error))?;
    let missing = known.missing(ranges);
    Ok((known, missing))
}

/// A row with its proof's hashes, those of the ranges in their order.
pub(crate) fn proof(
    row: Row,
    frontier: Frontier,
    mut hashes: KnownHashes,
    found: impl Iterator<Item = (HashRange, Vec<Hash>)>,
) -> ProofParts {
    for (range, list) in found {
        hashes.insert_range(range, list);
    }
    ProofParts { row, frontier, hashes }
}

/// A hash as it is stored.
pub(crate) fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    Hash::from_slice(bytes).map_err(|error| broken(&error))
}

/// The frontier of a tenant that has appended nothing.
pub(crate) fn empty_frontier() -> Vec<u8> {
    Frontier::new().to_bytes()
}

fn broken(error: &oag_ledger::Error) -> StoreError {
    StoreError::Unavailable(format!("the stored ledger is damaged: {error}"))
}
