//! Errors, latency and anomalies of a service, and what is done about them.

use oag_pilot::ActionWish;
use oag_types::{Evidence, FindingKind, KindName, SeriesKey, Severity, Timestamp};
use serde_json::json;

use super::numbers::{median, num, percent};
use super::{expires_ms, scale::Judged};
use crate::{Aim, DecisionPolicy, FindingDraft, ProposalDraft, SeriesView, ServiceSnapshot};

/// What the rules for quality make of one service.
#[derive(Debug, Default)]
pub(super) struct Quality {
    pub(super) findings: Vec<FindingDraft>,
    pub(super) proposals: Vec<ProposalDraft>,
    pub(super) notes: Vec<String>,
}

pub(super) fn judge(
    snapshot: &ServiceSnapshot,
    scaling: &Judged,
    policy: &DecisionPolicy,
    now: Timestamp,
) -> Quality {
    let mut quality = Quality::default();
    if snapshot.is_stopped() {
        return quality;
    }
    let errors = errors(snapshot, policy, now);
    let at_limit = scaling.findings.iter().any(|f| f.kind == FindingKind::Overload)
        && scaling.outlook.target.is_none();
    if let Some(errors) = &errors {
        roll_back(&mut quality, snapshot, errors, policy, now);
    }
    if at_limit && quality.proposals.is_empty() {
        shed(&mut quality, snapshot, errors.is_some(), policy);
    }
    if scaling.findings.iter().all(|f| f.kind != FindingKind::Overload) && errors.is_none() {
        restore(&mut quality, snapshot, policy, now);
    }
    quality.findings.extend(errors);
    quality.findings.extend(latency(snapshot, policy, now));
    quality.findings.extend(anomaly(snapshot));
    quality
}

/// Over the warning twice in a row, or over the critical share once, with enough requests.
fn errors(
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    now: Timestamp,
) -> Option<FindingDraft> {
    let name = &snapshot.service.name;
    let rate = snapshot.error_rate.fresh(now)?;
    let step_s =
        f64::from(i32::try_from(snapshot.service.scaling.step_ms / 1000).unwrap_or(i32::MAX));
    let volume = snapshot.load.fresh(now).map(|load| load * step_s.max(1.0));
    if volume.is_none_or(|volume| volume < policy.error_volume_min) {
        return None;
    }
    let twice = snapshot.error_rate.last_complete(2);
    let lasting = twice.is_some_and(|two| two.iter().all(|e| *e >= policy.error_rate_warning));
    let critical = rate >= policy.error_rate_critical;
    if !critical && !lasting {
        return None;
    }
    let limit = if critical { policy.error_rate_critical } else { policy.error_rate_warning };
    let evidence = Evidence::new(format!("{} >= {}", num(rate), num(limit)))
        .with("error_rate", rate)
        .with("limit", limit)
        .with("requests_in_step", volume)
        .with("requests_min", policy.error_volume_min)
        .from_series(SeriesKey::of_service("error_rate", name));
    Some(FindingDraft {
        kind: FindingKind::Errors,
        service: name.clone(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        confidence: 0.95,
        summary: format!("{} of the requests to {name} fail", percent(rate)),
        evidence: vec![evidence],
    })
}

/// Errors that began with a new version are answered by the version before.
fn roll_back(
    quality: &mut Quality,
    snapshot: &ServiceSnapshot,
    errors: &FindingDraft,
    policy: &DecisionPolicy,
    now: Timestamp,
) {
    let name = &snapshot.service.name;
    let Some(deployed) = &snapshot.deployed else { return };
    let step_ms = snapshot.service.scaling.step_ms.max(1);
    let age_ms = now.millis_since(deployed.at);
    if age_ms > step_ms.saturating_mul(i64::from(policy.rollback_within_steps)) {
        return;
    }
    if deployed.back {
        quality.notes.push(format!("{name}: errors after a return to {}", deployed.to));
        return;
    }
    let before = before(&snapshot.error_rate, deployed.at);
    if median(&before).is_some_and(|usual| usual >= policy.error_rate_warning) {
        let to = &deployed.to;
        quality
            .notes
            .push(format!("{name}: requests failed before version {to} too; not rolled back"));
        return;
    }
    quality.proposals.push(ProposalDraft {
        aim: Aim::Rollback,
        service: name.clone(),
        reason: format!(
            "{}; version {} runs since {} s, before it was {}",
            errors.summary,
            deployed.to,
            age_ms / 1000,
            deployed.from
        ),
        answers: vec![(name.clone(), FindingKind::Errors)],
        actions: vec![wish(snapshot, "rollback", json!({"version": deployed.from}))],
        expires_in_ms: expires_ms(snapshot, policy),
    });
}

/// The values of the steps that ended before a moment.
fn before(view: &SeriesView, at: Timestamp) -> Vec<f64> {
    let steps = view.last_step_at.millis_since(at).max(-view.step_ms) / view.step_ms.max(1) + 2;
    let after = usize::try_from(steps).unwrap_or(usize::MAX);
    let until = view.values.len().saturating_sub(after);
    view.values.iter().take(until).copied().flatten().collect()
}

/// At the maximum and still overloaded: what is not core goes.
fn shed(quality: &mut Quality, snapshot: &ServiceSnapshot, failing: bool, policy: &DecisionPolicy) {
    let name = &snapshot.service.name;
    let (wanted, most) = (snapshot.wanted(), snapshot.service.scaling.max_replicas);
    let on = |feature: &&oag_types::Feature| !feature.core && !is_shed(snapshot, &feature.name);
    let features: Vec<_> = snapshot.service.features.iter().filter(on).collect();
    if features.is_empty() {
        quality.notes.push(format!("{name}: overloaded at its maximum, and nothing left to shed"));
        return;
    }
    let names: Vec<_> = features.iter().map(|f| f.name.as_str()).collect();
    let mut answers = vec![(name.clone(), FindingKind::Overload)];
    if failing {
        answers.push((name.clone(), FindingKind::Errors));
    }
    quality.proposals.push(ProposalDraft {
        aim: Aim::Shed,
        service: name.clone(),
        reason: format!(
            "{name} is overloaded with {} of at most {most} replicas; not core: {}",
            wanted.unwrap_or(most),
            names.join(", ")
        ),
        answers,
        actions: features
            .iter()
            .map(|feature| wish(snapshot, "shed", json!({"feature": feature.name})))
            .collect(),
        expires_in_ms: expires_ms(snapshot, policy),
    });
}

/// Room to spare for long enough: what the loop shed comes back.
fn restore(
    quality: &mut Quality,
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    now: Timestamp,
) {
    let shed: Vec<_> =
        snapshot.shed_by_loop.iter().filter(|name| is_shed(snapshot, name)).collect();
    if shed.is_empty() {
        return;
    }
    let threshold = snapshot.service.scaling.threshold.clamp(0.05, 1.0) * policy.restore_below;
    let wanted = f64::from(snapshot.ready().unwrap_or_default());
    let (view, limit) = match snapshot.capacity {
        Some(capacity) => (&snapshot.load, threshold * capacity.per_replica * wanted),
        None => (&snapshot.utilisation, threshold),
    };
    let calm = view.is_fresh(now)
        && view
            .last_complete(policy.restore_after_steps.max(1))
            .is_some_and(|values| values.iter().all(|value| *value <= limit));
    if !calm {
        return;
    }
    let name = &snapshot.service.name;
    quality.proposals.push(ProposalDraft {
        aim: Aim::Restore,
        service: name.clone(),
        reason: format!(
            "{name} has had room to spare for {} steps: at most {}",
            policy.restore_after_steps,
            num(limit)
        ),
        answers: Vec::new(),
        actions: shed
            .iter()
            .map(|feature| wish(snapshot, "restore", json!({"feature": feature})))
            .collect(),
        expires_in_ms: expires_ms(snapshot, policy),
    });
}

/// Several times the usual latency, three steps in a row.
fn latency(
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    now: Timestamp,
) -> Option<FindingDraft> {
    let name = &snapshot.service.name;
    let view = &snapshot.latency_p99_ms;
    let present = view.fresh(now)?;
    let last = view.last_complete(3)?;
    let until = view.values.len().saturating_sub(3);
    let earlier: Vec<f64> = view.values.iter().take(until).copied().flatten().collect();
    let usual = median(&earlier).filter(|usual| *usual > 0.0 && earlier.len() >= 5)?;
    let limit = usual * policy.latency_factor;
    if last.iter().any(|value| *value < limit) {
        return None;
    }
    let evidence = Evidence::new(format!(
        "{} >= {} * {}",
        num(present),
        num(policy.latency_factor),
        num(usual)
    ))
    .with("latency_p99_ms", present)
    .with("usual_ms", usual)
    .with("limit_ms", limit)
    .from_series(SeriesKey::of_service("latency_p99_ms", name));
    Some(FindingDraft {
        kind: FindingKind::Latency,
        service: name.clone(),
        severity: Severity::Warning,
        confidence: 0.9,
        summary: format!("{name} takes {} ms (p99), usually {} ms", num(present), num(usual)),
        evidence: vec![evidence],
    })
}

/// Series that left their bands: evidence for people and other findings, no action by itself.
fn anomaly(snapshot: &ServiceSnapshot) -> Option<FindingDraft> {
    let name = &snapshot.service.name;
    let views = [
        ("request_rate", &snapshot.load),
        (snapshot.utilisation_metric, &snapshot.utilisation),
        ("latency_p99_ms", &snapshot.latency_p99_ms),
        ("error_rate", &snapshot.error_rate),
        ("memory_usage", &snapshot.memory_usage),
        ("in_flight", &snapshot.in_flight),
    ];
    let mut evidence = Vec::new();
    let (mut names, mut strongest) = (Vec::new(), 0.0_f64);
    for (metric, view) in views {
        let Some(score) = view.score.filter(|score| score.alert) else { continue };
        strongest = strongest.max(score.score);
        names.push(metric);
        let text = format!("{metric} is {}", num(view.newest().unwrap_or_default()));
        evidence.push(
            Evidence::new(text)
                .with("value", view.newest())
                .with("expected", score.mean)
                .with("low", score.lo)
                .with("high", score.hi)
                .with("score", score.score)
                .from_series(SeriesKey::of_service(metric, name)),
        );
    }
    if evidence.is_empty() {
        return None;
    }
    Some(FindingDraft {
        kind: FindingKind::Anomaly,
        service: name.clone(),
        severity: Severity::Info,
        confidence: strongest.clamp(0.0, 1.0),
        summary: format!("{} of {name} left the usual range", names.join(", ")),
        evidence,
    })
}

fn is_shed(snapshot: &ServiceSnapshot, feature: &str) -> bool {
    let field = format!("feature.{feature}");
    snapshot.observed.as_ref().and_then(|o| o.text(&field)) == Some("shed")
}

fn wish(snapshot: &ServiceSnapshot, kind: &str, params: serde_json::Value) -> ActionWish {
    ActionWish {
        kind: KindName::new(kind),
        service: snapshot.service.name.clone(),
        params,
        expect: Vec::new(),
    }
}
