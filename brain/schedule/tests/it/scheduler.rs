//! Queues and workers together: dependencies, stops, losses, preemption, slices.

use std::time::Duration;

use oag_schedule::fleet::{Health, WorkerSpec};
use oag_schedule::length::Ending;
use oag_schedule::policy::{Level, MlfqConfig, PolicyKind, Reason};
use oag_schedule::queue::{QueueConfig, Refusal};
use oag_schedule::{Class, Moment, Ticket, Turn};

use crate::{at, policy, scheduler, task, worker};

#[test]
fn tasks_run_after_those_they_wait_for_and_fall_with_them() {
    let mut fleet = scheduler(QueueConfig::of(policy("fcfs")));
    fleet.join(worker(8), at(0.0));
    let first = fleet.submit(task(5), at(0.0)).unwrap().ticket;
    let mut second = task(5);
    second.after = vec![first, first];
    let second = fleet.submit(second, at(0.0)).unwrap().ticket;
    let mut third = task(5);
    third.after = vec![second];
    let third = fleet.submit(third, at(0.0)).unwrap().ticket;
    assert_eq!(fleet.dispatch(at(0.0)).unwrap().ticket, first);
    assert!(fleet.dispatch(at(0.0)).is_none());
    fleet.finished(first, Ending::Complete(3), at(1.0));
    // What has its answer already is no hindrance; what was never there is.
    let mut fourth = task(5);
    fourth.after = vec![first];
    let fourth = fleet.submit(fourth, at(1.0)).unwrap().ticket;
    let begun = [fleet.dispatch(at(1.0)), fleet.dispatch(at(1.0))];
    assert_eq!(begun.map(|begun| begun.unwrap().ticket), [second, fourth]);
    let mut never = task(5);
    never.after = vec![Ticket::new(99)];
    assert_eq!(fleet.submit(never, at(1.0)), Err(Refusal::UnknownDependency(Ticket::new(99))));
    assert!(fleet.cancel(second, 1, at(2.0)), "it was running");
    assert_eq!(fleet.refused(at(2.0)), [(third, Refusal::DependencyFailed(second))]);
    fleet.finished(fourth, Ending::Complete(3), at(3.0));
    assert!(fleet.is_empty());
}

#[test]
fn what_nobody_can_do_is_refused_at_once() {
    let mut fleet = scheduler(QueueConfig::default());
    let refused = fleet.submit(task(5), at(0.0)).unwrap_err();
    assert_eq!(refused.to_string(), "no worker offers 'm'");
    fleet.join(worker(1), at(0.0));
    assert!(matches!(fleet.submit(task(100_000), at(0.0)), Err(Refusal::TooLarge { .. })));
    let mut late = task(5);
    late.context.deadline = Some(at(3.0));
    assert_eq!(fleet.submit(late.clone(), at(4.0)), Err(Refusal::Late));
    // One that becomes late in the queue is given up, and nothing of it is left.
    let ticket = fleet.submit(late, at(1.0)).unwrap().ticket;
    assert!(fleet.dispatch(at(5.0)).is_none());
    assert_eq!(fleet.refused(at(5.0)), [(ticket, Refusal::Late)]);
    assert!(fleet.is_empty());
}

#[test]
fn an_expectation_beyond_the_window_keeps_nobody_waiting() {
    let mut fleet = scheduler(QueueConfig::default());
    let large = fleet.join(WorkerSpec { window_tokens: 1_000, ..worker(1) }, at(0.0));
    fleet.join(WorkerSpec { window_tokens: 100, ..worker(1) }, at(0.0));
    let most = fleet.submit_expecting(task(900), Some(1e12), at(0.0)).unwrap().ticket;
    assert_eq!(fleet.dispatch(at(0.0)).map(|begun| begun.worker), Some(large));
    let other = fleet.submit_expecting(task(900), Some(f64::NAN), at(0.0)).unwrap().ticket;
    assert!(fleet.dispatch(at(0.0)).is_none());
    // The only worker for them goes: one waits again, and neither blocks the queue.
    assert_eq!(fleet.lost(large, at(1.0)), [most]);
    let small = fleet.submit(task(9), at(1.0)).unwrap().ticket;
    assert_eq!(fleet.dispatch(at(1.0)).map(|begun| begun.ticket), Some(small));
    let given_up: Vec<Ticket> =
        fleet.refused(at(1.0)).into_iter().map(|(ticket, _)| ticket).collect();
    assert!(given_up.iter().all(|ticket| [most, other].contains(ticket)));
}

#[test]
fn a_lost_worker_costs_what_was_not_written() {
    let mut fleet = scheduler(QueueConfig::default());
    let mut ticket = None;
    for loss in 1..=4 {
        let id = fleet.join(worker(1), at(f64::from(loss)));
        let begun = match ticket {
            None => {
                ticket = Some(fleet.submit(task(5), at(1.0)).unwrap().ticket);
                fleet.dispatch(at(1.0)).unwrap()
            }
            Some(_) => fleet.dispatch(at(f64::from(loss))).unwrap(),
        };
        assert_eq!((Some(begun.ticket), begun.worker), (ticket, id));
        assert_eq!(begun.attained, 10 * (loss as u32 - 1));
        fleet.progress(begun.ticket, 10 * loss as u32);
        let back = fleet.lost(id, at(f64::from(loss)));
        assert_eq!(back.len(), usize::from(loss < 4));
    }
    let refused = fleet.refused(at(9.0));
    assert_eq!(refused, [(ticket.unwrap(), Refusal::LostTooOften { attempts: 4 })]);
}

#[test]
fn the_more_urgent_takes_the_place_of_the_least_that_began_last() {
    let mut fleet = scheduler(QueueConfig::of(policy("priority")));
    fleet.join(worker(2), at(0.0));
    let of = |class| oag_schedule::Task { class, ..task(5) };
    let first = fleet.submit(of(Class::Batch), at(0.0)).unwrap().ticket;
    fleet.dispatch(at(0.0)).unwrap();
    let second = fleet.submit(of(Class::Batch), at(1.0)).unwrap().ticket;
    fleet.dispatch(at(1.0)).unwrap();
    assert_eq!(fleet.preempt(at(1.0)), None);
    let urgent = fleet.submit(of(Class::Critical), at(2.0)).unwrap().ticket;
    assert!(fleet.dispatch(at(2.0)).is_none());
    let preemption = fleet.preempt(at(2.0)).unwrap();
    assert_eq!(preemption.ticket, second);
    assert_eq!(fleet.preempt(at(2.0)), None, "one is enough");
    fleet.stopped(second, 7, at(2.1));
    assert_eq!(fleet.dispatch(at(2.1)).unwrap().ticket, urgent);
    fleet.finished(first, Ending::Complete(9), at(3.0));
    let again = fleet.dispatch(at(3.0)).unwrap();
    assert_eq!((again.ticket, again.attained), (second, 7));
}

#[test]
fn slices_end_between_steps_and_a_lone_task_goes_on() {
    let mut fleet = scheduler(QueueConfig::of(policy("mlfq")));
    fleet.join(worker(1), at(0.0));
    let long = fleet.submit(task(5), at(0.0)).unwrap().ticket;
    let begun = fleet.dispatch(at(0.0)).unwrap();
    assert_eq!((begun.slice, begun.reason), (Some(Duration::from_millis(10)), Reason::Level));
    let slice = Some(Duration::from_millis(50));
    assert_eq!(fleet.slice_over(long, 1, at(1.0)), Turn::GoesOn(slice));
    let short = fleet.submit(task(5), at(1.5)).unwrap().ticket;
    assert_eq!(fleet.slice_over(long, 2, at(2.0)), Turn::MakesWay);
    assert_eq!(fleet.dispatch(at(2.0)).unwrap().ticket, short);
    fleet.finished(short, Ending::Complete(1), at(3.0));
    let again = fleet.dispatch(at(3.0)).unwrap();
    assert_eq!((again.ticket, again.attained, again.slice), (long, 2, slice));
    // After ten seconds without a turn it is moved up and runs to its end.
    fleet.submit(task(5), at(3.1)).unwrap();
    assert_eq!(fleet.slice_over(long, 3, at(4.0)), Turn::MakesWay);
    fleet.submit(task(5), at(14.0)).unwrap();
    fleet.dispatch(at(14.0)).unwrap();
    let moved = fleet.queue("m").unwrap().peek(1, at(15.0))[0].clone();
    assert_eq!((moved.ticket, moved.reason), (long, Reason::Aged));
}

#[test]
fn a_round_robin_goes_round_at_the_last_level_too() {
    let levels = vec![Level { slice: Duration::from_millis(10), round_robin: true }];
    let kind = PolicyKind::Mlfq(MlfqConfig { levels, ..MlfqConfig::default() });
    let mut fleet = scheduler(QueueConfig::of(kind));
    fleet.join(worker(1), at(0.0));
    let first = fleet.submit(task(5), at(0.0)).unwrap().ticket;
    let second = fleet.submit(task(5), at(0.0)).unwrap().ticket;
    for (step, ticket) in [first, second, first, second].into_iter().enumerate() {
        let now = at(step as f64);
        assert_eq!(fleet.dispatch(now).unwrap().ticket, ticket);
        assert_eq!(fleet.slice_over(ticket, 1, now), Turn::MakesWay);
    }
}

#[test]
fn no_more_make_way_than_are_waited_for() {
    let mut fleet = scheduler(QueueConfig::of(policy("priority")));
    fleet.join(worker(3), at(0.0));
    let of = |class| oag_schedule::Task { class, ..task(5) };
    for _ in 0..3 {
        fleet.submit(of(Class::Batch), at(0.0)).unwrap();
        fleet.dispatch(at(0.0)).unwrap();
    }
    for class in [Class::Critical, Class::Batch, Class::Batch, Class::Batch] {
        fleet.submit(of(class), at(1.0)).unwrap();
    }
    assert!(fleet.preempt(at(1.0)).is_some());
    assert_eq!(fleet.preempt(at(1.0)), None, "one waits that is more urgent");
}

#[test]
fn a_long_chain_falls_as_a_whole() {
    let mut config = QueueConfig::of(policy("fcfs"));
    config.bounds.tasks_max = 100_000;
    config.bounds.tokens_max = u64::MAX;
    let mut fleet = scheduler(config);
    fleet.join(worker(1), at(0.0));
    let first = fleet.submit(task(5), at(0.0)).unwrap().ticket;
    let mut last = first;
    for _ in 0..50_000 {
        let next = oag_schedule::Task { after: vec![last], ..task(5) };
        last = fleet.submit(next, at(0.0)).unwrap().ticket;
    }
    assert!(!fleet.cancel(first, 0, at(1.0)), "it was not running");
    assert_eq!(fleet.refused(at(1.0)).len(), 50_000);
    assert!(fleet.is_empty() && fleet.queue("m").unwrap().is_empty());
}

#[test]
fn a_suspect_worker_gets_nothing_until_it_is_heard_from() {
    let mut fleet = scheduler(QueueConfig::default());
    let id = fleet.join(worker(1), at(0.0));
    fleet.submit(task(5), at(0.0)).unwrap();
    fleet.set_health(id, Health::Suspect, at(0.0));
    assert!(fleet.dispatch(at(0.0)).is_none());
    fleet.set_health(id, Health::Ready, at(1.0));
    assert!(fleet.dispatch(at(1.0)).is_some());
}

#[test]
fn the_context_travels_and_the_wait_is_foretold() {
    let mut fleet = scheduler(QueueConfig::of(policy("fcfs")));
    fleet.join(worker(2), Moment::START);
    let told = |fleet: &mut oag_schedule::Scheduler| {
        fleet.submit_expecting(task(1), Some(30.0), Moment::START).unwrap()
    };
    let first = told(&mut fleet);
    assert!((first.expected_tokens - 30.0).abs() < 1e-9);
    for _ in 0..3 {
        told(&mut fleet);
    }
    // 4 x 30 s of work on two slots.
    assert_eq!(told(&mut fleet).expected_wait.as_secs(), 75);
    let waiting = fleet.queue("m").unwrap().peek(9, at(2.0));
    assert!(waiting.iter().all(|line| line.tenant.as_str() == "default"));
}
