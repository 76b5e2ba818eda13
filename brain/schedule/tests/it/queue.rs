//! Bounds, classes, shares of tenants and deadlines.

use std::collections::BTreeMap;
use std::time::Duration;

use oag_schedule::policy::PolicyKind;
use oag_schedule::queue::{AdmissionQueue, Bounds, Entry, Limit, Patience, QueueConfig, Refusal};
use oag_schedule::{Class, Moment, Ticket};
use oag_types::Tenant;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{at, policy, secs, tenant};

fn entry(ticket: u64, owner: &str, class: Class, work: Duration) -> Entry {
    Entry {
        ticket: Ticket::new(ticket),
        tenant: tenant(owner),
        class,
        tokens: 100,
        work,
        arrived: Moment::START,
        deadline: None,
        level: 0,
    }
}

fn bounded(tasks_max: usize, policy: PolicyKind) -> QueueConfig {
    let bounds = Bounds { tasks_max, ..Bounds::default() };
    QueueConfig { bounds, ..QueueConfig::of(policy) }
}

fn take(queue: &mut AdmissionQueue, now: Moment) -> Option<Entry> {
    let next = queue.next(now)?;
    queue.take(&next, now)
}

#[test]
fn too_much_is_refused_at_once_with_a_time_that_is_kept() {
    let mut queue = AdmissionQueue::new(bounded(100, policy("fcfs")), BTreeMap::new());
    queue.set_capacity(4, 1.0);
    let mut taken_in = 0;
    let refused = loop {
        let one = entry(taken_in, "a", Class::Critical, secs(8));
        match queue.submit(one, false, at(0.0)) {
            Ok(()) => taken_in += 1,
            Err(refusal) => break refusal,
        }
    };
    // 800 s of work, 4 slots, room for one is made by one of a hundred.
    assert_eq!(taken_in, 100);
    let retry_after = secs(2);
    assert_eq!(refused, Refusal::Overloaded { limit: Limit::Tasks, retry_after });
    // Two seconds at that rate are one task.
    assert!(take(&mut queue, at(2.0)).is_some());
    assert_eq!(queue.submit(entry(200, "a", Class::Critical, secs(8)), false, at(2.0)), Ok(()));
}

#[test]
fn the_less_urgent_and_the_greedy_leave_room_for_others() {
    let mut queue = AdmissionQueue::new(bounded(100, policy("balanced")), BTreeMap::new());
    let fill = |queue: &mut AdmissionQueue, owner: &str, class, from: u64| {
        (from..)
            .take_while(|at| {
                queue.submit(entry(*at, owner, class, secs(1)), false, at_start()).is_ok()
            })
            .count()
    };
    assert!(fill(&mut queue, "greedy", Class::Background, 0) <= 50);
    let batch = fill(&mut queue, "greedy", Class::Batch, 1_000);
    assert!(queue.len() <= 80 && batch > 20, "{batch}");
    let more = fill(&mut queue, "greedy", Class::Critical, 2_000);
    let held = queue.len();
    assert!(more > 0 && held < 100, "the greedy cannot fill it: {held}");
    assert!(fill(&mut queue, "modest", Class::Critical, 3_000) > 0);
    assert!(queue.len() <= 100);
}

const fn at_start() -> Moment {
    Moment::START
}

#[test]
fn classes_are_strict_until_the_least_urgent_has_waited_its_while() {
    let mut queue = AdmissionQueue::new(QueueConfig::default(), BTreeMap::new());
    let mut add = |ticket, class, now| {
        queue.submit(entry(ticket, "a", class, secs(1)), false, now).unwrap();
    };
    add(0, Class::Batch, at(0.0));
    (1..40).for_each(|ticket| add(ticket, Class::Critical, at(0.0)));
    for _ in 0..20 {
        assert_eq!(take(&mut queue, at(30.0)).unwrap().class, Class::Critical);
    }
    let after = (0..20).position(|_| take(&mut queue, at(61.0)).unwrap().class == Class::Batch);
    assert!(after.unwrap() < 8, "{after:?}");
}

#[test]
fn the_background_waits_while_the_fleet_is_loaded() {
    let mut queue = AdmissionQueue::new(QueueConfig::default(), BTreeMap::new());
    queue.submit(entry(0, "a", Class::Background, secs(1)), false, at(0.0)).unwrap();
    queue.set_capacity(10, 0.95);
    assert!(queue.next(at(1.0)).is_none());
    queue.set_capacity(10, 0.5);
    assert!(queue.next(at(1.0)).is_some());
    queue.set_capacity(10, 0.95);
    assert!(queue.next(at(61.0)).is_some(), "not for ever");
}

#[test]
fn late_tasks_are_taken_out() {
    let mut queue = AdmissionQueue::new(QueueConfig::default(), BTreeMap::new());
    let with = |ticket, deadline| Entry {
        deadline: Some(deadline),
        ..entry(ticket, "a", Class::Batch, secs(1))
    };
    assert_eq!(queue.submit(with(0, at(1.0)), false, at(1.0)), Err(Refusal::Late));
    queue.submit(with(1, at(5.0)), false, at(1.0)).unwrap();
    queue.submit(with(2, at(9.0)), false, at(1.0)).unwrap();
    assert_eq!(queue.expire(at(5.0)), [Ticket::new(1)]);
    assert_eq!((queue.len(), queue.waiting()), (1, 1));
}

#[test]
fn a_live_queue_says_who_is_next_and_why() {
    let mut queue = AdmissionQueue::new(QueueConfig::default(), BTreeMap::new());
    for (ticket, work) in [(0, 50), (1, 2), (2, 90)] {
        queue.submit(entry(ticket, "a", Class::Interactive, secs(work)), false, at(0.0)).unwrap();
    }
    queue.submit(entry(3, "b", Class::Critical, secs(99)), true, at(0.0)).unwrap();
    let lines = queue.peek(10, at(3.0));
    let seen: Vec<u64> = lines.iter().map(|line| line.ticket.number()).collect();
    assert_eq!(seen, [1, 0, 2], "what is held back is not next");
    assert_eq!(lines[0].reason.words(), "least predicted work");
    assert_eq!((lines[0].waited, lines[0].work), (secs(3), secs(2)));
    assert_eq!(queue.peek(2, at(3.0)), lines[..2]);
    assert!(queue.peek(0, at(3.0)).is_empty());
}

proptest! {
    /// Of tenants that all have work waiting, none is ahead of another by more than a task of each,
    /// whatever the sizes and however many the tasks of one are; weights count.
    #[test]
    fn tenants_share_fairly(
        works in vec((0..3_usize, 1..100_u64), 100..200),
        heavy in 1..4_u32,
    ) {
        let names = ["a", "b", "c"];
        let weights: BTreeMap<Tenant, f64> =
            [(tenant("a"), f64::from(heavy)), (tenant("b"), 1.0)].into();
        let mut queue = AdmissionQueue::new(bounded(10_000, policy("balanced")), weights.clone());
        for (ticket, (owner, work)) in works.iter().enumerate() {
            // The first comes with ten times as many tasks.
            for copy in 0..if *owner == 0 { 10 } else { 1 } {
                let ticket = ticket as u64 * 10 + copy;
                let one = entry(ticket, names[*owner], Class::Interactive, secs(*work));
                queue.submit(one, false, at(0.0)).unwrap();
            }
        }
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for (owner, _) in &works {
            *left.entry(names[*owner]).or_default() += if *owner == 0 { 10 } else { 1 };
        }
        let mut served: BTreeMap<String, f64> = names.map(|name| (name.to_owned(), 0.0)).into();
        while left.len() == 3 && left.values().all(|left| *left > 0) {
            let taken = take(&mut queue, at(1.0)).unwrap();
            let weight = weights.get(&taken.tenant).copied().unwrap_or(1.0);
            *served.get_mut(taken.tenant.as_str()).unwrap() += taken.work.as_secs_f64() / weight;
            *left.get_mut(taken.tenant.as_str()).unwrap() -= 1;
            let most = served.values().copied().fold(0.0, f64::max);
            let least = served.values().copied().fold(f64::MAX, f64::min);
            prop_assert!(most - least <= 200.0, "{served:?}");
        }
    }

    /// What a queue says it would hand out is what it hands out, whatever the policy, the classes
    /// and the tenants, and saying it changes nothing.
    #[test]
    fn what_is_foretold_is_what_comes(
        name in prop::sample::select(vec!["fcfs", "sjf", "priority", "mlfq", "balanced"]),
        tasks in vec((0..4_usize, 0..4_usize, 1..300_u64, 0..150_u64, 0..3_u8), 1..50),
        (strict_classes, fair_shares) in (any::<bool>(), any::<bool>()),
        most in 1..60_usize,
        loaded in any::<bool>(),
    ) {
        // Patience that does not depend on what is handed out.
        let patience = Patience { mean: 0.0, ..Patience::default() };
        let config =
            QueueConfig { strict_classes, fair_shares, patience, ..QueueConfig::of(policy(name)) };
        let weights = [(tenant("b"), 3.0)].into();
        let mut queue = AdmissionQueue::new(config, weights);
        queue.set_capacity(2, if loaded { 1.0 } else { 0.5 });
        let names = ["a", "b", "c", "d"];
        for (ticket, (class, owner, work, after, level)) in tasks.into_iter().enumerate() {
            let now = at(after as f64);
            let one = entry(ticket as u64, names[owner], Class::ALL[class], secs(work));
            queue.submit(Entry { arrived: now, level, ..one }, false, now).unwrap();
        }
        let lines = queue.peek(most, at(150.0));
        prop_assert_eq!(&lines, &queue.peek(most, at(150.0)));
        let mut taken = Vec::new();
        while taken.len() < most && let Some(next) = queue.next(at(150.0)) {
            taken.push((next.choice.task.ticket, next.choice.reason));
            prop_assert!(queue.take(&next, at(150.0)).is_some());
        }
        let said: Vec<_> = lines.iter().map(|line| (line.ticket, line.reason)).collect();
        prop_assert_eq!(said, taken);
    }

    /// No sequence of tasks gets a queue beyond its bounds.
    #[test]
    fn bounds_are_never_exceeded(
        tasks in vec((0..4_usize, 0..5_usize, 1..2_000_u64, any::<bool>()), 1..300),
        tasks_max in 1..60_usize,
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let bounds = Bounds { tasks_max, tokens_max: 20_000, ..Bounds::default() };
        let config = QueueConfig { bounds, ..QueueConfig::default() };
        let mut queue = AdmissionQueue::new(config, BTreeMap::new());
        for (ticket, (class, owner, tokens, taken)) in tasks.into_iter().enumerate() {
            let one = Entry { tokens, ..entry(ticket as u64, names[owner], Class::ALL[class], secs(1)) };
            if let Err(refusal) = queue.submit(one, ticket % 7 == 0, at(ticket as f64)) {
                let Refusal::Overloaded { retry_after, .. } = refusal else { panic!("{refusal}") };
                prop_assert!(retry_after >= secs(1) && retry_after <= secs(3_600));
            }
            prop_assert!(queue.len() <= tasks_max && queue.tokens() <= 20_000);
            prop_assert!(queue.waiting() <= queue.len());
            if taken {
                take(&mut queue, at(ticket as f64));
            }
        }
    }
}
