//! What a sample costs on the disk, files whole: headers, index and checksums included.

use std::f64::consts::TAU;

use oag_types::Timestamp;

use crate::kit::{DAY, Kit, MINUTE, START, all, files, key, sample, tenant};

/// A small generator, so that every run measures the same.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}

const NAMES: [&str; 12] = [
    "requests_per_minute",
    "errors_per_minute",
    "requests_total",
    "replicas",
    "queue_length",
    "open_connections",
    "memory_bytes",
    "cpu_percent",
    "cpu_percent_of_idle",
    "latency_p50_ms",
    "latency_p99_ms",
    "hit_ratio",
];

/// One minute of a service: a daily load with noise, what follows from it, full doubles where a
/// real exporter gives full doubles.
fn minute(minute: i64, noise: &mut Noise, total: &mut f64, memory: &mut f64) -> [f64; 12] {
    let hour = (minute % 1_440) as f64 / 60.0;
    let load = 600.0 * (1.2 + (TAU * (hour - 9.0) / 24.0).sin());
    let requests = (load + load.sqrt() * noise.normal()).max(0.0).round();
    *total += requests;
    *memory = (*memory + 4_096.0 * (20.0 * noise.normal()).round()).max(1e8);
    let errors = (requests * 0.002 + noise.normal()).max(0.0).round();
    let cpu = (requests / 15.0 + 2.0 * noise.normal()).clamp(0.0, 100.0);
    let slow = 1.0 / (1.0 - (requests / 1_600.0).min(0.9));
    [
        requests,
        errors,
        *total,
        (requests / 300.0).ceil(),
        (5.0 * slow + 2.0 * noise.normal()).max(0.0).round(),
        (requests / 4.0 + 5.0 * noise.normal()).max(0.0).round(),
        *memory,
        cpu,
        (1.5 + 0.3 * noise.normal()).abs(),
        12.0 * slow * (0.05 * noise.normal()).exp(),
        80.0 * slow * (0.15 * noise.normal()).exp(),
        (0.95 + 0.01 * noise.normal()).min(1.0),
    ]
}

/// Bytes per sample over all files of `days` days, and per metric the worst relative error.
fn measure(days: i64, digits: Option<u8>) -> (f64, f64) {
    let mut kit = Kit::new();
    kit.config.digits = digits;
    let store = kit.open();
    let keys = NAMES.map(key);
    let (mut noise, mut total, mut memory) = (Noise(0x9e37_79b9_7f4a_7c15), 0.0, 5e8);
    let mut given = Vec::new();
    for at in 0..days * 1_440 {
        kit.clock.set(Timestamp::from_millis(START + at * MINUTE));
        let values = minute(at, &mut noise, &mut total, &mut memory);
        for (key, value) in keys.iter().zip(values) {
            store.append(&tenant(), key, sample(at * MINUTE, value)).unwrap();
        }
        given.push(values);
        if at % 1_440 == 1_439 {
            store.maintain().unwrap();
        }
    }
    kit.clock.set(Timestamp::from_millis(START + days * DAY + DAY / 2));
    store.maintain().unwrap();
    let paths = files(kit.dir.path(), "");
    let bytes: u64 = paths.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    let mut worst: f64 = 0.0;
    for (n, key) in keys.iter().enumerate() {
        let got = all(&store, key);
        assert_eq!(got.len(), given.len());
        for (got, given) in got.iter().zip(&given) {
            let error = (got.value - given[n]).abs() / given[n].abs().max(f64::MIN_POSITIVE);
            worst = worst.max(error);
        }
    }
    (bytes as f64 / (given.len() * NAMES.len()) as f64, worst)
}

/// `OAG_SERIES_DAYS=90 cargo test -p oag-series --test it bytes_per_sample -- --nocapture`
#[test]
fn bytes_per_sample() {
    let days = std::env::var("OAG_SERIES_DAYS").ok().and_then(|days| days.parse().ok());
    let days = days.unwrap_or(4);
    let variants =
        if days > 10 { vec![None, Some(6), Some(5), Some(4)] } else { vec![None, Some(5)] };
    for digits in variants {
        let (bytes, worst) = measure(days, digits);
        let label = digits.map_or("every bit".to_owned(), |digits| format!("{digits} digits"));
        println!("{days} days, {label}: {bytes:.3} bytes/sample, worst error {worst:.1e}");
        match digits {
            None => assert!(worst == 0.0),
            Some(5) => assert!(bytes <= 2.0 && worst <= 5.1e-5, "{bytes} {worst}"),
            Some(_) => {}
        }
    }
}
