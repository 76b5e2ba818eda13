//! The simulated fleet: traces, arithmetic that can be done by hand, faults.

use oag_schedule::length::{Ending, Facts, Predictor};
use oag_schedule::queue::QueueConfig;
use oag_schedule::simulate::{Faults, Setup, Summary, Trace, TraceError, run};
use oag_schedule::{Config, Rates};

use crate::{RATES, policy};

fn trace(requests: &[(f64, u32, u32)]) -> Trace {
    Trace::of(requests.to_vec()).unwrap()
}

/// Requests in two sizes that their prompts tell apart, as the days of a shop go: up and down.
fn made_up(requests: u32) -> Trace {
    let one = |number: u32| {
        let short = number * 7 % 5 < 3;
        let at = f64::from(number) + 0.4 * f64::from(number % 60);
        (at, if short { 100 } else { 1_000 }, if short { 20 } else { 300 })
    };
    trace(&(0..requests).map(one).collect::<Vec<_>>())
}

fn setup(name: &str, nodes: usize, slots: u32) -> Setup {
    let config = Config { queue: QueueConfig::of(policy(name)), ..Config::default() };
    Setup { slots, rates: RATES, ..Setup::new(nodes, config) }
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-3
}

#[test]
fn waits_are_what_they_are_on_paper() {
    // One slot, a token a second: 10 s, then 4 s and 2 s that come meanwhile.
    let three = trace(&[(0.0, 1, 10), (1.0, 1, 4), (2.0, 1, 2)]);
    let (first, _) = run(&three, &setup("fcfs", 1, 1));
    let waits: Vec<f64> = first.served.iter().map(|served| served.wait_s()).collect();
    assert!(near(waits[0], 0.0) && near(waits[1], 9.0) && near(waits[2], 12.0), "{waits:?}");
    assert!(near(first.summary().wait_mean_s, 7.0));
    assert!(near(first.summary().response_max_s, 14.0));
    let oracle = Setup { oracle: true, ..setup("sjf", 1, 1) };
    let (shortest, _) = run(&three, &oracle);
    assert!(near(shortest.summary().wait_mean_s, (8.0 + 11.0) / 3.0));
    let (two, _) = run(&three, &setup("fcfs", 2, 1));
    assert!(near(two.summary().wait_mean_s, 1.0), "{:?}", two.summary());
}

#[test]
fn loads_and_halves_and_copies_are_exact() {
    let whole = made_up(600);
    let loaded = whole.at_load(0.9, 8, &RATES);
    assert!((loaded.work_s(&RATES) / (8.0 * loaded.duration_s()) - 0.9).abs() < 1e-3);
    let (first, second) = whole.halves().unwrap();
    assert_eq!(first.arrivals().len() + second.arrivals().len(), 600);
    assert_eq!(second.arrivals()[0].at.micros(), 0);
    let many = whole.copies(5, 1);
    assert_eq!(many.arrivals().len(), 3_000);
    assert!(near(many.duration_s(), whole.duration_s()));
    assert_eq!(many, whole.copies(5, 1));
    assert_ne!(many, whole.copies(5, 2));
}

#[test]
fn a_trace_is_read_or_says_what_is_wrong_with_it() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 23:59:59.5,3,4\n\
                2023-11-17 00:00:01.0,5,6\n";
    let read = Trace::parse(text).unwrap();
    assert!(near(read.duration_s(), 1.5));
    assert_eq!((read.arrivals()[1].prompt, read.arrivals()[1].answer), (5, 6));
    assert!(matches!(Trace::parse("a,b\n1,2\n"), Err(TraceError::Header(_))));
    let wrong = |line: &str| {
        let text = format!("TIMESTAMP,ContextTokens,GeneratedTokens\n0.5,1,1\n{line}\n");
        Trace::parse(&text).unwrap_err().to_string()
    };
    assert_eq!(wrong("1.0,2"), "line 3: 2 fields where 3 were expected");
    assert!(wrong("2023-02-30x 1,2,3").contains("is no time such as"));
    assert!(wrong("1.0,-2,3").contains("ContextTokens '-2' is not a whole number"));
    assert!(matches!(Trace::parse(&text[..66]), Err(TraceError::TooFew(1))));
}

#[test]
fn the_same_seed_gives_the_same_outcome_and_all_is_accounted_for() {
    let faults = Faults { crash: 3, slow: 2, late: 3 };
    for name in ["fcfs", "sjf", "priority", "mlfq", "balanced"] {
        let setup = Setup { faults, ..setup(name, 20, 2) };
        let trace = made_up(800).at_load(0.7, 40, &RATES);
        let (one, left) = run(&trace, &setup);
        let (other, _) = run(&trace, &setup);
        assert_eq!((&one.served, one.losses), (&other.served, other.losses), "{name}");
        assert_eq!(one.served.len() + one.refused + one.given_up, 800, "{name}");
        assert!(left.is_empty() && one.losses > 0, "{name}");
        assert!(one.given_up == 0 && one.refused == 0, "{name}");
    }
}

#[test]
fn slow_workers_are_given_less_than_their_share() {
    let setup =
        Setup { faults: Faults { slow: 5, ..Faults::default() }, ..setup("balanced", 20, 4) };
    let (outcome, _) = run(&made_up(4_000).at_load(0.5, 80, &RATES), &setup);
    let slow: usize = outcome.begun[..5].iter().sum();
    assert!(slow * 8 < outcome.begun.iter().sum(), "{:?}", outcome.begun);
}

#[test]
fn the_default_is_between_the_order_of_arrival_and_the_oracle() {
    let (taught, judged) = made_up(6_000).halves().unwrap();
    let mut predictor = Predictor::default();
    for arrival in taught.arrivals() {
        let facts =
            Facts { model: "model".to_owned(), prompt_tokens: arrival.prompt, ..Facts::default() };
        predictor.learn(&facts, "default", Ending::Complete(arrival.answer));
    }
    let judged = judged.at_load(0.95, 8, &RATES);
    let summary = |name: &str, oracle: bool| -> Summary {
        let predictor = predictor.clone();
        run(&judged, &Setup { predictor, oracle, ..setup(name, 1, 8) }).0.summary()
    };
    let (fcfs, default) = (summary("fcfs", false), summary("balanced", false));
    let oracle = summary("sjf", true);
    assert!(default.wait_mean_s < 0.9 * fcfs.wait_mean_s, "{default:?} {fcfs:?}");
    assert!(default.wait_max_s < 2.0 * fcfs.wait_max_s, "{default:?} {fcfs:?}");
    assert!(oracle.wait_mean_s <= 1.05 * default.wait_mean_s, "{oracle:?} {default:?}");
}

#[test]
fn overload_is_answered_and_not_piled_up() {
    let mut setup = setup("balanced", 1, 1);
    setup.scheduler.queue.bounds.tasks_max = 20;
    let (outcome, _) = run(&made_up(500).at_load(4.0, 1, &RATES), &setup);
    assert!(outcome.refused > 200, "{}", outcome.refused);
    assert!(outcome.course.iter().all(|point| point.waiting <= 20));
    assert!(Rates::default().is_sound());
}
