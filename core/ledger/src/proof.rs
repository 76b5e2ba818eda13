//! Inclusion and consistency proofs: made as RFC 6962 section 2.1 defines them, checked as RFC
//! 9162 sections 2.1.3.2 and 2.1.4.2 do.

use crate::tile::Span;
use crate::{EMPTY_ROOT, Error, Hash, HashRange, HashSource, node_hash};

/// The hashes that lead from the leaf at `index` to the root of the first `size` entries, the
/// leaf's neighbour first.
///
/// # Errors
/// [`Error::OutOfRange`] unless `index < size`, and what the source answers.
pub fn inclusion_proof(
    index: u64,
    size: u64,
    source: &impl HashSource,
) -> Result<Vec<Hash>, Error> {
    inclusion_spans(index, size)?.into_iter().map(|span| span.root(source)).collect()
}

/// What [`inclusion_proof`] will ask its source for, so that it can be fetched beforehand.
///
/// # Errors
/// [`Error::OutOfRange`] unless `index < size`.
pub fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<HashRange>, Error> {
    Ok(ranges(inclusion_spans(index, size)?))
}

/// The hashes that show the first `old` of `new` entries to be the tree of `old` entries. Empty
/// when `old` is 0 or equals `new`.
///
/// # Errors
/// [`Error::OutOfRange`] when `old > new`, and what the source answers.
pub fn consistency_proof(old: u64, new: u64, source: &impl HashSource) -> Result<Vec<Hash>, Error> {
    consistency_spans(old, new)?.into_iter().map(|span| span.root(source)).collect()
}

/// What [`consistency_proof`] will ask its source for.
///
/// # Errors
/// [`Error::OutOfRange`] when `old > new`.
pub fn consistency_ranges(old: u64, new: u64) -> Result<Vec<HashRange>, Error> {
    Ok(ranges(consistency_spans(old, new)?))
}

/// Checks that `leaf` is the hash of entry `index` in the tree of `size` entries with `root`.
///
/// # Errors
/// [`Error::OutOfRange`] unless `index < size`; [`Error::ProofFailed`] when the proof is too
/// short, too long or leads elsewhere.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: Hash,
    proof: &[Hash],
    root: Hash,
) -> Result<(), Error> {
    if index >= size {
        return Err(Error::OutOfRange { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(Error::ProofFailed { reason: "the inclusion proof is too long" });
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(*sibling, hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(hash, *sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(Error::ProofFailed { reason: "the inclusion proof is too short" });
    }
    if hash != root {
        return Err(Error::ProofFailed { reason: "the inclusion proof leads to another root" });
    }
    Ok(())
}

/// Checks that the tree of `new` entries with `new_root` begins with the tree of `old` entries
/// with `old_root`: nothing was changed, removed or put in between.
///
/// # Errors
/// [`Error::OutOfRange`] when `old > new`; [`Error::ProofFailed`] when the proof is too short, too
/// long or leads elsewhere.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: Hash,
    new_root: Hash,
) -> Result<(), Error> {
    if old > new {
        return Err(Error::OutOfRange { index: old, size: new });
    }
    if old == 0 || old == new {
        let expected = if old == 0 { EMPTY_ROOT } else { new_root };
        let holds = proof.is_empty() && old_root == expected && (new > 0 || new_root == EMPTY_ROOT);
        return if holds {
            Ok(())
        } else {
            Err(Error::ProofFailed { reason: "equal or empty trees need equal roots and no proof" })
        };
    }
    let mut hashes = proof.iter().copied();
    let seed = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let Some(seed) = seed else {
        return Err(Error::ProofFailed { reason: "the consistency proof is empty" });
    };
    let (old_computed, new_computed) = climb(old, new, seed, hashes)?;
    if old_computed != old_root {
        return Err(Error::ProofFailed { reason: "the consistency proof misses the old root" });
    }
    if new_computed != new_root {
        return Err(Error::ProofFailed { reason: "the consistency proof misses the new root" });
    }
    Ok(())
}

/// Both roots that a consistency proof leads to.
fn climb(
    old: u64,
    new: u64,
    seed: Hash,
    hashes: impl Iterator<Item = Hash>,
) -> Result<(Hash, Hash), Error> {
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (seed, seed);
    for hash in hashes {
        if last == 0 {
            return Err(Error::ProofFailed { reason: "the consistency proof is too long" });
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(hash, old_hash);
            new_hash = node_hash(hash, new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(new_hash, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(Error::ProofFailed { reason: "the consistency proof is too short" });
    }
    Ok((old_hash, new_hash))
}

/// The subtrees beside the path from a leaf to the root, lowest first.
fn inclusion_spans(index: u64, size: u64) -> Result<Vec<Span>, Error> {
    if index >= size {
        return Err(Error::OutOfRange { index, size });
    }
    let mut spans = Vec::new();
    let mut within = Span::new(0, size);
    while within.len() > 1 {
        let middle = split(within);
        let (left, right) = (Span::new(within.start, middle), Span::new(middle, within.end));
        let (beside, next) = if index < middle { (right, left) } else { (left, right) };
        spans.push(beside);
        within = next;
    }
    spans.reverse();
    Ok(spans)
}

/// The subtrees of a consistency proof, lowest first.
fn consistency_spans(old: u64, new: u64) -> Result<Vec<Span>, Error> {
    if old > new {
        return Err(Error::OutOfRange { index: old, size: new });
    }
    let mut spans = Vec::new();
    if old == 0 || old == new {
        return Ok(spans);
    }
    let mut within = Span::new(0, new);
    while within.end != old {
        let middle = split(within);
        let (left, right) = (Span::new(within.start, middle), Span::new(middle, within.end));
        let (beside, next) = if old <= middle { (right, left) } else { (left, right) };
        spans.push(beside);
        within = next;
    }
    if within.start != 0 {
        spans.push(within);
    }
    spans.reverse();
    Ok(spans)
}

/// Where a tree over the span divides: after the largest power of two below its length.
fn split(span: Span) -> u64 {
    span.start + (1 << (span.len() - 1).ilog2())
}

fn ranges(spans: Vec<Span>) -> Vec<HashRange> {
    spans.into_iter().flat_map(Span::perfect).map(Span::range).collect()
}
