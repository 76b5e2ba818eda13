//! Which worker is chosen, under each rule.

use std::collections::{BTreeMap, BTreeSet};

use oag_schedule::Moment;
use oag_schedule::balance::{BalanceKind, Wanted, Why};
use oag_schedule::fleet::{Fleet, Health, WorkerId, WorkerSpec};

use crate::{at, secs, worker};

const NOTHING: Wanted<'static> =
    Wanted { prompt: 1_000.0, steps: 100.0, tokens: 1_100, prefixes: &[], affinity: 0 };

fn fleet(balance: BalanceKind, workers: u32, slots: u32) -> (Fleet, Vec<WorkerId>) {
    let mut fleet = Fleet::new(balance, secs(4));
    let ids = (0..workers).map(|_| fleet.join(worker(slots), Moment::START)).collect();
    (fleet, ids)
}

/// Picks and begins.
fn give(fleet: &mut Fleet, wanted: &Wanted<'_>, now: Moment) -> Option<WorkerId> {
    let id = fleet.pick("m", wanted)?.worker;
    fleet.begin(id, wanted.tokens, wanted.prefixes, now);
    Some(id)
}

#[test]
fn every_rule_gives_to_those_that_offer_the_model_are_healthy_and_have_a_slot() {
    for kind in BalanceKind::ALL {
        let (mut fleet, ids) = fleet(kind, 4, 2);
        let other = WorkerSpec { models: vec!["other".to_owned()], ..worker(9) };
        fleet.join(other, Moment::START);
        fleet.set_health(ids[0], Health::Draining, at(0.0));
        fleet.set_health(ids[1], Health::Suspect, at(0.0));
        let given: Vec<_> = (0..5).map(|_| give(&mut fleet, &NOTHING, at(0.0))).collect();
        let counts = |id| given.iter().filter(|given| **given == Some(id)).count();
        assert_eq!((counts(ids[2]), counts(ids[3])), (2, 2), "{kind:?}: {given:?}");
        assert_eq!(given[4], None);
        fleet.set_health(ids[1], Health::Ready, at(1.0));
        assert_eq!(give(&mut fleet, &NOTHING, at(1.0)), Some(ids[1]));
        fleet.leave(ids[2]);
        fleet.end(ids[2], 1_100, None, at(1.0));
        assert_eq!(fleet.slots("m"), (6, 3));
        assert_eq!(kind.name().parse(), Ok(kind));
    }
}

#[test]
fn what_fits_one_worker_only_finds_it() {
    for kind in BalanceKind::ALL {
        let (mut fleet, _) = fleet(kind, 500, 2);
        let large = WorkerSpec {
            window_tokens: 900_000,
            rates: oag_schedule::Rates { prefill_per_s: 1.0, decode_per_s: 0.001 },
            ..worker(2)
        };
        let large = fleet.join(large, Moment::START);
        let wanted = Wanted { tokens: 500_000, ..NOTHING };
        assert_eq!(give(&mut fleet, &wanted, at(0.0)), Some(large), "{kind:?}");
        assert_eq!(give(&mut fleet, &Wanted { tokens: 900_001, ..wanted }, at(0.0)), None);
    }
}

#[test]
fn in_turn_and_by_fewest_tasks_are_even() {
    for kind in [BalanceKind::RoundRobin, BalanceKind::LeastConnections] {
        let (mut fleet, ids) = fleet(kind, 5, 8);
        let mut counts: BTreeMap<WorkerId, usize> = BTreeMap::new();
        for _ in 0..20 {
            *counts.entry(give(&mut fleet, &NOTHING, at(0.0)).unwrap()).or_default() += 1;
        }
        assert_eq!(counts, ids.iter().map(|id| (*id, 4)).collect(), "{kind:?}");
    }
}

#[test]
fn a_caller_stays_where_it_was_when_others_come_and_go() {
    let (mut fleet, ids) = fleet(BalanceKind::AddressHash, 20, 1_000);
    let places = |fleet: &mut Fleet| -> Vec<WorkerId> {
        let of = |affinity| Wanted { affinity, ..NOTHING };
        (0..1_000).map(|caller| fleet.pick("m", &of(caller)).unwrap().worker).collect()
    };
    let before = places(&mut fleet);
    assert_eq!(before, places(&mut fleet));
    assert!(before.iter().collect::<BTreeSet<_>>().len() == 20);
    fleet.leave(ids[3]);
    let after = places(&mut fleet);
    let moved = before.iter().zip(&after).filter(|(one, other)| one != other).count();
    assert_eq!(moved, before.iter().filter(|id| **id == ids[3]).count());
}

#[test]
fn the_slow_get_less_and_are_tried_again() {
    for kind in [BalanceKind::LatencyAware, BalanceKind::Best] {
        let (mut fleet, ids) = fleet(kind, 4, 4);
        let mut given: BTreeMap<WorkerId, usize> = BTreeMap::new();
        for step in 0..2_000 {
            let now = at(f64::from(step));
            let id = give(&mut fleet, &NOTHING, now).unwrap();
            *given.entry(id).or_default() += 1;
            let slow = if id == ids[0] { 8 } else { 1 };
            fleet.end(id, 1_100, Some((secs(10 * slow), secs(10))), now);
        }
        let slow = given[&ids[0]];
        assert!((1..100).contains(&slow), "{kind:?}: {given:?}");
        assert!(fleet.worker(ids[0]).unwrap().slowness() > 2.0);
    }
}

#[test]
fn the_default_goes_where_the_prompt_is_cached_unless_that_is_crowded() {
    let (mut fleet, ids) = fleet(BalanceKind::Best, 4, 200);
    let prefixes: Vec<u64> = (1..=8).collect();
    let reads = oag_schedule::Rates { prefill_per_s: 100.0, decode_per_s: 40.0 };
    let holder = fleet.join(WorkerSpec { rates: reads, ..worker(200) }, Moment::START);
    ids.iter().for_each(|id| fleet.leave(*id));
    let rest = fleet.join(WorkerSpec { rates: reads, ..worker(200) }, Moment::START);
    fleet.holds(holder, &prefixes);
    let asked =
        Wanted { prompt: 2_100.0, steps: 40.0, tokens: 2_140, prefixes: &prefixes, affinity: 0 };
    let pick = fleet.pick("m", &asked).unwrap();
    assert_eq!((pick.worker, pick.why, pick.cached_tokens), (holder, Why::Cache, 2_048));
    let half = [1, 2, 77, 78];
    assert_eq!(fleet.pick("m", &Wanted { prefixes: &half, ..asked }).unwrap().cached_tokens, 512);
    let none = [77, 78];
    assert_eq!(fleet.pick("m", &Wanted { prefixes: &none, ..asked }).unwrap().cached_tokens, 0);
    // The answer is long and the holder slow: what the cache saves is not worth it.
    (0..20).for_each(|_| {
        fleet.begin(holder, 1, &[], at(0.0));
        fleet.end(holder, 1, Some((secs(100), secs(10))), at(0.0));
    });
    let long = Wanted { steps: 4_000.0, ..asked };
    assert_eq!(fleet.pick("m", &long).unwrap().worker, rest);
}

#[test]
fn a_late_worker_is_not_flooded() {
    for kind in BalanceKind::ALL {
        let (mut fleet, _) = fleet(kind, 1, 1);
        give(&mut fleet, &NOTHING, at(50.0));
        let late = fleet.join(worker(8), at(100.0));
        let mut opened = Vec::new();
        for step in 0..=10 {
            let now = at(100.0 + 0.5 * f64::from(step));
            fleet.warm_up(now);
            while give(&mut fleet, &NOTHING, now).is_some() {}
            opened.push(fleet.worker(late).unwrap().in_flight());
        }
        assert_eq!(opened[0], 1, "{kind:?}");
        assert!(opened[4] >= 3 && opened[4] <= 5, "{opened:?}");
        assert_eq!(opened[10], 8, "{kind:?}");
    }
}
