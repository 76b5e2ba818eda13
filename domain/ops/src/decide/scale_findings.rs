//! Findings of the scaling rules, with the numbers they rest on.

use oag_types::{Evidence, FindingKind, SeriesKey, Severity, Timestamp};

use super::numbers::{exceeds, num, percent};
use super::scale::Ahead;
use crate::{Basis, CapacitySource, FindingDraft, ServiceSnapshot};

/// Said when data stopped, or has not come for three decisions.
pub(super) fn missing(
    snapshot: &ServiceSnapshot,
    metric: &str,
    view: &crate::SeriesView,
    now: Timestamp,
) -> Option<FindingDraft> {
    if view.newest_at.is_none() && snapshot.history.len() < 3 {
        return None;
    }
    let name = &snapshot.service.name;
    let (text, age_s) = match view.newest_at {
        Some(at) => {
            let age_s = now.millis_since(at) / 1000;
            (format!("the newest {metric} of {name} is {age_s} s old"), Some(age_s))
        }
        None => (format!("no {metric} of {name} has ever come"), None),
    };
    let evidence = Evidence::new(text.clone())
        .with("age_s", age_s)
        .with("step_s", snapshot.service.scaling.step_ms / 1000)
        .from_series(SeriesKey::of_service(metric, name));
    Some(FindingDraft {
        kind: FindingKind::MissingData,
        service: name.clone(),
        severity: Severity::Warning,
        confidence: 1.0,
        summary: text,
        evidence: vec![evidence],
    })
}

pub(super) fn reactive_finding(
    snapshot: &ServiceSnapshot,
    kind: FindingKind,
    why: &str,
    confidence: f64,
) -> FindingDraft {
    let name = &snapshot.service.name;
    let utilisation = snapshot.utilisation.newest().unwrap_or_default();
    let target = snapshot.service.scaling.reactive_target;
    let up = kind == FindingKind::Overload;
    let side = if up { "above" } else { "below" };
    FindingDraft {
        kind,
        service: name.clone(),
        severity: if up { Severity::Critical } else { Severity::Info },
        confidence,
        summary: format!(
            "utilisation of {name} is {}, {side} the target of {}",
            percent(utilisation),
            percent(target)
        ),
        evidence: vec![
            Evidence::new(why)
                .with("utilisation", utilisation)
                .with("reactive_target", target)
                .with("replicas", snapshot.wanted())
                .with("ready_replicas", snapshot.ready())
                .from_series(SeriesKey::of_service(snapshot.utilisation_metric, name)),
        ],
    }
}

pub(super) fn too_small(
    snapshot: &ServiceSnapshot,
    ahead: &Ahead<'_>,
    kind: FindingKind,
    needed: u32,
    most: u32,
    now: Timestamp,
) -> FindingDraft {
    let name = &snapshot.service.name;
    let limit = ahead.threshold * ahead.capacity;
    let present = kind == FindingKind::Overload;
    let what = match ahead.basis {
        Basis::Load => "load",
        Basis::Utilisation => "utilisation",
    };
    let unit = match ahead.basis {
        Basis::Load => " requests/s",
        Basis::Utilisation => "",
    };
    let mut summary = if !present {
        format!(
            "{what} of {name} is forecast to reach {}{unit}, over {} of what {} replicas carry",
            num(ahead.peak),
            percent(ahead.threshold),
            ahead.wanted
        )
    } else if ahead.present > limit {
        format!(
            "{what} of {name} is {}{unit}, over {} of what {} replicas carry",
            num(ahead.present),
            percent(ahead.threshold),
            ahead.wanted
        )
    } else {
        let utilisation = snapshot.utilisation.fresh(now).unwrap_or_default();
        format!(
            "utilisation of {name} is {}, over {}",
            percent(utilisation),
            percent(ahead.threshold)
        )
    };
    if needed > most {
        summary.push_str(&format!("; {needed} replicas are needed, its maximum is {most}"));
    }
    let chance = ahead.forecast.map_or(0.5, |forecast| exceeds(forecast, limit));
    FindingDraft {
        kind,
        service: name.clone(),
        severity: if present { Severity::Critical } else { Severity::Warning },
        confidence: if present { 0.99 } else { chance },
        summary,
        evidence: evidence(snapshot, ahead, limit),
    }
}

pub(super) fn too_large(
    snapshot: &ServiceSnapshot,
    ahead: &Ahead<'_>,
    target: u32,
) -> FindingDraft {
    let name = &snapshot.service.name;
    let carried = ahead.threshold * ahead.each * f64::from(target);
    let chance = ahead.forecast.map_or(0.5, |forecast| exceeds(forecast, carried));
    FindingDraft {
        kind: FindingKind::Surplus,
        service: name.clone(),
        severity: Severity::Info,
        confidence: 1.0 - chance,
        summary: format!(
            "{target} replicas of {name} carry the forecast of {} decisions in a row; {} are wanted",
            snapshot.service.scaling.down_every_steps.max(1),
            ahead.wanted
        ),
        evidence: evidence(snapshot, ahead, carried),
    }
}

fn evidence(snapshot: &ServiceSnapshot, ahead: &Ahead<'_>, limit: f64) -> Vec<Evidence> {
    let name = &snapshot.service.name;
    let metric = match ahead.basis {
        Basis::Load => "request_rate",
        Basis::Utilisation => snapshot.utilisation_metric,
    };
    let series = SeriesKey::of_service(metric, name);
    let mut sizing = Evidence::new(ahead.arithmetic.clone())
        .with("peak", ahead.peak)
        .with("present", ahead.present)
        .with("threshold", ahead.threshold)
        .with("limit", limit)
        .with("replicas", ahead.wanted)
        .with("ready_replicas", snapshot.ready())
        .with("needed_replicas", ahead.needed)
        .from_series(&series);
    sizing = match (ahead.basis, snapshot.capacity) {
        (Basis::Load, Some(capacity)) => {
            let measured = match capacity.source {
                CapacitySource::Measured { n } => Some(n),
                CapacitySource::Stated => None,
            };
            sizing.with("per_replica_rps", ahead.each).with("capacity_samples", measured)
        }
        _ => sizing.with("assumption", "utilisation falls as replicas are added"),
    };
    let mut all = vec![sizing];
    if let Some(forecast) = ahead.forecast {
        let text =
            format!("forecast of the next {} steps ({})", forecast.plan.len(), forecast.method);
        all.push(
            Evidence::new(text)
                .with("plan", forecast.plan.clone())
                .with("mean", forecast.mean.clone())
                .with("p_over_limit", exceeds(forecast, limit))
                .with("p_over_capacity", exceeds(forecast, ahead.capacity))
                .from_series(&series),
        );
    }
    if let Some(past) = snapshot.history.last() {
        all.push(
            Evidence::new(format!("the decision before needed {} replicas", past.needed))
                .with("peak_before", past.peak)
                .with("needed_before", past.needed),
        );
    }
    all
}
