//! Taking signals in, and asking for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use oag_ops::{HubConfig, LongTerm, LongTermError, SeriesFilter, SignalHub};
use oag_runtime::{Clock, FakeClock, SystemClock};
use oag_types::{Code, Sample, SeriesKey, Signal, Tenant, Timestamp};

use crate::support::*;

/// Keeps everything in a map.
#[derive(Default)]
pub(crate) struct Kept(Mutex<BTreeMap<(Tenant, SeriesKey), BTreeMap<i64, f64>>>);

impl LongTerm for Kept {
    fn append(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        sample: Sample,
    ) -> Result<(), LongTermError> {
        let mut all = self.0.lock().unwrap();
        let series = all.entry((tenant.clone(), key.clone())).or_default();
        series.insert(sample.at.as_millis(), sample.value);
        Ok(())
    }

    fn range(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Sample>, LongTermError> {
        let all = self.0.lock().unwrap();
        let series = all.get(&(tenant.clone(), key.clone())).cloned().unwrap_or_default();
        let range = series.range(from.as_millis()..to.as_millis());
        let sample =
            |(at, value): (&i64, &f64)| Sample { at: Timestamp::from_millis(*at), value: *value };
        Ok(range.map(sample).collect())
    }

    fn series(&self, tenant: &Tenant) -> Result<Vec<SeriesKey>, LongTermError> {
        let all = self.0.lock().unwrap();
        Ok(all.keys().filter(|(t, _)| t == tenant).map(|(_, key)| key.clone()).collect())
    }
}

struct Setup {
    hub: SignalHub,
    clock: FakeClock,
    kept: Arc<Kept>,
    tenant: Tenant,
}

fn setup(change: impl FnOnce(&mut HubConfig)) -> Setup {
    let mut config = HubConfig::default();
    change(&mut config);
    let clock = FakeClock::at(now());
    let kept = Arc::new(Kept::default());
    let long_term: Arc<dyn LongTerm> = Arc::clone(&kept) as _;
    let hub = SignalHub::new(config, Arc::new(clock.clone()), Some(long_term));
    Setup { hub, clock, kept, tenant: Tenant::default_tenant() }
}

fn signal(name: &str, at: i64, value: f64) -> Signal {
    let sample = Sample { at: now().plus_millis(at), value };
    Signal { key: SeriesKey::new(name), sample }
}

fn values(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

#[test]
fn each_signal_is_judged_by_itself() {
    let Setup { hub, tenant, .. } = setup(|_| {});
    let mut labels = signal("up", 0, 1.0);
    labels.key = labels.key.with("bad label", "x");
    let mut many = signal("up", 0, 1.0);
    for at in 0..21 {
        many.key = many.key.with(format!("l{at}"), "x");
    }
    let report = hub.ingest(
        &tenant,
        &[
            signal("request_rate", 0, 1.0),
            signal("1up", 0, 1.0),
            signal("", 0, 1.0),
            signal(&"x".repeat(201), 0, 1.0),
            signal("up", 0, f64::NAN),
            signal("up", 300_001, 1.0),
            signal("up", -400 * 86_400_000 - 1, 1.0),
            labels,
            many,
            signal("request_rate", 0, 2.0),
            signal("订单", 0, 1.0),
        ],
    );
    assert_eq!(
        (report.accepted, report.duplicates, report.future, report.new_series),
        (1, 1, 1, 1)
    );
    let refused: Vec<_> = report.rejected.iter().map(|(at, _)| *at).collect();
    assert_eq!(refused, [1, 2, 3, 4, 5, 6, 7, 8, 10]);
    assert!(report.rejected.iter().all(|(_, problem)| problem.code == Code::INVALID_INPUT));
    // The first value of a moment stays.
    let key = SeriesKey::new("request_rate");
    assert_eq!(hub.latest(&tenant, &key).unwrap().value, 1.0);
    let counters = hub.counters();
    assert_eq!((counters.accepted, counters.rejected, counters.series), (1, 9, 1));
}

#[test]
fn the_limit_of_series_is_said_for_each_signal() {
    let Setup { hub, clock, tenant, .. } = setup(|config| config.series_max = 2);
    let report =
        hub.ingest(&tenant, &[signal("a", 0, 1.0), signal("b", 0, 1.0), signal("c", 0, 1.0)]);
    assert_eq!(report.accepted, 2);
    assert_eq!(report.rejected[0].1.code, Code::TOO_MANY_SERIES);
    // Other tenants have their own limit; a series that is idle for a day makes room.
    let other: Tenant = "other".parse().unwrap();
    assert_eq!(hub.ingest(&other, &[signal("c", 0, 1.0)]).accepted, 1);
    clock.advance(86_400_000);
    assert_eq!(hub.ingest(&tenant, &[signal("b", 86_400_000, 1.0)]).accepted, 1);
    assert_eq!(hub.ingest(&tenant, &[signal("c", 86_400_000, 1.0)]).accepted, 1);
    assert_eq!(hub.counters().evicted, 1);
    assert_eq!(hub.latest(&tenant, &SeriesKey::new("a")), None);
}

#[test]
fn late_samples_find_their_place_or_go_to_long_term_storage() {
    let Setup { hub, tenant, kept, .. } = setup(|config| config.ring_samples = 3);
    let key = SeriesKey::new("a");
    hub.ingest(&tenant, &[signal("a", -4_000, 4.0), signal("a", -1_000, 1.0)]);
    let report = hub.ingest(&tenant, &[signal("a", -2_000, 2.0)]);
    assert_eq!((report.accepted, report.late), (1, 0));
    let report = hub.ingest(&tenant, &[signal("a", -3_000, 3.0), signal("a", -5_000, 5.0)]);
    assert_eq!((report.accepted, report.late), (1, 1));
    let all = hub.window(&tenant, &key, now().plus_millis(-10_000), now());
    assert_eq!(values(&all), [5.0, 4.0, 3.0, 2.0, 1.0]);
    assert_eq!(kept.0.lock().unwrap().len(), 1);
    let some = hub.window(&tenant, &key, now().plus_millis(-4_000), now().plus_millis(-1_000));
    assert_eq!(values(&some), [4.0, 3.0, 2.0]);
    assert!(hub.window(&tenant, &key, now(), now().plus_millis(-1)).is_empty());
}

#[test]
fn views_lie_on_the_grid_and_join_series() {
    let Setup { hub, tenant, .. } = setup(|_| {});
    let order = service("order");
    hub.set_services(&tenant, std::slice::from_ref(&order));
    let of = |name: &str, pod: &str, step: i64, value: f64| Signal {
        key: SeriesKey::of_service(name, &order.name).with("pod", pod),
        sample: Sample { at: now().plus_millis(step * STEP_MS), value },
    };
    let mut signals = Vec::new();
    for name in ["request_rate", "latency_p99_ms", "error_rate"] {
        signals.extend([of(name, "a", -3, 1.0), of(name, "b", -3, 3.0), of(name, "a", -1, 2.0)]);
    }
    hub.ingest(&tenant, &signals);
    let view = |name: &str| hub.view(&tenant, &order, name, 4, now());
    assert_eq!(view("request_rate").values, [None, Some(4.0), None, Some(2.0)]);
    assert_eq!(view("latency_p99_ms").values, [None, Some(3.0), None, Some(2.0)]);
    assert_eq!(view("error_rate").values, [None, Some(2.0), None, Some(2.0)]);
    assert_eq!(view("nothing").values, [None; 4]);
    assert!(view("request_rate").is_fresh(now()));
    assert!(!view("request_rate").is_fresh(now().plus_millis(2 * STEP_MS)));
    assert_eq!(hub.fresh(&tenant, &order.name, "request_rate", now()), Some(2.0));
    let later = now().plus_millis(3 * STEP_MS);
    assert_eq!(hub.fresh(&tenant, &order.name, "request_rate", later), None);
    let filter = SeriesFilter { name_prefix: Some("lat".to_owned()), ..Default::default() };
    assert_eq!(hub.series(&tenant, &filter).len(), 2);
    let filter = SeriesFilter { service: Some(name("other")), ..Default::default() };
    assert!(hub.series(&tenant, &filter).is_empty());
}

#[test]
fn a_forecaster_is_taught_by_import_by_storage_and_by_what_comes() {
    let wave = |step: i64| {
        let day = std::f64::consts::TAU * step as f64 / 2880.0;
        1000.0 + 500.0 * day.sin()
    };
    let past: Vec<Sample> = (-5760..0)
        .map(|step| Sample { at: now().plus_millis(step * STEP_MS), value: wave(step) })
        .collect();
    let order = service("order");
    let key = SeriesKey::of_service("request_rate", &order.name);
    let ask =
        |setup: &Setup| setup.hub.forecast(&setup.tenant, &order, "request_rate", now()).unwrap();
    // Imported before anything else.
    let imported = setup(|_| {});
    imported.hub.set_services(&imported.tenant, std::slice::from_ref(&order));
    let report = imported.hub.backfill(&imported.tenant, &key, &past).unwrap();
    assert_eq!((report.accepted, report.stored, report.taught), (5760, 5760, true));
    let forecast = ask(&imported);
    assert_ne!(forecast.method, "damped_holt");
    assert!((forecast.mean[9] - wave(9)).abs() < 50.0, "{forecast:?}");
    // Read from storage after a restart.
    let restarted = setup(|_| {});
    for sample in &past {
        restarted.kept.append(&restarted.tenant, &key, *sample).unwrap();
    }
    let sample = Sample { at: now(), value: wave(0) };
    restarted.hub.ingest(&restarted.tenant, &[Signal { key, sample }]);
    assert!((ask(&restarted).mean[9] - wave(9)).abs() < 50.0);
    // From a few samples alone.
    assert!(setup(|_| {}).hub.forecast(&imported.tenant, &order, "request_rate", now()).is_none());
}

#[test]
fn scores_come_once_a_step_and_gaps_are_gaps() {
    let Setup { hub, clock, tenant, .. } = setup(|_| {});
    for step in 0..200_i64 {
        let value = 100.0 + (step % 5) as f64;
        hub.ingest(&tenant, &[signal("a", step * 1_000, value)]);
        clock.advance(1_000);
    }
    let scored = hub.counters().scored;
    assert_eq!(scored, 200);
    let key = SeriesKey::new("a");
    assert!(!hub.score(&tenant, &key).unwrap().alert);
    hub.ingest(&tenant, &[signal("a", 200_000, 10_000.0)]);
    assert!(hub.score(&tenant, &key).unwrap().score > 0.5);
    // A second sample in the same step is kept, not scored.
    hub.ingest(&tenant, &[signal("a", 200_500, 10_000.0)]);
    assert_eq!(hub.counters().scored, 201);
}

#[test]
fn ten_thousand_series_cost_little() {
    let clock = SystemClock::new();
    let fake = FakeClock::at(now());
    let hub = SignalHub::new(HubConfig::default(), Arc::new(fake.clone()), None);
    let tenant = Tenant::default_tenant();
    let services: Vec<_> = (0..200).map(|at| service(&format!("s{at}"))).collect();
    hub.set_services(&tenant, &services);
    let mut signals: Vec<Signal> = services
        .iter()
        .flat_map(|service| (0..50).map(move |pod| (service, pod)))
        .map(|(service, pod)| Signal {
            key: SeriesKey::of_service(format!("metric_{pod}"), &service.name).with("pod", "x"),
            sample: Sample { at: now(), value: 1.0 },
        })
        .collect();
    let rounds = 40;
    let mut longest = 0.0_f64;
    for round in 0..rounds {
        for (at, signal) in signals.iter_mut().enumerate() {
            signal.sample.at = fake.now();
            signal.sample.value = 100.0 + ((at * 7 + round * 13) % 17) as f64;
        }
        let begin = clock.monotonic();
        assert_eq!(hub.ingest(&tenant, &signals).accepted, 10_000);
        if round > 5 {
            longest = longest.max((clock.monotonic() - begin).as_secs_f64());
        }
        fake.advance(STEP_MS);
    }
    let bytes = hub.memory_bytes();
    println!("longest step {:.1} ms, {:.1} MB", longest * 1000.0, bytes as f64 / 1e6);
    assert!(bytes < 300_000_000, "{bytes} bytes");
    assert!(longest < 5.0, "{longest} s");
}
