//! Each policy by itself, and how long it lets a task be overtaken.

use oag_schedule::policy::{
    Balanced, MlfqConfig, Policy, PolicyKind, PriorityConfig, Reason, View, Waiting,
};
use oag_schedule::{Class, Moment, Ticket};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{at, policy, secs};

fn waiting(ticket: u64, work_s: u64) -> Waiting {
    Waiting {
        ticket: Ticket::new(ticket),
        arrived: at(ticket as f64),
        since: at(ticket as f64),
        class: Class::Interactive,
        work: secs(work_s),
        level: 0,
    }
}

fn view(now_s: f64, patience_s: u64) -> View {
    View { now: at(now_s), patience: secs(patience_s), at_limit: false }
}

/// Tickets in the order in which a lane hands them out, with the reasons.
fn order(kind: &PolicyKind, tasks: &[Waiting], view: View) -> Vec<(u64, Reason)> {
    let mut lane = kind.lane();
    for task in tasks {
        lane.push(*task);
    }
    let mut taken = Vec::new();
    while let Some(choice) = lane.choose(view) {
        lane.take(&choice, view);
        taken.push((choice.task.ticket.number(), choice.reason));
    }
    assert!(lane.is_empty());
    taken
}

fn tickets(kind: &PolicyKind, tasks: &[Waiting], view: View) -> Vec<u64> {
    order(kind, tasks, view).into_iter().map(|(ticket, _)| ticket).collect()
}

#[test]
fn each_has_its_order() {
    let tasks = [waiting(0, 80), waiting(1, 20), waiting(2, 5), waiting(3, 60)];
    let fresh = view(3.0, 1_000);
    assert_eq!(tickets(&policy("fcfs"), &tasks, fresh), [0, 1, 2, 3]);
    assert_eq!(tickets(&policy("sjf"), &tasks, fresh), [2, 1, 3, 0]);
    // 60 and 80 seconds count as the same, so the earlier goes first.
    assert_eq!(tickets(&policy("balanced"), &tasks, fresh), [2, 1, 0, 3]);
    assert_eq!(tickets(&policy("mlfq"), &tasks, fresh), [0, 1, 2, 3]);
    assert!("lifo".parse::<PolicyKind>().unwrap_err().to_string().contains("'lifo' is no policy"));
}

#[test]
fn the_default_takes_turns_once_patience_is_over() {
    let tasks: Vec<Waiting> = (0..6).map(|ticket| waiting(ticket, 100 >> ticket)).collect();
    let kind = PolicyKind::Balanced(Balanced { oldest_every: 2, always: false });
    let taken = order(&kind, &tasks, view(100.0, 10));
    let reasons: Vec<Reason> = taken.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(taken.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>(), [5, 0, 4, 1, 3, 2]);
    assert_eq!(reasons[..2], [Reason::Shortest, Reason::Oldest]);
    // Each turn is the oldest's, unless all are out of patience because it is at its limit.
    let usual = PolicyKind::default();
    assert_eq!(tickets(&usual, &tasks, view(100.0, 10)), [0, 1, 2, 3, 4, 5]);
    let limit = View { at_limit: true, ..view(100.0, 10) };
    assert_eq!(order(&usual, &tasks, limit), taken);
}

#[test]
fn classes_go_first_and_preempt_unless_told_otherwise() {
    let mut urgent = waiting(2, 1);
    urgent.class = Class::Critical;
    let mut last = waiting(0, 1);
    last.class = Class::Batch;
    let tasks = [last, waiting(1, 1), urgent];
    assert_eq!(tickets(&policy("priority"), &tasks, view(2.0, 9)), [2, 1, 0]);
    let calm = PriorityConfig { preempts: false, ..PriorityConfig::default() };
    for (kind, preempts) in [(policy("priority"), true), (PolicyKind::Priority(calm), false)] {
        assert_eq!(kind.lane().preempts(&urgent, &last), preempts);
        assert!(!kind.lane().preempts(&last, &urgent) && !kind.lane().preempts(&last, &last));
    }
}

#[test]
fn a_slice_that_is_used_up_lowers_a_task() {
    let config = MlfqConfig::default();
    let lane = PolicyKind::Mlfq(config.clone()).lane();
    let first = waiting(0, 9);
    let choice = |task, reason| oag_schedule::policy::Choice { task, reason };
    let slice = |task| lane.slice(&choice(task, Reason::Level)).unwrap();
    assert_eq!(slice(first).as_millis(), 10);
    let second = lane.spent(first);
    assert_eq!((second.level, slice(second).as_millis()), (1, 50));
    assert_eq!(lane.spent(second).level, 1, "at the last level it stays");
    assert_eq!(lane.slice(&choice(second, Reason::Aged)), None, "moved up: to its end");
    // Round robin on the first level, by age on the second, the first before the second.
    let low = |ticket| Waiting { level: 1, ..waiting(ticket, 9) };
    let tasks = [low(4), low(1), waiting(3, 9), waiting(2, 9)];
    let kind = PolicyKind::Mlfq(config);
    assert_eq!(tickets(&kind, &tasks, view(5.0, 9)), [3, 2, 1, 4]);
    assert_eq!(tickets(&kind, &tasks, view(11.5, 9)), [1, 3, 2, 4], "one waited for 10 s");
}

/// Hands out from a lane into which a new task of one second comes before each turn; answers with
/// the number of the turn in which each of the first tasks went.
fn besieged(lane: &mut dyn Policy, works: &[u64], turns: usize, now: Moment) -> Vec<usize> {
    for (ticket, work) in works.iter().enumerate() {
        lane.push(waiting(ticket as u64, *work));
    }
    let mut gone = vec![usize::MAX; works.len()];
    for turn in 0..turns {
        let mut newcomer = waiting((works.len() + turn) as u64, 1);
        (newcomer.arrived, newcomer.since) = (now, now);
        newcomer.class = Class::Critical;
        lane.push(newcomer);
        let view = View { now, patience: secs(600), at_limit: false };
        let choice = lane.choose(view).unwrap();
        lane.take(&choice, view);
        if let Some(turn_of) = gone.get_mut(choice.task.ticket.number() as usize) {
            *turn_of = turn;
        }
    }
    gone
}

proptest! {
    /// However many shorter ones keep coming: of tasks beyond patience, the `i`-th goes within
    /// `every` times `i` turns.
    #[test]
    fn nobody_is_overtaken_without_end(works in vec(1..500_u64, 1..20), every in 1..6_u32) {
        for always in [true, false] {
            let kind = PolicyKind::Balanced(Balanced { oldest_every: every, always });
            let turns = works.len() * every as usize;
            let gone = besieged(kind.lane().as_mut(), &works, turns, at(1e5));
            for (before, turn) in gone.iter().enumerate() {
                prop_assert!(*turn < (before + 1) * every as usize, "{before} at {turn}");
            }
        }
    }

    /// Under priority and feedback levels, a task that has aged to the top is overtaken by no
    /// newcomer; first come, first served never lets anyone by.
    #[test]
    fn the_aged_are_overtaken_by_none(works in vec(1..500_u64, 1..20)) {
        for name in ["priority", "mlfq", "fcfs"] {
            let gone = besieged(policy(name).lane().as_mut(), &works, works.len(), at(1e5));
            prop_assert!(gone.iter().enumerate().all(|(before, turn)| *turn == before), "{name}");
        }
    }

    /// What goes in comes out once, whatever the policy; what was removed does not.
    #[test]
    fn a_lane_loses_nothing(
        works in vec((1..500_u64, 0..4_usize, 0..4_u8), 0..40),
        removed in vec(0..40_u64, 0..10),
        now in 0.0..200.0_f64,
    ) {
        for name in ["fcfs", "sjf", "priority", "mlfq", "balanced"] {
            let mut lane = policy(name).lane();
            for (ticket, (work, class, level)) in works.iter().enumerate() {
                let class = Class::ALL[*class];
                lane.push(Waiting { class, level: *level, ..waiting(ticket as u64, *work) });
            }
            let mut seen: Vec<u64> = Vec::new();
            for ticket in &removed {
                seen.extend(lane.remove(Ticket::new(*ticket)).map(|task| task.ticket.number()));
            }
            prop_assert_eq!(lane.len(), works.len() - seen.len());
            let mut ahead = lane.ahead(view(now, 30), works.len()).into_iter();
            prop_assert!(lane.ahead(view(now, 30), 3).into_iter().eq(ahead.clone().take(3)));
            while let Some(choice) = lane.choose(view(now, 30)) {
                prop_assert_eq!(ahead.next(), Some(choice), "{}", name);
                lane.take(&choice, view(now, 30));
                seen.push(choice.task.ticket.number());
            }
            seen.sort_unstable();
            prop_assert_eq!(&seen, &(0..works.len() as u64).collect::<Vec<_>>(), "{}", name);
        }
    }
}
