//! The breaker against a model that keeps every result and recounts from the start.

use oag_guard::{Breaker, BreakerConfig, BreakerState, Token, Transition};
use oag_types::{PrincipalId, Timestamp};
use proptest::prelude::*;

use crate::world::{START_MS, id};

#[derive(Debug, Clone)]
enum Op {
    Wait(i64),
    Ask,
    Answer(usize, bool),
    Trip,
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..400_i64).prop_map(Op::Wait),
        1 => (0..6_000_i64).prop_map(Op::Wait),
        8 => Just(Op::Ask),
        8 => (any::<usize>(), prop::bool::weighted(0.5)).prop_map(|(n, ok)| Op::Answer(n, ok)),
        1 => Just(Op::Trip),
        1 => Just(Op::Reset),
    ]
}

fn config() -> impl Strategy<Value = BreakerConfig> {
    (prop::bool::weighted(0.9), 1..=100_u32, 1..6_000_i64, 1..8_u32, 1..4_u32).prop_map(
        |(enabled, failure_threshold, sleep_window_ms, request_volume_threshold, probes)| {
            BreakerConfig {
                enabled,
                failure_threshold,
                sleep_window_ms,
                request_volume_threshold,
                rolling_window_ms: 1_000,
                rolling_window_buckets: 10,
                half_open_probes: probes,
            }
        },
    )
}

/// The naive one. An era begins with every change of state; what belongs to an older one is
/// ignored.
struct Naive {
    config: BreakerConfig,
    state: BreakerState,
    forced: bool,
    era: usize,
    opened: i64,
    results: Vec<(i64, bool)>,
    probes_out: u32,
    probes_good: u32,
    last_probe: i64,
}

impl Naive {
    fn enter(&mut self, state: BreakerState) {
        self.state = state;
        self.era += 1;
        self.results.clear();
        self.probes_out = 0;
        self.probes_good = 0;
    }

    fn probe(&mut self, now: i64) -> Option<usize> {
        self.probes_out += 1;
        self.last_probe = now;
        Some(self.era)
    }

    fn ask(&mut self, now: i64) -> Option<usize> {
        if self.forced {
            return None;
        }
        let sleep = self.config.sleep_window_ms;
        match self.state {
            BreakerState::Closed => Some(self.era),
            BreakerState::Open if now - self.opened < sleep => None,
            BreakerState::Open => {
                self.enter(BreakerState::HalfOpen);
                self.probe(now)
            }
            BreakerState::HalfOpen => {
                if self.probes_out + self.probes_good < self.config.half_open_probes {
                    return self.probe(now);
                }
                if now - self.last_probe < sleep {
                    return None;
                }
                self.enter(BreakerState::HalfOpen);
                self.probe(now)
            }
        }
    }

    fn answer(&mut self, now: i64, good: bool, era: usize) {
        if self.forced || era != self.era {
            return;
        }
        match self.state {
            BreakerState::Open => {}
            BreakerState::Closed => {
                self.results.push((now, good));
                let inside = self.results.iter().filter(|(at, _)| now / 100 - at / 100 < 10);
                let (all, bad) =
                    inside.fold((0, 0), |(all, bad), (_, good)| (all + 1, bad + u32::from(!good)));
                let many = all >= self.config.request_volume_threshold;
                let enough = bad * 100 >= all * self.config.failure_threshold;
                if self.config.enabled && many && enough {
                    self.opened = now;
                    self.enter(BreakerState::Open);
                }
            }
            BreakerState::HalfOpen if good => {
                self.probes_out -= 1;
                self.probes_good += 1;
                if self.probes_good == self.config.half_open_probes {
                    self.enter(BreakerState::Closed);
                }
            }
            BreakerState::HalfOpen => {
                self.opened = now;
                self.enter(BreakerState::Open);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_naive_one_does(
        config in config(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let by: PrincipalId = id("usr", 1);
        let mut breaker = Breaker::new(config);
        let mut naive = Naive {
            config,
            state: BreakerState::Closed,
            forced: false,
            era: 0,
            opened: 0,
            results: Vec::new(),
            probes_out: 0,
            probes_good: 0,
            last_probe: 0,
        };
        let mut out: Vec<(Token, usize)> = Vec::new();
        let mut now = Timestamp::from_millis(START_MS);
        for op in ops {
            let ms = now.as_millis();
            let state = breaker.state();
            let mut event = None;
            match op {
                Op::Wait(by) => now = now.plus_millis(by),
                Op::Ask => {
                    let admission = breaker.try_acquire(now);
                    let era = naive.ask(ms);
                    prop_assert_eq!(admission.is_admitted(), era.is_some());
                    if let Some(retry_at) = admission.retry_at {
                        prop_assert!(retry_at > now && !breaker.clone().try_acquire(now).is_admitted());
                        prop_assert!(breaker.clone().try_acquire(retry_at).is_admitted());
                    }
                    event = admission.event;
                    if let (Some(token), Some(era)) = (admission.token, era) {
                        prop_assert_eq!(token.is_probe(), naive.state == BreakerState::HalfOpen);
                        out.push((token, era));
                    }
                }
                Op::Answer(n, good) if !out.is_empty() => {
                    let (token, era) = out.swap_remove(n % out.len());
                    event = breaker.record(now, good, token);
                    naive.answer(ms, good, era);
                }
                Op::Answer(..) => {}
                Op::Trip => {
                    event = Some(breaker.trip(now, by, "by hand"));
                    naive.forced = true;
                    naive.enter(BreakerState::Open);
                }
                Op::Reset => {
                    event = breaker.reset(now, by);
                    if naive.forced || naive.state != BreakerState::Closed {
                        naive.forced = false;
                        naive.enter(BreakerState::Closed);
                    }
                }
            }
            prop_assert_eq!(breaker.state(), naive.state);
            if breaker.state() != state {
                prop_assert!(event.is_some(), "a change without an event");
            }
            let snapshot = breaker.snapshot(now);
            prop_assert!(snapshot.probes_in_flight <= config.half_open_probes);
            prop_assert_eq!(snapshot.probes_in_flight, naive.probes_out);
            prop_assert_eq!(snapshot.forced_open, naive.forced);
        }
        let text = serde_json::to_string(&breaker).unwrap();
        prop_assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(START_MS + ms)
}

fn fail(breaker: &mut Breaker, times: usize, now: Timestamp) -> Option<Transition> {
    let tokens: Vec<_> = (0..times).filter_map(|_| breaker.try_acquire(now).token).collect();
    let events = tokens.into_iter().filter_map(|token| breaker.record(now, false, token));
    events.last().map(|event| event.transition)
}

#[test]
fn its_configuration_is_written_with_the_agreed_names() {
    let text = serde_json::to_string(&BreakerConfig::default()).unwrap();
    assert_eq!(
        text,
        r#"{"enabled":true,"failureThreshold":50,"sleepWindowInMs":30000,"requestVolumeThreshold":20}"#
    );
    assert_eq!(serde_json::from_str::<BreakerConfig>(&text).unwrap(), BreakerConfig::default());
    let wrong = serde_json::from_str::<BreakerConfig>(r#"{"failureTreshold":5}"#).unwrap_err();
    assert!(wrong.to_string().contains("unknown field `failureTreshold`"), "{wrong}");
    let zero = BreakerConfig { failure_threshold: 0, ..BreakerConfig::default() };
    assert_eq!(
        zero.validate().unwrap_err().to_string(),
        "failureThreshold: must be a percentage, 1 to 100"
    );
}

#[test]
fn it_opens_at_the_threshold_probes_after_the_sleep_and_closes() {
    let mut breaker = Breaker::new(BreakerConfig::default());
    assert_eq!(fail(&mut breaker, 19, at(0)), None);
    let opened = fail(&mut breaker, 1, at(1));
    assert_eq!(opened, Some(Transition::Opened { requests: 20, failures: 20 }));
    assert!(!breaker.try_acquire(at(30_000)).is_admitted());
    let snapshot = breaker.snapshot(at(2));
    assert_eq!((snapshot.failures, snapshot.next_probe_at), (20, Some(at(30_001))));
    let probe = breaker.try_acquire(at(30_001));
    assert!(!breaker.try_acquire(at(30_002)).is_admitted(), "one probe at a time");
    let closed = breaker.record(at(30_003), true, probe.token.unwrap()).unwrap();
    assert_eq!((closed.transition, breaker.state()), (Transition::Closed, BreakerState::Closed));
}

#[test]
fn what_fell_out_of_the_window_does_not_count() {
    let mut breaker = Breaker::new(BreakerConfig::default());
    assert_eq!(fail(&mut breaker, 19, at(0)), None);
    assert_eq!(breaker.snapshot(at(9_999)).requests, 19);
    assert_eq!(breaker.snapshot(at(10_000)).requests, 0);
    assert_eq!(fail(&mut breaker, 1, at(10_000)), None);
    assert_eq!(breaker.snapshot(at(10_000)).requests, 1);
}

#[test]
fn late_results_do_not_count() {
    let mut breaker = Breaker::new(BreakerConfig::default());
    let late = breaker.try_acquire(at(0)).token.unwrap();
    fail(&mut breaker, 20, at(0));
    let probe = breaker.try_acquire(at(30_000)).token.unwrap();
    assert_eq!(breaker.record(at(30_001), false, late), None);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.record(at(30_002), true, probe).is_some());
}

#[test]
fn a_probe_that_never_answers_does_not_block_for_ever() {
    let mut breaker = Breaker::new(BreakerConfig::default());
    fail(&mut breaker, 20, at(0));
    let lost = breaker.try_acquire(at(30_000)).token.unwrap();
    assert!(!breaker.try_acquire(at(59_999)).is_admitted());
    assert!(breaker.try_acquire(at(60_000)).is_admitted());
    assert_eq!(breaker.record(at(60_001), true, lost), None, "given up is given up");
}

#[test]
fn tripped_by_hand_it_stays_open_until_reset() {
    let by: PrincipalId = id("usr", 1);
    let off = BreakerConfig { enabled: false, ..BreakerConfig::default() };
    let mut breaker = Breaker::new(off);
    assert_eq!(fail(&mut breaker, 50, at(0)), None, "switched off, it does not open by itself");
    breaker.trip(at(1), by, "maintenance");
    let refused = breaker.try_acquire(at(1_000_000));
    assert_eq!((refused.is_admitted(), refused.retry_at), (false, None));
    let snapshot = breaker.snapshot(at(1_000_000));
    assert_eq!((snapshot.forced_open, snapshot.forced_by), (true, Some(by)));
    assert_eq!(snapshot.next_probe_at, None);
    assert_eq!(breaker.reset(at(2), by).unwrap().transition, Transition::Reset { by });
    assert!(breaker.try_acquire(at(3)).is_admitted());
    assert_eq!(breaker.reset(at(4), by), None);
}
