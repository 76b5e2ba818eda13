//! Values, days, limits and retention.

use std::collections::BTreeMap;

use oag_series::{Downsample, SeriesConfig, SeriesError, SeriesStore};
use oag_types::{Tenant, Timestamp};
use proptest::prelude::*;

use crate::kit::{DAY, Kit, MINUTE, START, all, files, key, sample, tenant};

#[derive(Debug, Clone)]
enum Step {
    Append { series: u8, minute: i64, value: f64 },
    Flush,
    Seal,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let any_value = prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        (0..1_000_i32).prop_map(f64::from),
    ];
    prop_oneof![
        40 => (0..3_u8, 0..4_320_i64, any_value)
            .prop_map(|(series, minute, value)| Step::Append { series, minute, value }),
        2 => Just(Step::Flush),
        1 => Just(Step::Seal),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Gaps, duplicates, any order, sealing and restarts at any time: every minute has the first
    /// value that came for it, bit for bit, or the last while it was the newest.
    #[test]
    fn what_goes_in_comes_out(steps in prop::collection::vec(step(), 1..300)) {
        let mut kit = Kit::new();
        kit.config.downsample = Downsample::Last;
        kit.clock.advance(5 * DAY);
        let mut store = Some(kit.open());
        let mut expected: BTreeMap<u8, BTreeMap<i64, f64>> = BTreeMap::new();
        // The newest minute that is still in memory may still change.
        let mut open: BTreeMap<u8, i64> = BTreeMap::new();
        let mut sealed = expected.clone();
        for step in steps {
            match step {
                Step::Append { series, minute, value } => {
                    let name = key(&format!("s{series}"));
                    let at = sample(minute * MINUTE + 59_999, value);
                    store.as_ref().unwrap().append(&tenant(), &name, at).unwrap();
                    let values = expected.entry(series).or_default();
                    let newest = open.get(&series).copied();
                    let is_sealed = sealed.get(&series).is_some_and(|s| s.contains_key(&minute));
                    if newest == Some(minute) && !is_sealed {
                        values.insert(minute, value);
                    } else {
                        values.entry(minute).or_insert(value);
                        open.insert(series, newest.unwrap_or(minute).max(minute));
                    }
                }
                Step::Flush => store.as_ref().unwrap().flush().unwrap(),
                Step::Seal => {
                    store.as_ref().unwrap().maintain().unwrap();
                    open.clear();
                    sealed.clone_from(&expected);
                }
                Step::Restart => {
                    drop(store.take());
                    store = Some(kit.open());
                }
            }
        }
        let store = store.unwrap();
        store.maintain().unwrap();
        for (series, values) in expected {
            let got = all(&store, &key(&format!("s{series}")));
            let got: Vec<(i64, u64)> = got
                .into_iter()
                .map(|s| ((s.at.as_millis() - START) / MINUTE, s.value.to_bits()))
                .collect();
            let wanted: Vec<(i64, u64)> =
                values.into_iter().map(|(minute, value)| (minute, value.to_bits())).collect();
            prop_assert_eq!(got, wanted);
        }
        prop_assert_eq!(store.stats().buffered, 0);
    }
}

#[test]
fn a_minute_has_one_value() {
    for (how, wanted) in [(Downsample::Mean, 4.0), (Downsample::Last, 3.0), (Downsample::Max, 7.0)]
    {
        let mut kit = Kit::new();
        kit.config.downsample = how;
        let store = kit.open();
        for (millis, value) in [(0, 2.0), (15_000, 7.0), (59_999, 3.0)] {
            store.append(&tenant(), &key("m"), sample(millis, value)).unwrap();
        }
        store.append(&tenant(), &key("m"), sample(MINUTE, 9.0)).unwrap();
        assert_eq!(all(&store, &key("m")), [sample(0, wanted), sample(MINUTE, 9.0)]);
        let part = |from, to| {
            let (from, to) = (START + from, START + to);
            let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
            store.range(&tenant(), &key("m"), from, to).unwrap().len()
        };
        assert_eq!(
            [part(0, MINUTE), part(1, MINUTE), part(1, MINUTE + 1), part(9, 5)],
            [1, 0, 1, 0]
        );
        // The mean goes on where it was after a restart.
        store.append(&tenant(), &key("m"), sample(2 * MINUTE, 1.0)).unwrap();
        drop(store);
        let store = kit.open();
        store.append(&tenant(), &key("m"), sample(2 * MINUTE + 1, 2.0)).unwrap();
        let value = all(&store, &key("m"))[2].value;
        assert!((value - if how == Downsample::Mean { 1.5 } else { 2.0 }).abs() < 1e-12);
    }
}

#[test]
fn ended_days_are_sealed_into_one_file_each_and_old_ones_go() {
    let mut kit = Kit::new();
    kit.config.retention_days = 3;
    let store = kit.open();
    let name = |n: i64| key(&format!("s{n}"));
    for minute in 0..6 * 1_440 {
        kit.clock.set(Timestamp::from_millis(START + minute * MINUTE));
        for n in 0..3 {
            let value = (minute * n) as f64;
            store.append(&tenant(), &name(n), sample(minute * MINUTE, value)).unwrap();
        }
        if minute % 600 == 0 {
            store.maintain().unwrap();
        }
    }
    store.maintain().unwrap();
    assert_eq!(files(kit.dir.path(), ".series").len(), 3, "days 2, 3 and 4; day 5 is buffered");
    assert_eq!(files(kit.dir.path(), ".log").len(), 1);
    assert_eq!(files(kit.dir.path(), ".working").len(), 0);
    let kept = all(&store, &name(2));
    assert_eq!(kept.len(), 4 * 1_440);
    assert_eq!(kept[0], sample(2 * DAY, (2 * 1_440 * 2) as f64));
    assert_eq!(store.series(&tenant()), [name(0), name(1), name(2)]);
    let stats = store.stats();
    assert_eq!((stats.series, stats.files, stats.buffered), (3, 3, 3 * 1_440));
    // What comes too late or from too far ahead is said, not kept.
    let refused = |millis| store.append(&tenant(), &name(0), sample(millis, 1.0));
    assert!(matches!(refused(DAY), Err(SeriesError::Refused(_))));
    assert!(matches!(refused(7 * DAY), Err(SeriesError::Refused(_))));
    assert!(matches!(
        store.append(&tenant(), &name(0), sample(5 * DAY, f64::NAN)),
        Err(SeriesError::Refused(_))
    ));
    // Series that ended go with their last day.
    kit.clock.advance(10 * DAY);
    store.append(&tenant(), &key("new"), sample(15 * DAY, 1.0)).unwrap();
    store.maintain().unwrap();
    store.maintain().unwrap();
    assert_eq!(store.series(&tenant()), [key("new")]);
    assert_eq!(store.stats().series, 1);
    drop(store);
    assert_eq!(kit.open().series(&tenant()), [key("new")]);
}

#[test]
fn a_full_memory_is_sealed_early_and_limits_are_said() {
    let mut kit = Kit::new();
    kit.config.buffered_max = 400;
    kit.config.series_max = 3;
    let store = kit.open();
    kit.clock.advance(2 * DAY);
    let mut full = 0;
    for minute in 0..1_000 {
        while let Err(error) = store.append(&tenant(), &key("m"), sample(minute * MINUTE, 1.0)) {
            assert!(matches!(error, SeriesError::Full { max: 400 }), "{error}");
            full += 1;
            assert!(store.stats().buffered <= 400);
            store.maintain().unwrap();
        }
    }
    assert_eq!(all(&store, &key("m")).len(), 1_000, "{full}");
    // The store's own thread may be in the middle of it; this waits for its turn.
    store.maintain().unwrap();
    assert_eq!(files(kit.dir.path(), ".series").len(), 1, "one file a day");
    store.append(&tenant(), &key("a"), sample(0, 1.0)).unwrap();
    store.append(&"other".parse::<Tenant>().unwrap(), &key("m"), sample(0, 1.0)).unwrap();
    let refused = store.append(&tenant(), &key("b"), sample(0, 1.0));
    assert!(matches!(refused, Err(SeriesError::TooManySeries { max: 3 })));
    assert_eq!(store.series(&"other".parse().unwrap()), [key("m")]);
    assert!(all(&store, &key("b")).is_empty());
}

#[test]
fn a_directory_has_one_owner() {
    let kit = Kit::new();
    let store = kit.open();
    let clock = std::sync::Arc::new(kit.clock.clone());
    let second = SeriesStore::open(kit.dir.path(), SeriesConfig::default(), clock);
    assert!(matches!(second.err(), Some(SeriesError::InUse(_))));
    drop(store);
    kit.open();
}
