//! One way of tampering at a time, and exactly what the pass says about it.

use oag_ledger::{
    Claim, CompletedNode, Frontier, Held, Problem, SigningKey, Verifier, inclusion_proof,
    verify_inclusion,
};

use crate::log::{Log, ORIGIN, row};

const SIZE: u64 = 700;

fn problem(log: &Log) -> Option<Problem> {
    log.verify(&[]).problem
}

#[test]
fn an_untouched_log_is_sound_at_every_size_around_a_tile() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 513, SIZE] {
        let log = Log::new(size);
        let held = [log.checkpoint(0), log.checkpoint(size), log.checkpoint(size / 2)];
        let report = log.verify_with(&held, &held[1..]);
        assert_eq!(report.problem, None);
        assert_eq!((report.rows, report.erased), (size, 0));
        assert_eq!(report.root, Some(log.frontier.root()));
        assert_eq!(report.checkpoints_matched, 5);
        assert_eq!(report.last_match, Some(log.checkpoint(size)));
        assert_eq!(report.first_fail, None);
    }
}

#[test]
fn tile_nodes_of_the_second_level_are_compared() {
    let mut log = Log::new(65_600);
    assert_eq!(problem(&log), None);
    let node = log.nodes.iter_mut().find(|node| node.level == 2).unwrap();
    node.hash.0[0] ^= 1;
    let expected = Problem::NodeMismatch { level: 2, index: 0, rows: 0..65_536 };
    assert_eq!(problem(&log), Some(expected));
}

#[test]
fn a_changed_entry_or_leaf_hash_is_named() {
    let mut log = Log::new(SIZE);
    let place = log.rows[300].entry.iter().position(|byte| *byte == b'i').unwrap();
    log.rows[300].entry[place] = b'I';
    assert!(matches!(problem(&log), Some(Problem::EntryChanged { index: 300, .. })));
    let mut log = Log::new(SIZE);
    log.rows[12].leaf_hash.0[31] ^= 1;
    assert!(matches!(problem(&log), Some(Problem::EntryChanged { index: 12, .. })));
}

#[test]
fn bytes_that_are_no_entry_are_named_even_when_all_hashes_were_made_to_fit() {
    let mut log = Log::new(SIZE);
    log.rows[5].entry.push(b' ');
    log.rebuild();
    assert!(matches!(problem(&log), Some(Problem::EntryMalformed { index: 5, .. })));
}

#[test]
fn a_changed_payload_or_salt_is_named_and_a_half_erased_row_too() {
    let mut log = Log::new(SIZE);
    log.rows[699].payload = Some(b"other".to_vec());
    assert_eq!(problem(&log), Some(Problem::PayloadChanged { index: 699 }));
    let mut log = Log::new(SIZE);
    log.rows[0].salt.as_mut().unwrap()[3] ^= 1;
    assert_eq!(problem(&log), Some(Problem::PayloadChanged { index: 0 }));
    log.rows[0].salt.as_mut().unwrap().truncate(31);
    assert_eq!(problem(&log), Some(Problem::PayloadChanged { index: 0 }));
    let mut log = Log::new(SIZE);
    log.rows[8].salt = None;
    assert_eq!(problem(&log), Some(Problem::HalfErased { index: 8 }));
    let mut log = Log::new(SIZE);
    log.rows[9].payload = None;
    assert_eq!(problem(&log), Some(Problem::HalfErased { index: 9 }));
}

#[test]
fn erased_rows_verify_are_counted_and_keep_their_proofs() {
    let mut log = Log::new(SIZE);
    for index in [0, 17, 256, 699] {
        log.rows[index] = log.rows[index].clone().erased();
    }
    let report = log.verify(&[Log::new(SIZE).checkpoint(SIZE)]);
    assert_eq!((report.problem, report.rows, report.erased), (None, SIZE, 4));
    let proof = inclusion_proof(17, SIZE, &log).unwrap();
    verify_inclusion(17, SIZE, log.rows[17].leaf_hash, &proof, log.frontier.root()).unwrap();
}

#[test]
fn removed_rows_are_named() {
    let mut log = Log::new(SIZE);
    log.rows.drain(100..103);
    assert_eq!(problem(&log), Some(Problem::Missing { rows: 100..103 }));
    let mut log = Log::new(SIZE);
    log.rows.remove(0);
    assert_eq!(problem(&log), Some(Problem::Missing { rows: 0..1 }));
}

#[test]
fn a_removed_row_with_the_rest_renumbered_shows_in_its_tile_and_as_a_short_log() {
    let mut log = Log::new(SIZE);
    log.rows.remove(300);
    for (index, row) in log.rows.iter_mut().enumerate() {
        row.index = index as u64;
    }
    let expected = Problem::NodeMismatch { level: 1, index: 1, rows: 256..512 };
    assert_eq!(problem(&log), Some(expected));
    let mut log = Log::new(200);
    log.rows.pop();
    let by = Claim::Size;
    assert_eq!(problem(&log), Some(Problem::Truncated { rows: 199, claimed: 200, by }));
}

#[test]
fn rows_out_of_order_are_named() {
    let mut log = Log::new(SIZE);
    log.rows.swap(10, 400);
    assert_eq!(problem(&log), Some(Problem::Reordered { index: 10, other: 400 }));
    let mut log = Log::new(SIZE);
    let again = log.rows[20].clone();
    log.rows.insert(21, again);
    assert_eq!(problem(&log), Some(Problem::Repeated { index: 20 }));
}

#[test]
fn entries_exchanged_under_their_leaf_hashes_are_named() {
    let mut log = Log::new(SIZE);
    let (low, high) = (log.rows[10].clone(), log.rows[600].clone());
    log.rows[10] = oag_ledger::Row { index: 10, leaf_hash: low.leaf_hash, ..high.clone() };
    log.rows[600] = oag_ledger::Row { index: 600, leaf_hash: high.leaf_hash, ..low };
    assert_eq!(problem(&log), Some(Problem::Reordered { index: 10, other: 600 }));
}

#[test]
fn rows_exchanged_with_their_leaf_hashes_are_named_within_a_tile() {
    for (low, high, log_size) in [(0, 255, SIZE), (300, 301, SIZE), (513, 639, SIZE), (3, 9, 16)] {
        let mut log = Log::new(log_size);
        exchange(&mut log, low, high);
        let expected = Problem::Reordered { index: low as u64, other: high as u64 };
        assert_eq!(problem(&log), Some(expected));
    }
    let mut log = Log::new(SIZE);
    exchange(&mut log, 10, 400);
    let expected = Problem::NodeMismatch { level: 1, index: 0, rows: 0..256 };
    assert_eq!(problem(&log), Some(expected));
}

#[test]
fn a_row_rewritten_with_its_leaf_hash_shows_in_the_node_or_frontier_over_it() {
    let mut log = Log::new(SIZE);
    log.rows[257] = row(257, "rewritten");
    let expected = Problem::NodeMismatch { level: 1, index: 1, rows: 256..512 };
    assert_eq!(problem(&log), Some(expected));
    let mut log = Log::new(SIZE);
    log.rows[690] = row(690, "rewritten");
    // 700 = 512 + 128 + 32 + 16 + 8 + 4
    assert_eq!(problem(&log), Some(Problem::FrontierMismatch { rows: 688..696 }));
}

#[test]
fn stored_nodes_must_be_there_and_no_others() {
    let mut log = Log::new(SIZE);
    log.nodes.remove(0);
    let missing = Problem::NodeMissing { level: 1, index: 0, rows: 0..256 };
    assert_eq!(problem(&log), Some(missing));
    let mut log = Log::new(SIZE);
    log.nodes.push(CompletedNode { level: 200, index: u64::MAX, hash: log.nodes[0].hash });
    assert!(matches!(problem(&log), Some(Problem::NodeUnexpected { level: 200, .. })));
}

#[test]
fn stored_tiles_are_those_of_the_rows() {
    for size in [0, 255, 256, 257, 512, SIZE] {
        let log = Log::new(size);
        assert_eq!(log.tiles().len() as u64, size / 256);
        assert_eq!(log.verify_tiles(&log.tiles()), None);
    }
    // One that is not stored saves nothing and hides nothing.
    let log = Log::new(SIZE);
    assert_eq!(log.verify_tiles(&log.tiles()[1..]), None);
}

#[test]
fn stored_tiles_of_the_second_level_are_compared() {
    let log = Log::new(65_536);
    let mut tiles = log.tiles();
    let high = tiles.iter_mut().find(|(level, ..)| *level == 1).unwrap();
    high.2[3 * 32] ^= 1;
    let expected = Problem::TileMismatch { level: 1, index: 0, rows: 768..1_024 };
    assert_eq!(log.verify_tiles(&tiles), Some(expected));
}

#[test]
fn a_row_and_a_tile_that_disagree_are_named_by_the_row() {
    let log = Log::new(SIZE);
    let mut tiles = log.tiles();
    tiles[1].2[5 * 32 + 7] ^= 1;
    let expected = Problem::TileMismatch { level: 0, index: 1, rows: 261..262 };
    assert_eq!(log.verify_tiles(&tiles), Some(expected));
    tiles[1].2.pop();
    let expected = Problem::TileMismatch { level: 0, index: 1, rows: 256..512 };
    assert_eq!(log.verify_tiles(&tiles), Some(expected));

    let mut log = Log::new(SIZE);
    let tiles = log.tiles();
    log.rows[257] = row(257, "rewritten");
    let expected = Problem::TileMismatch { level: 0, index: 1, rows: 257..258 };
    assert_eq!(log.verify_tiles(&tiles), Some(expected));
    let mut log = Log::new(SIZE);
    exchange(&mut log, 300, 311);
    let expected = Problem::Reordered { index: 300, other: 311 };
    assert_eq!(log.verify_tiles(&tiles), Some(expected));
}

#[test]
fn a_tile_without_all_its_rows_is_named() {
    let whole = Log::new(SIZE);
    let mut log = whole.clone();
    log.rows.truncate(500);
    log.rebuild();
    assert_eq!(log.verify_tiles(&log.tiles()), None);
    let expected = Problem::TileUnexpected { level: 0, index: 1, rows: 256..512 };
    assert_eq!(log.verify_tiles(&whole.tiles()), Some(expected));
    let mut tiles = whole.tiles();
    tiles.push((255, u64::MAX, Vec::new()));
    let found = whole.verify_tiles(&tiles);
    assert!(matches!(found, Some(Problem::TileUnexpected { level: 255, .. })));
}

#[test]
fn a_cut_tail_shows_in_the_frontier_or_in_a_checkpoint() {
    let whole = Log::new(SIZE);
    let mut log = whole.clone();
    log.rows.truncate(650);
    let by = Claim::Size;
    assert_eq!(problem(&log), Some(Problem::Truncated { rows: 650, claimed: SIZE, by }));

    log.rebuild();
    // Nothing left in the store says that there was more.
    assert_eq!(problem(&log), None);
    let held = [whole.checkpoint(100), whole.checkpoint(660), whole.checkpoint(SIZE)];
    let report = log.verify(&held);
    let by = Claim::Checkpoint(Held::Outside, held[2].clone());
    let expected = Problem::Truncated { rows: 650, claimed: SIZE, by };
    assert_eq!(report.problem, Some(expected));
    assert_eq!(report.last_match, Some(held[0].clone()));
    let report = log.verify_with(&[], &held[1..2]);
    let by = Claim::Checkpoint(Held::Store, held[1].clone());
    assert_eq!(report.problem, Some(Problem::Truncated { rows: 650, claimed: 660, by }));
}

#[test]
fn rows_beyond_the_frontier_are_named() {
    let mut log = Log::new(SIZE);
    let frontier = log.frontier.clone();
    log.append("unrecorded");
    log.append("unrecorded");
    log.frontier = frontier;
    assert_eq!(problem(&log), Some(Problem::Surplus { rows: SIZE..SIZE + 2 }));
    log.rows.clear();
    log.nodes.clear();
    log.frontier = Frontier::new();
    assert_eq!(problem(&log), None);
}

/// The attacker holds the database and the signing key, and does everything right.
#[test]
fn a_consistent_rewrite_signed_again_falls_to_checkpoints_held_outside() {
    let key = SigningKey::generate(ORIGIN).unwrap();
    let honest = Log::new(SIZE);
    let open = |note: String| oag_ledger::Checkpoint::open(&note, &key.verifier()).unwrap();
    let outside: Vec<_> = [600, 100, 300, 450, 200]
        .map(|size| open(honest.checkpoint(size).sign(&key).unwrap()))
        .to_vec();

    let mut forged = honest.clone();
    forged.rows[310] = row(310, "never happened");
    forged.rebuild();
    let in_store: Vec<_> =
        [200, 320, 400, 700].map(|size| open(forged.checkpoint(size).sign(&key).unwrap())).to_vec();
    assert!(forged.verify_with(&[], &in_store).is_sound());

    let report = forged.verify_with(&outside, &in_store);
    assert_eq!(report.last_match, Some(honest.checkpoint(300)));
    assert_eq!(report.first_fail, Some(honest.checkpoint(450)));
    let problem = report.problem.unwrap();
    assert_eq!(problem.rows(), 300..450);
    assert!(matches!(problem, Problem::CheckpointMismatch { held: Held::Outside, .. }));
    assert_eq!(
        problem.to_string(),
        "rewritten: the checkpoint held outside at 450 does not match, the last that does is at 300"
    );
}

#[test]
fn checkpoints_left_in_the_store_betray_a_rewrite_without_the_key() {
    let honest = Log::new(SIZE);
    let stored = [honest.checkpoint(50), honest.checkpoint(400)];
    let mut forged = honest.clone();
    forged.rows[60] = row(60, "never happened");
    forged.rebuild();
    let problem = forged.verify_with(&[], &stored).problem.unwrap();
    assert!(matches!(problem, Problem::CheckpointMismatch { held: Held::Store, .. }));
    assert_eq!(problem.rows(), 50..400);
}

#[test]
fn two_checkpoints_that_disagree_at_one_size_are_a_failure_there() {
    let log = Log::new(SIZE);
    let mut other = log.checkpoint(400);
    other.root.0[0] ^= 1;
    let held = [log.checkpoint(400), other.clone(), log.checkpoint(200), log.checkpoint(600)];
    let report = log.verify(&held);
    assert_eq!(report.last_match, Some(log.checkpoint(200)));
    assert_eq!(report.first_fail, Some(other));
    assert!(!report.is_sound());
}

#[test]
fn rows_alone_verify_without_tile_nodes() {
    let log = Log::new(SIZE);
    let pass = |claimed| {
        let mut verifier = Verifier::new(vec![log.checkpoint(SIZE)]);
        for row in &log.rows {
            verifier.push(row);
        }
        verifier.finish_sized(claimed).problem
    };
    assert_eq!(pass(SIZE), None);
    let by = Claim::Size;
    assert_eq!(pass(SIZE + 1), Some(Problem::Truncated { rows: SIZE, claimed: SIZE + 1, by }));
    assert_eq!(pass(SIZE - 1), Some(Problem::Surplus { rows: SIZE - 1..SIZE }));
}

pub(crate) fn exchange(log: &mut Log, low: usize, high: usize) {
    log.rows.swap(low, high);
    log.rows[low].index = low as u64;
    log.rows[high].index = high as u64;
}
