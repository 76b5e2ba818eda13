//! A random log and one random act of tampering: the pass reports it, at the right place.

use oag_ledger::{Claim, Held, Problem, Row};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::log::{Log, row};
use crate::tamper::exchange;

#[derive(Debug, Clone, Copy)]
enum Act {
    Entry,
    Leaf,
    Payload,
    Salt,
    ErasePayload,
    EraseSalt,
    Remove,
    Stream,
    ExchangeEntries,
    ExchangeRows,
    Rewrite,
    Repeat,
    Cut,
    CutAndRebuild,
    Node,
    Frontier,
    RewriteAll,
}

const ACTS: [Act; 17] = [
    Act::Entry,
    Act::Leaf,
    Act::Payload,
    Act::Salt,
    Act::ErasePayload,
    Act::EraseSalt,
    Act::Remove,
    Act::Stream,
    Act::ExchangeEntries,
    Act::Repeat,
    Act::Cut,
    Act::CutAndRebuild,
    Act::Frontier,
    Act::RewriteAll,
    Act::ExchangeRows,
    Act::Rewrite,
    Act::Node,
];

/// The last three make the pass search a tile for two exchanged rows, which takes about a second
/// without optimisation: they come up less often.
fn acts() -> Vec<Act> {
    [&ACTS[..14], &ACTS[..14], &ACTS].concat()
}

/// Tampers at row `low` (and `high > low`), and gives the check the problem has to pass.
fn tamper(
    log: &mut Log,
    act: Act,
    low: usize,
    high: usize,
    bit: usize,
) -> Box<dyn Fn(&Problem) -> bool> {
    let (first, second) = (low as u64, high as u64);
    let whole = log.rows.len() as u64;
    let flip = |bytes: &mut [u8]| bytes[bit / 8 % bytes.len()] ^= 1 << (bit % 8);
    match act {
        Act::Entry => flip(&mut log.rows[low].entry),
        Act::Leaf => flip(&mut log.rows[low].leaf_hash.0),
        Act::Payload => flip(log.rows[low].payload.as_mut().unwrap()),
        Act::Salt => flip(log.rows[low].salt.as_mut().unwrap()),
        Act::ErasePayload => log.rows[low].payload = None,
        Act::EraseSalt => log.rows[low].salt = None,
        Act::Remove => drop(log.rows.remove(low)),
        Act::Stream => log.rows.swap(low, high),
        Act::ExchangeEntries => {
            let (left, right) = (log.rows[low].clone(), log.rows[high].clone());
            log.rows[low] = Row { index: first, leaf_hash: left.leaf_hash, ..right.clone() };
            log.rows[high] = Row { index: second, leaf_hash: right.leaf_hash, ..left };
        }
        Act::ExchangeRows => exchange(log, low, high),
        Act::Rewrite => log.rows[low] = row(first, "rewritten"),
        Act::Repeat => log.rows.insert(high, log.rows[low].clone()),
        Act::Cut => log.rows.truncate(low),
        Act::CutAndRebuild => {
            log.rows.truncate(low);
            log.rebuild();
        }
        Act::Node => {
            let at = low % log.nodes.len();
            flip(&mut log.nodes[at].hash.0);
            let rows = at as u64 * 256..(at as u64 + 1) * 256;
            return Box::new(move |problem| problem.rows() == rows);
        }
        Act::Frontier => {
            let mut bytes = log.frontier.to_bytes();
            flip(&mut bytes[8..]);
            log.frontier = oag_ledger::Frontier::parse(&bytes).unwrap();
            return Box::new(|problem| matches!(problem, Problem::FrontierMismatch { .. }));
        }
        Act::RewriteAll => {
            log.rows[low] = row(first, "rewritten");
            log.rebuild();
        }
    }
    Box::new(move |problem| match (act, problem) {
        (Act::Entry | Act::Leaf, Problem::EntryChanged { index, .. }) => *index == first,
        (Act::Payload | Act::Salt, Problem::PayloadChanged { index }) => *index == first,
        (Act::ErasePayload | Act::EraseSalt, Problem::HalfErased { index }) => *index == first,
        (Act::Remove, Problem::Missing { rows }) => *rows == (first..first + 1),
        (Act::Repeat, Problem::Repeated { index }) => *index == first,
        (Act::Stream | Act::ExchangeEntries, Problem::Reordered { index, other }) => {
            (*index, *other) == (first, second)
        }
        (Act::ExchangeRows, Problem::Reordered { index, other }) => {
            (*index, *other) == (first, second)
        }
        (Act::ExchangeRows, problem) => problem.rows().contains(&first) && first / 8 != second / 8,
        (Act::Rewrite, Problem::NodeMismatch { rows, .. }) => rows.contains(&first),
        (Act::Rewrite, Problem::FrontierMismatch { rows }) => rows.contains(&first),
        (Act::Cut, Problem::Truncated { rows, claimed, by: Claim::Size }) => {
            (*rows, *claimed) == (first, whole)
        }
        (Act::CutAndRebuild, Problem::Truncated { rows, by, .. }) => {
            *rows == first && matches!(by, Claim::Checkpoint(Held::Outside, _))
        }
        (Act::RewriteAll, Problem::CheckpointMismatch { held: Held::Outside, .. }) => {
            problem.rows().contains(&first)
        }
        _ => false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn one_act_of_tampering_is_found_where_it_is(
        size in 258..800_u64,
        act in prop::sample::select(acts()),
        places in any::<(Index, Index)>(),
        bit in 0..100_000_usize,
        sizes in prop::collection::vec(any::<Index>(), 0..6),
        erased in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let mut log = Log::new(size);
        let low = places.0.index(size as usize - 1);
        let high = low + 1 + places.1.index(size as usize - low - 1);
        for at in erased {
            let at = at.index(size as usize);
            if at != low && at != high {
                log.rows[at] = log.rows[at].clone().erased();
            }
        }
        // Whoever rewrites everything, or cuts, is only found by what is kept elsewhere; all
        // other acts have to show without it.
        let needs_outside = matches!(act, Act::CutAndRebuild | Act::RewriteAll);
        let mut outside: Vec<_> = sizes
            .iter()
            .filter(|_| needs_outside)
            .map(|at| log.checkpoint(at.index(size as usize + 1) as u64))
            .collect();
        if needs_outside {
            outside.push(log.checkpoint(size));
        }
        prop_assert!(log.verify(&outside).is_sound());

        let holds = tamper(&mut log, act, low, high, bit);
        let report = log.verify(&outside);
        let problem = report.problem.clone();
        prop_assert!(problem.is_some());
        prop_assert!(holds(&problem.clone().unwrap()), "{act:?} {low} {high}: {problem:?}");
        if matches!(act, Act::RewriteAll) {
            let fit = outside.iter().filter(|held| held.size <= low as u64);
            let fail = outside.iter().filter(|held| held.size > low as u64);
            let sizes = |held: Option<oag_ledger::Checkpoint>| held.map(|held| held.size);
            prop_assert_eq!(sizes(report.last_match), fit.map(|held| held.size).max());
            prop_assert_eq!(sizes(report.first_fail), fail.map(|held| held.size).min());
        }
    }
}
