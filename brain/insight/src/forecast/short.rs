//! Forecast from a handful of values.

use super::Forecast;

/// How much of the trend survives each step.
const DAMPING: f64 = 0.8;
const LEVEL_GAIN: f64 = 0.4;
const TREND_GAIN: f64 = 0.1;

/// Forecast from a handful of values (oldest first), for when there is no history: an exponential
/// level with a damped trend (Gardner & McKenzie 1985). Non-finite values are left out. Bands come
/// from the one-step errors, never narrower than the noise of a count. Without any value all
/// entries are zero.
pub fn short_forecast(values: &[f64], horizon: usize) -> Forecast {
    let values: Vec<f64> =
        values.iter().filter(|v| v.is_finite()).map(|v| v.clamp(-1e15, 1e15)).collect();
    let Some((&first, rest)) = values.split_first() else {
        let zero = vec![0.0; horizon];
        return Forecast {
            mean: zero.clone(),
            lo: zero.clone(),
            hi: zero.clone(),
            plan: zero,
            method: "none",
        };
    };
    let (mut level, mut trend, mut square) = (first, 0.0, 0.0);
    for (i, &x) in rest.iter().enumerate() {
        // A plain mean at first: the first value has no special weight.
        let gain = LEVEL_GAIN.max(1.0 / (i + 2) as f64);
        let expected = level + DAMPING * trend;
        let error = x - expected;
        square += error * error;
        level = expected + gain * error;
        trend = DAMPING * trend + TREND_GAIN * error;
    }
    let nonnegative = values.iter().all(|&v| v >= 0.0);
    // Two values' worth of counting noise steady the estimate from so few errors.
    let noise = level.abs().max(1.0);
    let sd = ((square + 2.0 * noise) / (rest.len() as f64 + 2.0)).sqrt();
    let mut out = Forecast {
        mean: Vec::with_capacity(horizon),
        lo: Vec::with_capacity(horizon),
        hi: Vec::with_capacity(horizon),
        plan: Vec::with_capacity(horizon),
        method: "damped_holt",
    };
    let (mut centre, mut slope, mut growth) = (level, trend, 1.0);
    for _ in 0..horizon {
        slope *= DAMPING;
        centre += slope;
        let floor = if nonnegative { 0.0 } else { f64::MIN };
        let mean = centre.max(floor);
        let sigma = sd * f64::sqrt(growth);
        out.mean.push(mean);
        out.lo.push((mean - 3.5 * sigma).max(floor));
        out.hi.push(mean + 3.5 * sigma);
        out.plan.push(mean + 1.64 * sigma);
        growth += LEVEL_GAIN * LEVEL_GAIN;
    }
    out
}
