//! How fast a log is appended to and verified on this machine:
//! `cargo run --release -p oag-ledger --example throughput -- 1000000`.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement prints what it measured, and needs the real clock"
)]

use std::time::Instant;

use oag_ledger::{
    Checkpoint, EntryKind, EntryParts, Error, Frontier, KnownHashes, Verifier, inclusion_proof,
    new_row, new_salt, verify_inclusion,
};

fn main() -> Result<(), Error> {
    let count: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(500_000);
    let payload = vec![b'x'; 400];
    let (mut frontier, mut known) = (Frontier::new(), KnownHashes::new());
    let (mut rows, mut nodes) = (Vec::new(), Vec::new());
    let started = Instant::now();
    for index in 0..count {
        let parts = EntryParts {
            at: "2026-03-01T10:00:00.000Z".to_owned(),
            tenant: "tnt_01968a3e0c7b7f0a9d2c4b6e8f1a3c5d".to_owned(),
            kind: EntryKind::INTENT,
            subject: format!("act_{index:032x}"),
        };
        let row = new_row(index, parts, &payload, new_salt()?)?;
        nodes.extend(frontier.append(row.leaf_hash));
        rows.push(row);
    }
    rate("append", count, started);

    let mut verifier = Verifier::new(vec![Checkpoint::of("example", &frontier)]);
    let started = Instant::now();
    for node in &nodes {
        verifier.push_node(*node);
    }
    for row in &rows {
        verifier.push(row);
    }
    let report = verifier.finish(&frontier);
    rate("verify", count, started);
    println!("sound: {}, matched: {}", report.is_sound(), report.checkpoints_matched);

    for row in &rows {
        known.insert(0, row.index, row.leaf_hash);
    }
    for node in &nodes {
        known.insert(node.level, node.index, node.hash);
    }
    let (root, proofs) = (frontier.root(), 2_000.min(count));
    let started = Instant::now();
    for step in 0..proofs {
        let index = step * (count / proofs);
        let proof = inclusion_proof(index, count, &known)?;
        verify_inclusion(index, count, rows[index as usize].leaf_hash, &proof, root)?;
    }
    rate("prove and check", proofs, started);
    Ok(())
}

fn rate(what: &str, count: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {count} in {seconds:.2} s, {:.0} per second", count as f64 / seconds);
}
