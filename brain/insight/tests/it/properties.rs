//! What must hold whatever the input.

use oag_insight::{
    Detector, DetectorConfig, Forecast, ForecastConfig, Forecaster, Score, short_forecast,
};
use proptest::collection::vec;
use proptest::num::f64::ANY;
use proptest::option::weighted;
use proptest::prelude::*;

/// Any value, but mostly ordinary ones, so that models get past their warm-up.
fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        6 => weighted(0.95, 0.0..100.0_f64),
        1 => Just(Some(50.0)),
        1 => weighted(0.9, ANY),
    ]
}

/// Mostly a regular grid; sometimes duplicates, gaps, and times running backwards.
fn advance() -> impl Strategy<Value = i64> {
    prop_oneof![
        20 => Just(60_000_i64),
        1 => Just(0_i64),
        1 => -200_000..5_000_000_i64,
        1 => any::<i64>(),
    ]
}

fn points(len: usize) -> impl Strategy<Value = Vec<(i64, Option<f64>)>> {
    vec((advance(), value()), 0..len).prop_map(|steps| {
        let mut ts = 0_i64;
        steps
            .into_iter()
            .map(|(step, value)| {
                ts = ts.wrapping_add(step);
                (ts, value)
            })
            .collect()
    })
}

fn check_score(s: &Score) {
    assert!((0.0..=1.0).contains(&s.score), "{s:?}");
    if let (Some(lo), Some(mean), Some(hi)) = (s.lo, s.mean, s.hi) {
        assert!(lo.is_finite() && mean.is_finite() && hi.is_finite(), "{s:?}");
        assert!(lo <= mean && mean <= hi, "{s:?}");
    }
}

fn check_forecast(f: &Forecast, horizon: usize) {
    for part in [&f.mean, &f.lo, &f.hi, &f.plan] {
        assert_eq!(part.len(), horizon);
        assert!(part.iter().all(|v| v.is_finite()), "{f:?}");
    }
    for i in 0..horizon {
        assert!(f.lo[i] <= f.mean[i] && f.mean[i] <= f.hi[i] && f.mean[i] <= f.plan[i], "{f:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn detector_is_total_and_restartable(
        points in points(700),
        step_ms in prop_oneof![Just(60_000_i64), any::<i64>()],
        cut in 0..700_usize,
    ) {
        let mut whole = Detector::new(DetectorConfig::for_step(step_ms));
        let mut other = whole.clone();
        for (i, &(ts, value)) in points.iter().enumerate() {
            if i == cut {
                let stored = serde_json::to_string(&other).unwrap();
                other = serde_json::from_str(&stored).unwrap();
            }
            let score = whole.update(ts, value);
            check_score(&score);
            prop_assert_eq!(score, other.update(ts, value));
        }
        prop_assert!(whole.memory_bytes() < 20_000);
    }

    #[test]
    fn forecaster_is_total_and_restartable(
        points in points(700),
        season_steps in prop_oneof![Just(None), Just(Some(96)), any::<usize>().prop_map(Some)],
        horizon in 0..40_usize,
        cut in 0..700_usize,
    ) {
        let cfg = ForecastConfig { step_ms: 60_000, season_steps, horizon, plan_quantile: 0.98 };
        let mut whole = Forecaster::new(cfg);
        let mut other = whole.clone();
        for (i, &(ts, value)) in points.iter().enumerate() {
            if i == cut {
                let stored = serde_json::to_string(&other).unwrap();
                other = serde_json::from_str(&stored).unwrap();
            }
            whole.push(ts, value);
            other.push(ts, value);
            if i % 25 == 0 {
                let forecast = whole.forecast();
                if let Some(f) = &forecast {
                    check_forecast(f, horizon);
                }
                prop_assert_eq!(forecast, other.forecast());
            }
        }
    }

    #[test]
    fn short_forecast_is_total(values in vec(ANY, 0..30), horizon in 0..50_usize) {
        check_forecast(&short_forecast(&values, horizon), horizon);
    }
}

#[test]
fn extreme_steps_do_not_overflow() {
    for step_ms in [i64::MIN, -1, 0, 1, i64::MAX] {
        let cfg =
            ForecastConfig { step_ms, season_steps: Some(10), horizon: 3, plan_quantile: 0.98 };
        let mut forecaster = Forecaster::new(cfg);
        for ts in [i64::MIN, 0, i64::MAX, i64::MIN, 5] {
            forecaster.push(ts, Some(1.0));
        }
        check_forecast(&forecaster.forecast().unwrap(), 3);
    }
}

#[test]
fn a_series_survives_one_wild_timestamp() {
    let cfg =
        ForecastConfig { step_ms: 60_000, season_steps: None, horizon: 1, plan_quantile: 0.98 };
    let mut forecaster = Forecaster::new(cfg);
    forecaster.push(i64::MAX, Some(1.0));
    for i in 0..30 {
        forecaster.push(i * 60_000, Some(100.0));
    }
    let next = forecaster.forecast().unwrap().mean[0];
    assert!((next - 100.0).abs() < 5.0, "{next}");
}

#[test]
fn a_gap_scores_nothing_and_keeps_the_band() {
    let mut detector = Detector::new(DetectorConfig::for_step(60_000));
    for i in 0..300 {
        detector.update(i * 60_000, Some(10.0 + (i % 7) as f64));
    }
    let gap = detector.update(300 * 60_000, None);
    assert_eq!((gap.score, gap.alert), (0.0, false));
    assert!(gap.lo.unwrap() < 10.0 && gap.hi.unwrap() > 16.0, "{gap:?}");
}

#[test]
fn a_flat_series_alerts_on_its_first_change_only_once() {
    let mut detector = Detector::new(DetectorConfig::for_step(60_000));
    for i in 0..500 {
        assert!(!detector.update(i * 60_000, Some(5.0)).alert);
    }
    let alerts = (500..560).filter(|i| detector.update(i * 60_000, Some(9.0)).alert).count();
    assert_eq!(alerts, 1);
}

#[test]
fn scores_do_not_depend_on_the_unit() {
    let series = |unit: f64| -> Vec<f64> {
        let mut detector = Detector::new(DetectorConfig::for_step(60_000));
        let mut seed = 7_u64;
        (0..1500)
            .map(|i| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let noise = (seed >> 40) as f64 / 16_777_216.0;
                let spike = if i == 1200 { 30.0 } else { 0.0 };
                detector.update(i * 60_000, Some(unit * (noise + spike))).score
            })
            .collect()
    };
    // Powers of two scale without rounding.
    for (a, b) in series(1.0).iter().zip(series(1024.0)) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
    assert!(series(1.0)[1200] > 0.85);
}
