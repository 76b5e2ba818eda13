//! The machine and this process.

use oag_ops::Source;
use oag_sources::{HostConfig, HostSource, ProcessSource, process_stats};
use oag_types::{Signal, Timestamp};

fn value(signals: &[Signal], name: &str) -> f64 {
    let found = signals.iter().find(|signal| signal.key.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {signals:?}")).sample.value
}

#[tokio::test]
async fn the_machine_has_plausible_figures() {
    let config = HostConfig {
        data_dir: std::env::temp_dir(),
        labels: [("host".to_owned(), "here".to_owned())].into(),
        ..HostConfig::default()
    };
    let source = HostSource::new(config);
    let first = source.collect(Timestamp::from_millis(1_000)).await.unwrap();
    assert!(first.iter().all(|signal| signal.key.labels["host"] == "here"));
    assert!(value(&first, "host_memory_used_bytes") > 1e6);
    assert!((0.0..=100.0).contains(&value(&first, "host_disk_usage")));
    assert!((0.0..=100.0).contains(&value(&first, "host_memory_usage")));
    assert!(value(&first, "host_load_1m") >= 0.0);
    // The clock of processors ticks a hundred times a second.
    let ticking = std::thread::spawn(|| (0..50_000_000_u64).fold(0, |a, b| a ^ b));
    ticking.join().unwrap();
    let mut second = source.collect(Timestamp::from_millis(2_000)).await.unwrap();
    while !second.iter().any(|signal| signal.key.name == "host_cpu_usage") {
        second = source.collect(Timestamp::from_millis(3_000)).await.unwrap();
    }
    assert!((0.0..=100.0).contains(&value(&second, "host_cpu_usage")));
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let config = HostConfig { data_dir: "/no/such/folder".into(), ..HostConfig::default() };
    let error = HostSource::new(config).collect(Timestamp::from_millis(0)).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[tokio::test]
async fn this_process_has_plausible_figures() {
    let stats = process_stats().unwrap();
    assert!(stats.resident_bytes > 1_000_000 && stats.open_fds > 2 && stats.threads >= 1);
    let source = ProcessSource::new(1_000);
    let first = source.collect(Timestamp::from_millis(1_000)).await.unwrap();
    assert!(value(&first, "process_resident_bytes") > 1e6);
    let second = source.collect(Timestamp::from_millis(2_000)).await.unwrap();
    assert!(value(&second, "process_cpu_usage") >= 0.0);
}
