//! Small arithmetic that decisions and their texts share.

use oag_insight::Forecast;

/// The smallest whole number of replicas that carries `load` when each carries `each`.
pub(crate) fn replicas_for(load: f64, each: f64) -> u32 {
    if !(load.is_finite() && each.is_finite() && each > 0.0) {
        return if load > 0.0 { u32::MAX } else { 0 };
    }
    // Rounding errors of the division must not cost a replica.
    let exact = (load / each).max(0.0);
    let whole = (exact - 1e-9 * exact.max(1.0)).ceil().max(0.0);
    if whole >= f64::from(u32::MAX) {
        return u32::MAX;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative and below the largest value"
    )]
    let replicas = whole as u32;
    replicas
}

/// The highest load to provision for over the horizon; none without a finite entry.
pub(crate) fn peak(values: &[f64]) -> Option<f64> {
    values.iter().copied().filter(|v| v.is_finite()).reduce(f64::max)
}

/// Probability that the highest value over the horizon is above `limit`: that of the step where
/// it is most likely, taking the upper half of the band (three standard deviations wide) as that
/// of a normal distribution. A lower bound, since the peak may come at another step.
pub(crate) fn exceeds(forecast: &Forecast, limit: f64) -> f64 {
    let steps = forecast.mean.iter().zip(&forecast.lo).zip(&forecast.hi);
    let chance = |((&mean, &lo), &hi): ((&f64, &f64), &f64)| {
        let half = if limit >= mean { hi - mean } else { mean - lo };
        let sigma = (half / 3.0).max(1e-9 * mean.abs().max(1e-9));
        1.0 - normal_cdf((limit - mean) / sigma)
    };
    steps.map(chance).filter(|p| p.is_finite()).fold(0.0, f64::max).clamp(0.0, 1.0)
}

/// Abramowitz and Stegun 7.1.26; absolute error below 1.5e-7.
fn normal_cdf(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - poly * (-x * x).exp();
    0.5 * (1.0 + erf.copysign(x))
}

/// A number for people: at most two decimals below a thousand, none above, no trailing zeros.
pub(crate) fn num(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    let decimals = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 1.0 || v == 0.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    if text == "-0" { "0".to_owned() } else { text }
}

/// A share as a percentage for people.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", num((share * 1000.0).round() / 10.0))
}

/// The median; none of an empty slice.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_rounded_up_but_not_by_rounding_errors() {
        assert_eq!(replicas_for(1400.0, 0.85 * 200.0), 9);
        assert_eq!(replicas_for(3.0 * 0.85 * 0.1, 0.85 * 0.1), 3);
        assert_eq!(replicas_for(0.0, 10.0), 0);
        assert_eq!(replicas_for(-5.0, 10.0), 0);
        assert_eq!(replicas_for(5.0, 0.0), u32::MAX);
        assert_eq!(replicas_for(f64::NAN, 1.0), 0);
    }

    #[test]
    fn numbers_are_short() {
        let texts: Vec<_> = [0.0, 0.85, 1400.0, 12.5, 0.0333333, -0.0, f64::NAN].map(num).into();
        assert_eq!(texts, ["0", "0.85", "1400", "12.5", "0.0333", "0", "?"]);
        assert_eq!(percent(0.333_3), "33.3 %");
    }

    #[test]
    fn a_limit_in_the_middle_is_passed_half_the_time() {
        let forecast = Forecast {
            mean: vec![100.0],
            lo: vec![70.0],
            hi: vec![130.0],
            plan: vec![110.0],
            method: "test",
        };
        assert!((exceeds(&forecast, 100.0) - 0.5).abs() < 1e-6);
        assert!((exceeds(&forecast, 110.0) - 0.1587).abs() < 1e-3);
        assert!(exceeds(&forecast, 1_000.0) < 1e-6);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
