//! Reading what was pushed: limits, units, gaps and lengths.

use std::collections::BTreeMap;

use oag_types::Problem;

use super::aliases::canonical_metric;
use super::words::Words;
use super::{AnalyzeConfig, AnalyzeRequest};

/// Points below which a series says too little.
pub(super) const POINTS_MIN: usize = 3;

/// The metrics in the units decisions use.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Usable values by canonical name, oldest first. Shares for cpu, memory and errors.
    pub(super) series: BTreeMap<String, Vec<f64>>,
    /// Metrics without a meaning of their own here.
    pub(super) unknown: Vec<String>,
    pub(super) assumptions: Vec<String>,
}

impl Input {
    pub(super) fn get(&self, name: &str) -> Option<&[f64]> {
        self.series.get(name).map(Vec::as_slice).filter(|values| values.len() >= POINTS_MIN)
    }

    /// Usable points of the longest series.
    pub(super) fn points(&self) -> usize {
        self.series.values().map(Vec::len).max().unwrap_or(0)
    }
}

const KNOWN: [&str; 8] = [
    "cpu_usage",
    "memory_usage",
    "utilisation",
    "request_rate",
    "error_rate",
    "latency_p99_ms",
    "in_flight",
    "replicas",
];

pub(super) fn check(request: &AnalyzeRequest, config: &AnalyzeConfig) -> Result<(), Problem> {
    if request.metrics.is_empty() {
        let text = "at least one metric is needed, such as cpu_usage: [70, 80, 90]";
        return Err(Problem::field("metrics", text));
    }
    if request.metrics.len() > config.series_max {
        let text = format!("{} metrics; at most {}", request.metrics.len(), config.series_max);
        return Err(Problem::field("metrics", text));
    }
    for (name, values) in &request.metrics {
        if name.trim().is_empty() || name.len() > 200 {
            return Err(Problem::field("metrics", "a metric name has 1 to 200 bytes"));
        }
        if values.len() > config.points_max {
            let text = format!("{} values; at most {}", values.len(), config.points_max);
            return Err(Problem::field(format!("metrics.{name}"), text));
        }
    }
    if request.context.as_ref().is_some_and(|text| text.len() > config.context_bytes_max) {
        let text = format!("at most {} bytes", config.context_bytes_max);
        return Err(Problem::field("context", text));
    }
    if request.step_ms.is_some_and(|step| step <= 0) {
        return Err(Problem::field("step_ms", "must be more than 0"));
    }
    if request.replicas == Some(0) {
        return Err(Problem::field("replicas", "must be at least 1"));
    }
    if request.max_replicas == Some(0) {
        return Err(Problem::field("max_replicas", "must be at least 1"));
    }
    match (request.min_replicas, request.max_replicas) {
        (Some(least), Some(most)) if least > most => {
            let text = format!("{least} is more than max_replicas, {most}");
            Err(Problem::field("min_replicas", text))
        }
        _ => Ok(()),
    }
}

pub(super) fn read(request: &AnalyzeRequest, words: Words) -> Input {
    let mut input = Input::default();
    let lengths: Vec<usize> = request.metrics.values().map(Vec::len).collect();
    if lengths.iter().any(|length| Some(length) != lengths.first()) {
        input.assumptions.push(words.unequal_lengths());
    }
    for (name, values) in &request.metrics {
        let canonical = canonical_metric(name);
        let known = KNOWN.contains(&canonical.as_str());
        let fits = |v: &f64| v.is_finite() && v.abs() <= 1e15 && (!known || *v >= 0.0);
        let mut usable: Vec<f64> = values.iter().copied().flatten().filter(fits).collect();
        let dropped = values.len() - usable.len();
        if dropped > 0 {
            input.assumptions.push(words.dropped(name, dropped, values.len()));
        }
        if usable.len() < POINTS_MIN {
            input.assumptions.push(words.too_short(name, usable.len(), POINTS_MIN));
        }
        unit(&canonical, name, &mut usable, words, &mut input.assumptions);
        if !known {
            input.unknown.push(name.clone());
        }
        // Two names for one metric: the longer series says more, the first one on a tie.
        let kept = input.series.entry(canonical).or_default();
        if usable.len() > kept.len() {
            *kept = usable;
        }
    }
    if !input.unknown.is_empty() {
        input.assumptions.push(words.unknown_metrics(&input.unknown));
    }
    input
}

/// Brings shares and percentages to shares.
fn unit(
    canonical: &str,
    name: &str,
    values: &mut Vec<f64>,
    words: Words,
    assumptions: &mut Vec<String>,
) {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let percent = match canonical {
        // Documented as percent; what never exceeds 1 is taken as a share.
        "cpu_usage" | "memory_usage" => {
            if highest <= 1.0 && highest > 0.0 {
                assumptions.push(words.taken_as_share(name));
            }
            highest > 1.0
        }
        "error_rate" => {
            if highest > 1.0 {
                assumptions.push(words.taken_as_percent(name));
            }
            highest > 1.0
        }
        // A share that may pass 1 under overload.
        "utilisation" => {
            if highest > 2.0 {
                assumptions.push(words.taken_as_percent(name));
            }
            highest > 2.0
        }
        _ => false,
    };
    if percent {
        for value in values.iter_mut() {
            *value /= 100.0;
        }
    }
    // More than one core's worth: without the number of cores it says nothing about saturation.
    if canonical == "cpu_usage" && values.iter().any(|value| *value > 1.5) {
        assumptions.push(words.unclear_cpu(name));
        values.clear();
    }
}
