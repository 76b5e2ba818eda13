//! Forecast from a handful of values.

use super::{Forecast, VALUE_MAX};

/// Weight of a new value in the level.
const LEVEL_GAIN: f64 = 0.2;
/// How much of a trend survives each step.
const DAMPING: f64 = 0.9;
/// Squared t-statistic at which a trend starts to be believed: 3.5 standard errors.
const TREND_T2: f64 = 12.0;
/// Two-sided 99.73 % of Student's t at about eight degrees of freedom.
const BAND: f64 = 4.3;
/// One-sided 95 %.
const PLAN: f64 = 1.86;

/// Forecast from a handful of values (oldest first), for when there is no history: an exponential
/// level, and a damped trend (Gardner & McKenzie 1985) as far as the values prove one: its share
/// is shrunk by its t-statistic, as James & Stein (1961) shrink a mean. Ten values of a noisy load
/// seldom prove a trend, and following an unproven one costs more than it gains. Non-finite values
/// are left out. Bands come from the scatter of the values, never narrower than counting noise.
/// Without any value all entries are zero.
pub fn short_forecast(values: &[f64], horizon: usize) -> Forecast {
    let values: Vec<f64> =
        values.iter().filter(|v| v.is_finite()).map(|v| v.clamp(-VALUE_MAX, VALUE_MAX)).collect();
    if values.is_empty() {
        let zero = vec![0.0; horizon];
        let [mean, lo, hi] = [zero.clone(), zero.clone(), zero.clone()];
        return Forecast { mean, lo, hi, plan: zero, method: "none" };
    }
    let level = level(&values);
    let trend = Trend::of(&values);
    let floor = if values.iter().all(|&v| v >= 0.0) { 0.0 } else { f64::MIN };
    let mut out = Forecast {
        mean: Vec::with_capacity(horizon),
        lo: Vec::with_capacity(horizon),
        hi: Vec::with_capacity(horizon),
        plan: Vec::with_capacity(horizon),
        method: "damped_trend",
    };
    let (mut line, mut slope, mut growth) = (trend.end, trend.slope, 1.0_f64);
    for _ in 0..horizon {
        slope *= DAMPING;
        line += slope;
        let mean = (level + trend.share * (line - level)).max(floor);
        let sd = trend.scatter * growth.sqrt();
        out.mean.push(mean);
        out.lo.push((mean - BAND * sd).max(floor));
        out.hi.push(mean + BAND * sd);
        out.plan.push(mean + PLAN * sd);
        // A level that wanders at the rate it is followed (the variance of simple smoothing).
        growth += LEVEL_GAIN * LEVEL_GAIN;
    }
    out
}

/// A least-squares line through the values.
struct Trend {
    /// Its value at the newest value, and its rise per step.
    end: f64,
    slope: f64,
    /// How far it is proven, 0..=1.
    share: f64,
    /// Standard deviation around whichever of level and line is believed.
    scatter: f64,
}

impl Trend {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let centre = (n - 1.0) / 2.0;
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (i, y) in values.iter().enumerate() {
            let (x, y) = (i as f64 - centre, y - mean);
            xy += x * y;
            xx += x * x;
            yy += y * y;
        }
        let slope = if xx > 0.0 { xy / xx } else { 0.0 };
        let around_line = (yy - slope * xy).max(0.0);
        let share = if values.len() > 2 {
            let t2 = slope * slope * xx * (n - 2.0) / (around_line + 1e-12 * yy).max(1e-300);
            (1.0 - TREND_T2 / t2.max(1e-9)).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let square = share * around_line + (1.0 - share) * yy;
        // Two values' worth of counting noise steady the estimate from so few.
        let noise = 2.0 * mean.abs().max(1.0);
        let scatter = ((square + noise) / (n + 1.0)).sqrt();
        Self { end: mean + slope * centre, slope, share, scatter }
    }
}

/// Exponential level, a plain mean while there are few values.
fn level(values: &[f64]) -> f64 {
    let mut level = 0.0;
    for (i, y) in values.iter().enumerate() {
        level += LEVEL_GAIN.max(1.0 / (i + 1) as f64) * (y - level);
    }
    level
}
