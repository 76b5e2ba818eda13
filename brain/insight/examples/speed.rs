//! Prints microseconds per point and bytes per series on a synthetic day-shaped load.

use std::error::Error;
use std::io::Write;

use oag_insight::{Detector, DetectorConfig, ForecastConfig, Forecaster};

const SERIES: usize = 200;
const POINTS: usize = 4_000;

#[expect(clippy::disallowed_methods, reason = "a stopwatch, not a time the product acts on")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let cfg = ForecastConfig {
        step_ms: 30_000,
        season_steps: Some(2_880),
        horizon: 10,
        plan_quantile: 0.98,
    };
    let mut detectors = vec![Detector::new(DetectorConfig::for_step(30_000)); SERIES];
    let mut forecasters = vec![Forecaster::new(cfg); SERIES];

    let clock = std::time::Instant::now();
    let mut highest = 0.0_f64;
    for i in 0..POINTS {
        for (k, detector) in detectors.iter_mut().enumerate() {
            highest = highest.max(detector.update(i as i64 * 30_000, Some(load(i, k))).score);
        }
    }
    let per_update = clock.elapsed().as_secs_f64() / (SERIES * POINTS) as f64;

    let clock = std::time::Instant::now();
    for i in 0..POINTS {
        for (k, forecaster) in forecasters.iter_mut().enumerate() {
            forecaster.push(i as i64 * 30_000, Some(load(i, k)));
        }
    }
    let per_push = clock.elapsed().as_secs_f64() / (SERIES * POINTS) as f64;

    let clock = std::time::Instant::now();
    let sum: f64 = forecasters.iter().filter_map(|f| f.forecast()).map(|f| f.mean[0]).sum();
    let per_forecast = clock.elapsed().as_secs_f64() / SERIES as f64;

    writeln!(out, "detector   {:.2} us per point", 1e6 * per_update)?;
    writeln!(out, "forecaster {:.2} us per point, refits included", 1e6 * per_push)?;
    writeln!(out, "forecast   {:.2} us per call", 1e6 * per_forecast)?;
    writeln!(
        out,
        "bytes per series: detector {}, forecaster {}",
        detectors.iter().map(Detector::memory_bytes).sum::<usize>() / SERIES,
        forecasters.iter().map(Forecaster::memory_bytes).sum::<usize>() / SERIES,
    )?;
    writeln!(out, "(checks: {highest:.3} {sum:.1})")?;
    Ok(())
}

/// A day's wave with counting noise, the same on every run.
fn load(i: usize, k: usize) -> f64 {
    let mut seed = (i * 1_000_003 + k * 7_919) as u64;
    seed = (seed ^ (seed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = (seed >> 40) as f64 / 16_777_216.0 - 0.5;
    let wave = 100.0 + 60.0 * (i as f64 / 2_880.0 * std::f64::consts::TAU).sin();
    wave + noise * wave.sqrt() * 3.5
}
