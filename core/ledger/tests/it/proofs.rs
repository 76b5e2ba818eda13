//! Proofs of random trees against the recursive definitions of RFC 6962 section 2.1.

use std::sync::LazyLock;

use oag_ledger::{
    EMPTY_ROOT, Error, Hash, HashRange, HashSource, KnownHashes, consistency_proof,
    consistency_ranges, inclusion_proof, inclusion_ranges, node_hash, tile_bytes, tile_width,
    verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

use crate::log::Log;

const SIZE_MAX: u64 = 1500;
static LOG: LazyLock<Log> = LazyLock::new(|| Log::new(SIZE_MAX));

fn leaves(size: u64) -> Vec<Hash> {
    LOG.rows[..size as usize].iter().map(|row| row.leaf_hash).collect()
}

/// The largest power of two below `length`.
fn split(length: usize) -> usize {
    length.next_power_of_two() / 2
}

/// MTH
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(naive_root(left), naive_root(right))
        }
    }
}

/// PATH
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut path, beside) = if index < middle {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - middle, right), naive_root(left))
    };
    path.push(beside);
    path
}

/// SUBPROOF
fn naive_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut proof, beside) = if old <= middle {
        (naive_subproof(old, left, whole), naive_root(right))
    } else {
        (naive_subproof(old - middle, right, false), naive_root(left))
    };
    proof.push(beside);
    proof
}

/// Only the hashes of `ranges`, as an asynchronous store would have fetched them.
fn fetched(ranges: Vec<HashRange>) -> KnownHashes {
    let mut known = KnownHashes::new();
    for range in ranges {
        assert!(range.count <= 128, "more than half a tile");
        assert_eq!(range.start / 256, (range.start + range.count - 1) / 256, "across two tiles");
        for (offset, hash) in LOG.range(range).unwrap().into_iter().enumerate() {
            known.insert(range.level, range.start + offset as u64, hash);
        }
    }
    known
}

fn altered(proof: &[Hash], at: usize) -> Vec<Hash> {
    let mut proof = proof.to_vec();
    proof[at].0[at % 32] ^= 1;
    proof
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn inclusion(size in 1..=SIZE_MAX, at in any::<prop::sample::Index>()) {
        let index = at.index(size as usize) as u64;
        let leaves = leaves(size);
        let (leaf, root) = (leaves[index as usize], naive_root(&leaves));
        let proof = inclusion_proof(index, size, &*LOG).unwrap();
        prop_assert_eq!(&proof, &naive_path(index as usize, &leaves));
        let known = fetched(inclusion_ranges(index, size).unwrap());
        prop_assert_eq!(&inclusion_proof(index, size, &known).unwrap(), &proof);
        verify_inclusion(index, size, leaf, &proof, root).unwrap();

        // With the right edge at hand only tiles that hold the entry's own path are read.
        let mut known = KnownHashes::along(&LOG.frontier_at(size));
        for range in known.missing(inclusion_ranges(index, size).unwrap()) {
            let tile = index >> (8 * (u32::from(range.level) + 1));
            prop_assert_eq!(range.start / 256, tile);
            known.insert_range(range, LOG.range(range).unwrap());
        }
        prop_assert_eq!(&inclusion_proof(index, size, &known).unwrap(), &proof);

        for at in 0..proof.len() {
            verify_inclusion(index, size, leaf, &altered(&proof, at), root).unwrap_err();
            verify_inclusion(index, size, leaf, &proof[..at], root).unwrap_err();
        }
        let longer = [proof.as_slice(), &[root]].concat();
        verify_inclusion(index, size, leaf, &longer, root).unwrap_err();
        verify_inclusion(index, size, EMPTY_ROOT, &proof, root).unwrap_err();
        verify_inclusion(index, size, leaf, &proof, EMPTY_ROOT).unwrap_err();
        if size > 1 {
            verify_inclusion((index + 1) % size, size, leaf, &proof, root).unwrap_err();
        }
    }

    #[test]
    fn consistency(new in 1..=SIZE_MAX, at in any::<prop::sample::Index>()) {
        let old = at.index(new as usize + 1) as u64;
        let (old_leaves, new_leaves) = (leaves(old), leaves(new));
        let (old_root, new_root) = (naive_root(&old_leaves), naive_root(&new_leaves));
        let proof = consistency_proof(old, new, &*LOG).unwrap();
        if old > 0 {
            prop_assert_eq!(&proof, &naive_subproof(old as usize, &new_leaves, true));
        }
        let known = fetched(consistency_ranges(old, new).unwrap());
        prop_assert_eq!(&consistency_proof(old, new, &known).unwrap(), &proof);
        verify_consistency(old, new, &proof, old_root, new_root).unwrap();

        for at in 0..proof.len() {
            verify_consistency(old, new, &altered(&proof, at), old_root, new_root).unwrap_err();
            verify_consistency(old, new, &proof[..at], old_root, new_root).unwrap_err();
        }
        let longer = [proof.as_slice(), &[new_root]].concat();
        verify_consistency(old, new, &longer, old_root, new_root).unwrap_err();
        let other = node_hash(old_root, new_root);
        verify_consistency(old, new, &proof, other, new_root).unwrap_err();
        // From the empty tree every tree is an extension.
        if old > 0 {
            verify_consistency(old, new, &proof, old_root, other).unwrap_err();
        }
    }
}

#[test]
fn every_small_tree() {
    for size in 1..=40_u64 {
        let leaves = leaves(size);
        let root = naive_root(&leaves);
        for index in 0..size {
            let proof = inclusion_proof(index, size, &*LOG).unwrap();
            assert_eq!(proof, naive_path(index as usize, &leaves));
            verify_inclusion(index, size, leaves[index as usize], &proof, root).unwrap();
            let old_root = naive_root(&leaves[..index as usize]);
            let proof = consistency_proof(index, size, &*LOG).unwrap();
            verify_consistency(index, size, &proof, old_root, root).unwrap();
        }
    }
}

#[test]
fn indexes_outside_the_tree_are_refused() {
    let outside = |result: Result<_, Error>| matches!(result, Err(Error::OutOfRange { .. }));
    assert!(outside(inclusion_proof(5, 5, &*LOG).map(drop)));
    assert!(outside(inclusion_ranges(0, 0).map(drop)));
    assert!(outside(consistency_proof(6, 5, &*LOG).map(drop)));
    assert!(outside(verify_inclusion(5, 5, EMPTY_ROOT, &[], EMPTY_ROOT)));
    assert!(outside(verify_consistency(6, 5, &[], EMPTY_ROOT, EMPTY_ROOT)));
    assert!(matches!(
        inclusion_proof(0, SIZE_MAX + 2, &*LOG),
        Err(Error::MissingHash { level: 0, .. })
    ));
}

#[test]
fn the_empty_tree_is_consistent_only_with_itself_as_empty() {
    let root = naive_root(&leaves(3));
    verify_consistency(0, 0, &[], EMPTY_ROOT, EMPTY_ROOT).unwrap();
    verify_consistency(0, 3, &[], EMPTY_ROOT, root).unwrap();
    verify_consistency(0, 0, &[], root, root).unwrap_err();
    verify_consistency(0, 3, &[], root, root).unwrap_err();
    verify_consistency(3, 3, &[root], root, root).unwrap_err();
}

#[test]
fn tiles_hold_the_hashes_of_the_levels() {
    let full = tile_bytes(0, 1, tile_width(0, 1, SIZE_MAX), &*LOG).unwrap();
    assert_eq!(full.len(), 8192);
    assert_eq!(full[..32], LOG.rows[256].leaf_hash.0);
    let upper = tile_bytes(1, 0, tile_width(1, 0, SIZE_MAX), &*LOG).unwrap();
    assert_eq!(upper.len(), 5 * 32);
    assert_eq!(upper[32..64], naive_root(&leaves(512)[256..]).0);
}
