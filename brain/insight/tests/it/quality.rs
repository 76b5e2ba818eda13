//! Floors on real data; `docs/quality-insight.md` has the full figures.

use std::ops::RangeInclusive;
use std::path::Path;

use oag_insight::{Detector, DetectorConfig, Forecast, ForecastConfig, Forecaster, short_forecast};

/// What a detector made of one labelled series.
struct Watched {
    /// Labelled windows with an alert in them.
    hit: usize,
    /// Runs of alerts outside all windows, after probation, joined when at most 12 points apart.
    false_alarms: usize,
    /// Labelled windows whose highest score beats all but `SPARE` points outside windows.
    outscored: usize,
    band_coverage: f64,
}

/// Points outside windows that may score above one that counts as seen.
const SPARE: usize = 6;

fn series(name: &str) -> Vec<(i64, f64)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let (ts, value) = line.split_once(',').unwrap();
            ((ts.parse::<f64>().unwrap() * 1000.0) as i64, value.parse().unwrap_or(f64::NAN))
        })
        .collect()
}

fn watch(name: &str, step_s: i64, windows: &[RangeInclusive<usize>]) -> Watched {
    let series = series(name);
    let probation = (series.len() * 15 / 100).min(750);
    let mut detector = Detector::new(DetectorConfig::for_step(step_s * 1000));
    let mut inside = 0;
    let scores: Vec<_> = series
        .iter()
        .map(|&(ts, x)| {
            let s = detector.update(ts, Some(x));
            inside += usize::from(s.lo.is_none_or(|lo| lo <= x) && s.hi.is_none_or(|hi| x <= hi));
            s
        })
        .collect();
    let outside = |i: &usize| !windows.iter().any(|w| w.contains(i));
    let mut false_alarms = 0;
    let mut last = None;
    for i in (probation..series.len()).filter(outside).filter(|&i| scores[i].alert) {
        false_alarms += usize::from(last.is_none_or(|l| i - l > 12));
        last = Some(i);
    }
    let mut noise: Vec<f64> =
        (probation..series.len()).filter(outside).map(|i| scores[i].score).collect();
    noise.sort_by(|a, b| b.total_cmp(a));
    let best =
        |w: &RangeInclusive<usize>| scores[w.clone()].iter().map(|s| s.score).fold(0.0, f64::max);
    Watched {
        hit: windows.iter().filter(|w| scores[(*w).clone()].iter().any(|s| s.alert)).count(),
        false_alarms,
        outscored: windows.iter().filter(|w| best(w) > noise[SPARE]).count(),
        band_coverage: inside as f64 / series.len() as f64,
    }
}

#[test]
fn a_day_without_its_usual_rise_is_seen() {
    let w = watch("nab_art_daily_nojump.csv", 300, &[2787..=3189]);
    assert_eq!((w.hit, w.outscored), (1, 1));
    assert!(w.false_alarms <= 1, "{}", w.false_alarms);
}

#[test]
fn a_runaway_processor_is_seen() {
    let w = watch("nab_ec2_cpu_utilization_ac20cd.csv", 300, &[3374..=3776]);
    assert_eq!((w.hit, w.outscored), (1, 1));
    assert!(w.false_alarms <= 1, "{}", w.false_alarms);
    assert!(w.band_coverage > 0.98, "{}", w.band_coverage);
}

#[test]
fn a_database_spike_is_seen() {
    let w = watch("nab_rds_cpu_utilization_cc0c53.csv", 300, &[2980..=3180, 3479..=3679]);
    assert!(w.hit >= 1 && w.outscored == 2, "{} {}", w.hit, w.outscored);
    assert!(w.false_alarms <= 1, "{}", w.false_alarms);
}

#[test]
fn odd_days_of_a_weekly_rhythm_stand_out() {
    let windows = [5839..=6045, 7080..=7286, 8423..=8629, 8731..=8937, 9977..=10183];
    let w = watch("nab_nyc_taxi.csv", 1800, &windows);
    assert!(w.outscored >= 4, "{}", w.outscored);
    assert!(w.false_alarms <= 2, "{}", w.false_alarms);
}

/// Sum of absolute errors and of values over the steps ahead that have a value.
fn errors(mean: &[f64], truth: &[(i64, f64)]) -> (f64, f64) {
    mean.iter()
        .zip(truth)
        .filter(|(_, t)| t.1.is_finite())
        .fold((0.0, 0.0), |(e, y), (m, t)| (e + (m - t.1).abs(), y + t.1))
}

#[test]
fn load_forecast_beats_last_value_and_its_band_holds() {
    let series = series("nasa_http.csv");
    let (horizon, season, from) = (10, 2880, 6 * 2880);
    let mut forecaster = Forecaster::new(ForecastConfig {
        step_ms: 30_000,
        season_steps: Some(season),
        horizon,
        plan_quantile: 0.995,
    });
    let known = |v: f64| v.is_finite().then_some(v);
    let (ts, values): (Vec<i64>, Vec<Option<f64>>) =
        series[..from].iter().map(|&(t, v)| (t, known(v))).unzip();
    forecaster.push_history(&ts, &values);
    let (mut ours, mut last, mut total) = (0.0, 0.0, 0.0);
    let (mut inside, mut over_plan, mut n) = (0, 0, 0);
    for i in from..series.len() - horizon {
        forecaster.push(series[i].0, known(series[i].1));
        if i % 10 != 0 || !series[i].1.is_finite() {
            continue;
        }
        let f: Forecast = forecaster.forecast().unwrap();
        assert_eq!(f.method, "ridge");
        let truth = &series[i + 1..=i + horizon];
        let (e, y) = errors(&f.mean, truth);
        ours += e;
        total += y;
        last += errors(&vec![series[i].1; horizon], truth).0;
        for (h, t) in truth.iter().enumerate().filter(|(_, t)| t.1.is_finite()) {
            n += 1;
            inside += usize::from(f.lo[h] <= t.1 && t.1 <= f.hi[h]);
            over_plan += usize::from(t.1 > f.plan[h]);
        }
    }
    assert!(ours < 0.82 * last, "WAPE {} against {}", ours / total, last / total);
    let coverage = inside as f64 / n as f64;
    assert!((0.993..=0.9999).contains(&coverage), "{coverage}");
    assert!((over_plan as f64) < 0.05 * n as f64, "{over_plan} of {n}");
    assert!(forecaster.memory_bytes() < 20_000, "{}", forecaster.memory_bytes());
}

#[test]
fn short_forecast_beats_last_value() {
    let series = series("nasa_http.csv");
    let values: Vec<f64> = series.iter().map(|p| p.1).collect();
    let (mut ours, mut last) = (0.0, 0.0);
    for i in (10..values.len() - 10).step_by(10).filter(|&i| values[i].is_finite()) {
        let truth = &series[i + 1..=i + 10];
        ours += errors(&short_forecast(&values[i - 9..=i], 10).mean, truth).0;
        last += errors(&[values[i]; 10], truth).0;
    }
    assert!(ours < 0.9 * last, "{}", ours / last);
}

#[test]
fn a_trend_is_followed_and_damped() {
    let rising: Vec<f64> = (0..10).map(|i| 100.0 + 10.0 * f64::from(i)).collect();
    let f = short_forecast(&rising, 10);
    assert!(f.mean[9] > 180.0 && f.mean[9] < 290.0, "{:?}", f.mean);
    assert_eq!(f.method, "damped_trend");
}
