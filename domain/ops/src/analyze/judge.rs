//! The rules of an analysis: what the numbers say, before it is put into a sentence.

use oag_insight::short_forecast;
use oag_types::{Evidence, FindingKind, Severity};

use super::input::Input;
use super::words::Words;
use super::{AnalysisFinding, AnalyzeConfig};
use crate::decide::numbers::{median, num, peak, percent, replicas_for};

/// Newest values that count as the present.
const RECENT: usize = 10;
/// Values before an anomaly can be told.
const USUAL_MIN: usize = 8;
/// Robust standard deviations that make an anomaly.
const ANOMALY: f64 = 6.0;

/// How full the service is.
#[derive(Debug, Clone)]
pub(super) struct Saturation {
    /// The metric it was read from.
    pub(super) metric: &'static str,
    /// Highest share of late and of the near future.
    pub(super) level: f64,
    /// Over the threshold at present.
    pub(super) now: bool,
    /// Over the threshold at present or in the near future.
    pub(super) over: bool,
    /// Usable points.
    pub(super) points: usize,
    pub(super) finding: Option<AnalysisFinding>,
}

/// From the fullest of `utilisation` and `cpu_usage`.
pub(super) fn saturation(
    input: &Input,
    config: &AnalyzeConfig,
    words: Words,
) -> Option<Saturation> {
    let read = |metric| input.get(metric).map(|values| fullness(metric, values, config, words));
    let candidates = ["utilisation", "cpu_usage"].into_iter().filter_map(read);
    candidates.reduce(|a, b| {
        let more = (b.over, b.level) > (a.over, a.level);
        if more { b } else { a }
    })
}

fn fullness(
    metric: &'static str,
    values: &[f64],
    config: &AnalyzeConfig,
    words: Words,
) -> Saturation {
    let late = recent(values, RECENT);
    let highest = peak(late).unwrap_or(0.0);
    let ahead = peak(&short_forecast(late, config.horizon).mean).unwrap_or(0.0);
    let rising = late.first() < late.last();
    let level = if rising { highest.max(ahead) } else { highest };
    let typical = median(recent(values, 3)).unwrap_or(0.0);
    let now = typical > config.threshold;
    let last = late.last().copied().unwrap_or(0.0);
    let soon = rising && ahead > config.threshold && last >= config.target;
    let over = now || soon;
    let finding = over.then(|| AnalysisFinding {
        kind: if now { FindingKind::Overload } else { FindingKind::ForecastOverload },
        severity: if now { Severity::Critical } else { Severity::Warning },
        confidence: certainty(values.len(), if now { 0.95 } else { 0.75 }),
        summary: words.overload(metric, level, config.threshold, !now),
        evidence: vec![
            Evidence::new(format!("{} > {}", percent(level), percent(config.threshold)))
                .with("highest", highest)
                .with("forecast_highest", ahead)
                .with("median_of_last_3", typical)
                .with("threshold", config.threshold)
                .with("points", values.len())
                .from_series(metric),
        ],
    });
    Saturation { metric, level, now, over, points: values.len(), finding }
}

/// Replicas the load needs, when the capacity of one is known.
pub(super) fn by_capacity(input: &Input, each: f64, threshold: f64) -> Option<(u32, String)> {
    let highest = peak(recent(input.get("request_rate")?, RECENT))?;
    let needed = replicas_for(highest, threshold * each);
    let line = format!("ceil({} / ({} * {})) = {needed}", num(highest), num(threshold), num(each));
    Some((needed, line))
}

/// Whether a metric grew by more than a fifth.
pub(super) fn grows(input: &Input, metric: &str) -> bool {
    input.get(metric).is_some_and(|values| change(values) > 0.2)
}

/// Whether a metric shrank by more than a fifth.
pub(super) fn falls(input: &Input, metric: &str) -> bool {
    input.get(metric).is_some_and(|values| change(values) < -0.2)
}

/// Relative change from the first third to the last third of the newest values.
fn change(values: &[f64]) -> f64 {
    let late = recent(values, 30);
    let third = (late.len() / 3).max(1);
    let first = median(late.get(..third).unwrap_or_default()).unwrap_or(0.0);
    let last = median(recent(late, third)).unwrap_or(0.0);
    let base = first.abs().max(last.abs());
    if base == 0.0 { 0.0 } else { (last - first) / base }
}

/// Requests that fail: the mean of the last two values over the limit.
pub(super) fn errors(
    input: &Input,
    config: &AnalyzeConfig,
    words: Words,
) -> Option<AnalysisFinding> {
    let values = input.get("error_rate")?;
    let last = recent(values, 2);
    let share = last.iter().sum::<f64>() / f64::from(u32::try_from(last.len()).unwrap_or(1).max(1));
    if share < config.error_rate_warning {
        return None;
    }
    let critical = share >= config.error_rate_critical;
    Some(AnalysisFinding {
        kind: FindingKind::Errors,
        severity: if critical { Severity::Critical } else { Severity::Warning },
        confidence: certainty(values.len(), 0.95),
        summary: words.errors(share),
        evidence: vec![
            Evidence::new(format!("{} >= {}", percent(share), percent(config.error_rate_warning)))
                .with("error_rate_mean_of_last_2", share)
                .with("limit", config.error_rate_warning)
                .from_series("error_rate"),
        ],
    })
}

/// Latency of late at least twice what it was before.
pub(super) fn latency(input: &Input, words: Words) -> Option<AnalysisFinding> {
    let values = input.get("latency_p99_ms")?;
    let half = values.len() / 2;
    let usual = median(values.get(..half).unwrap_or_default()).filter(|usual| *usual > 0.0)?;
    let now = median(recent(values, 3.min(values.len() - half)))?;
    (now >= 2.0 * usual).then(|| AnalysisFinding {
        kind: FindingKind::Latency,
        severity: Severity::Warning,
        confidence: certainty(values.len(), 0.9),
        summary: words.latency(now, usual),
        evidence: vec![
            Evidence::new(format!("{} >= 2 * {}", num(now), num(usual)))
                .with("latency_ms", now)
                .with("usual_ms", usual)
                .from_series("latency_p99_ms"),
        ],
    })
}

/// Memory over the threshold three times in a row.
pub(super) fn memory(
    input: &Input,
    config: &AnalyzeConfig,
    words: Words,
) -> Option<AnalysisFinding> {
    let values = input.get("memory_usage")?;
    let last = recent(values, 3);
    let level = last.iter().copied().fold(f64::INFINITY, f64::min);
    (level > config.threshold).then(|| AnalysisFinding {
        kind: FindingKind::Overload,
        severity: Severity::Warning,
        confidence: certainty(values.len(), 0.9),
        summary: words.overload("memory_usage", level, config.threshold, false),
        evidence: vec![
            Evidence::new(format!("{} > {}", percent(level), percent(config.threshold)))
                .with("memory_usage", level)
                .with("threshold", config.threshold)
                .from_series("memory_usage"),
        ],
    })
}

/// Metrics whose newest value is far from what it was before.
pub(super) fn anomalies(input: &Input, words: Words) -> Vec<(String, AnalysisFinding)> {
    let mut found = Vec::new();
    for (name, values) in &input.series {
        let Some((last, before)) = values.split_last() else { continue };
        if before.len() < USUAL_MIN || name == "replicas" {
            continue;
        }
        let Some(usual) = median(before) else { continue };
        let away: Vec<f64> = before.iter().map(|value| (value - usual).abs()).collect();
        let typical = median(&away).unwrap_or(0.0) * 1.4826;
        // A series that never moves has no spread of its own: a fiftieth of its level stands in.
        let spread = typical.max(0.02 * usual.abs()).max(f64::MIN_POSITIVE);
        let z = (last - usual).abs() / spread;
        if z.is_nan() || z < ANOMALY {
            continue;
        }
        let evidence = Evidence::new(format!("{} spreads away from the usual", num(z)))
            .with("value", *last)
            .with("usual", usual)
            .with("spread", spread)
            .from_series(name);
        found.push((
            name.clone(),
            AnalysisFinding {
                kind: FindingKind::Anomaly,
                severity: Severity::Info,
                confidence: certainty(values.len(), 1.0 - ANOMALY / (z + ANOMALY)),
                summary: words.anomaly(name, *last, usual),
                evidence: vec![evidence],
            },
        ));
    }
    found
}

/// Fewer points, less certainty.
pub(super) fn certainty(points: usize, best: f64) -> f64 {
    let points = f64::from(u32::try_from(points).unwrap_or(u32::MAX));
    (best * points / (points + 1.0)).clamp(0.0, 1.0)
}

pub(super) fn recent(values: &[f64], count: usize) -> &[f64] {
    values.get(values.len().saturating_sub(count)..).unwrap_or_default()
}
