//! Kills and damage.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use oag_runtime::FakeClock;
use oag_series::{SeriesConfig, SeriesError, SeriesStore};
use oag_types::Timestamp;

use crate::kit::{DAY, Kit, MINUTE, START, all, files, key, sample, tenant};

/// Set for the child that is killed: where it writes.
const CHILD: &str = "OAG_SERIES_TEST_CHILD";

#[test]
fn what_was_flushed_survives_kill_9() {
    let kit = Kit::new();
    kit.clock.advance(30 * DAY);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_is_killed", "--nocapture"])
        .env(CHILD, kit.dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let flushed = |line: std::io::Result<String>| -> Option<usize> {
        line.ok()?.rsplit_once("flushed ")?.1.strip_suffix('.')?.parse().ok()
    };
    let mut last = 0;
    while last < 4_000 {
        last = flushed(lines.next().expect("the child writes")).unwrap_or(last);
    }
    child.kill().unwrap();
    last = lines.filter_map(flushed).last().unwrap_or(last);
    child.wait().unwrap();
    let store = kit.open();
    let got = all(&store, &key("m"));
    assert!(got.len() >= last, "{} of {last}", got.len());
    for (minute, got) in (0..).zip(&got) {
        assert_eq!(*got, sample(minute * MINUTE, minute as f64), "no gap, nothing twice");
    }
    store.maintain().unwrap();
    assert_eq!(all(&store, &key("m")), got);
}

/// Not a test by itself: the child of the one above, writing until it is killed.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let clock = FakeClock::at(Timestamp::from_millis(START + 30 * DAY));
    let config = SeriesConfig { digits: None, ..SeriesConfig::default() };
    let store = SeriesStore::open(Path::new(&dir), config, Arc::new(clock)).unwrap();
    for minute in 0..30 * 1_440 {
        store.append(&tenant(), &key("m"), sample(minute * MINUTE, minute as f64)).unwrap();
        if minute % 50 == 49 {
            store.flush().unwrap();
            println!("flushed {}.", minute + 1);
        }
        if minute % 333 == 332 {
            store.maintain().unwrap();
        }
    }
}

#[test]
fn a_log_cut_anywhere_loses_only_its_end() {
    let kit = Kit::new();
    kit.clock.advance(DAY);
    let store = kit.open();
    for minute in 0..20 {
        store.append(&tenant(), &key("m"), sample(minute * MINUTE, minute as f64)).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let log = files(kit.dir.path(), ".log").remove(0);
    let whole = std::fs::read(&log).unwrap();
    let mut lengths = Vec::new();
    for cut in (0..=whole.len()).rev() {
        std::fs::write(&log, &whole[..cut]).unwrap();
        let store = kit.open();
        let got = all(&store, &key("m"));
        assert!(got.iter().zip(0..).all(|(got, n)| *got == sample(n * MINUTE, n as f64)));
        lengths.push(got.len());
        // And it goes on behind the cut.
        store.append(&tenant(), &key("m"), sample(100 * MINUTE, 1.0)).unwrap();
        drop(store);
        assert_eq!(all(&kit.open(), &key("m")).len(), got.len() + 1);
    }
    assert_eq!((lengths[0], lengths[whole.len()]), (20, 0));
    assert!(lengths.is_sorted_by(|a, b| a >= b));
}

#[test]
fn damage_is_named_and_the_rest_stays_readable() {
    let kit = Kit::new();
    let store = kit.open();
    for minute in 0..3 * 1_440 {
        for name in ["a", "b"] {
            let value = (minute as f64).sin();
            kit.clock.set(Timestamp::from_millis(START + minute * MINUTE));
            store.append(&tenant(), &key(name), sample(minute * MINUTE, value)).unwrap();
        }
    }
    kit.clock.set(Timestamp::from_millis(START + 4 * DAY));
    store.maintain().unwrap();
    drop(store);
    let days = files(kit.dir.path(), ".series");
    assert_eq!(days.len(), 3);
    // A byte in the values of the first series of day 0, one in the index of day 1.
    flip(&days[0], 100);
    let length = std::fs::metadata(&days[1]).unwrap().len() as usize;
    flip(&days[1], length - 40);
    let store = kit.open();
    assert_eq!(store.stats().damaged, 1);
    let range = |name, from, to| {
        let (from, to) = (START + from * DAY, START + to * DAY);
        let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
        (
            store.range(&tenant(), &key(name), from, to),
            store.range_readable(&tenant(), &key(name), from, to),
        )
    };
    for (name, from, to, file) in [("a", 0, 1, &days[0]), ("b", 1, 2, &days[1])] {
        let (strict, (readable, errors)) = range(name, from, to);
        let error = strict.unwrap_err();
        assert!(matches!(&error, SeriesError::Damaged { file: named, .. } if named == file));
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        assert_eq!((readable.len(), errors.len()), (0, 1));
    }
    assert_eq!(range("b", 0, 1).0.unwrap().len(), 1_440);
    assert_eq!(range("a", 2, 3).0.unwrap().len(), 1_440);
    let (readable, errors) = range("a", 0, 3).1;
    assert_eq!((readable.len(), errors.len()), (1_440, 2));
    // A straggler of a damaged day goes into a file beside it; the damaged one is left alone.
    store.append(&tenant(), &key("c"), sample(0, 5.0)).unwrap();
    store.append(&tenant(), &key("c"), sample(DAY, 6.0)).unwrap();
    store.maintain().unwrap();
    assert_eq!(files(kit.dir.path(), ".series").len(), 5);
    assert_eq!(range("c", 0, 1).0.unwrap(), [sample(0, 5.0)]);
    assert_eq!(range("c", 1, 2).1.0, [sample(DAY, 6.0)]);
    assert_eq!(range("b", 0, 1).0.unwrap().len(), 1_440);
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0xff;
    std::fs::write(path, bytes).unwrap();
}
