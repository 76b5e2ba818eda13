//! The rules: from what is known to what should be done. Pure: the same fleet, policy and moment
//! give the same decision.

pub(crate) mod numbers;
mod policy;
mod quality;
mod reactive;
mod scale;
mod scale_findings;
mod topology;

use std::collections::BTreeMap;

use oag_pilot::ActionWish;
use oag_types::{
    Comparison, Expectation, FindingKind, KindName, Observable, ScalingSpec, ServiceName, Timestamp,
};
use serde_json::json;

pub use policy::{Aim, Decision, DecisionPolicy, FindingDraft, Outlook, ProposalDraft};

use crate::{Basis, Direction, Fleet, ServiceSnapshot};
use numbers::peak;
use scale::Judged;
use topology::Growth;

/// Decides on every service that is due. The rules and formulas are in `docs/decisions.md`.
#[must_use]
pub fn decide(fleet: &Fleet, policy: &DecisionPolicy, now: Timestamp) -> Decision {
    let mut decision = Decision { at: now, ..Decision::default() };
    let mut judged: Vec<Judged> =
        fleet.services.iter().filter(|s| s.due).map(|s| scale::judge(s, policy, now)).collect();
    let growth = topology::grow(fleet, &judged, now);
    for one in &judged {
        let Some(snapshot) = fleet.get(&one.outlook.service) else { continue };
        let quality = quality::judge(snapshot, one, policy, now);
        decision.findings.extend(one.findings.iter().cloned());
        decision.findings.extend(quality.findings);
        decision.notes.extend(one.notes.iter().cloned());
        decision.notes.extend(quality.notes);
        for proposal in quality.proposals {
            if blocked(snapshot, &proposal.aim, &mut decision.notes) {
                continue;
            }
            decision.proposals.push(proposal);
        }
    }
    decision.notes.extend(growth.notes.iter().cloned());
    let mut scaling = ups(fleet, &judged, &growth, policy, &mut decision.notes);
    scaling.extend(downs(fleet, &judged, policy, &mut decision.notes));
    let planned = |f: &&FindingDraft| {
        scaling.iter().any(|p| p.answers.contains(&(f.service.clone(), f.kind)))
    };
    decision.findings.extend(growth.findings.iter().filter(planned).cloned());
    decision.proposals.extend(scaling);
    decision.outlooks = judged.drain(..).map(|one| one.outlook).collect();
    dedupe(&mut decision.findings);
    decision
}

/// Fewest and most replicas of a service, in this order whatever the catalogue says. The loop
/// never takes the last replica away: nothing would tell it to bring one back.
pub(crate) fn bounds(scaling: &ScalingSpec) -> (u32, u32) {
    (scaling.min_replicas.max(1).min(scaling.max_replicas), scaling.max_replicas)
}

fn expires_ms(snapshot: &ServiceSnapshot, policy: &DecisionPolicy) -> i64 {
    let steps = i64::from(policy.expires_steps.max(1));
    snapshot.service.scaling.step_ms.max(1).saturating_mul(steps)
}

/// A plan in hand goes first; growth may take over from one that is only being verified.
fn blocked(snapshot: &ServiceSnapshot, aim: &Aim, notes: &mut Vec<String>) -> bool {
    let Some(active) = snapshot.active else { return false };
    if active.verifying && *aim != Aim::ScaleDown && *aim != Aim::Restore {
        return false;
    }
    notes.push(format!(
        "{}: {} is in hand; nothing else is proposed",
        snapshot.service.name, active.plan
    ));
    true
}

/// Replicas, why, and the finding that is answered.
type Target<'a> = (u32, &'a str, Option<FindingKind>);

/// One proposal for each group of services that grow together, callees first.
fn ups(
    fleet: &Fleet,
    judged: &[Judged],
    growth: &Growth,
    policy: &DecisionPolicy,
    notes: &mut Vec<String>,
) -> Vec<ProposalDraft> {
    let mut targets: BTreeMap<&ServiceName, Target<'_>> = BTreeMap::new();
    let mut order: Vec<&ServiceName> = growth.order.iter().collect();
    for one in judged {
        if let Some((target, Direction::Up)) = one.outlook.target {
            targets.insert(&one.outlook.service, (target, &one.outlook.why, one.answers));
            if !order.contains(&&one.outlook.service) {
                order.push(&one.outlook.service);
            }
        }
    }
    for (name, (target, why)) in &growth.along {
        targets.insert(name, (*target, why, Some(FindingKind::ForecastOverload)));
    }
    let mut groups: Vec<(&ServiceName, Vec<&ServiceName>)> = Vec::new();
    for name in order {
        let Some(snapshot) = fleet.get(name).filter(|_| targets.contains_key(name)) else {
            continue;
        };
        if blocked(snapshot, &Aim::ScaleUp, notes) {
            continue;
        }
        let first = growth.group.get(name).unwrap_or(name);
        match groups.iter_mut().find(|(group, _)| *group == first) {
            Some((_, members)) => members.push(name),
            None => groups.push((first, vec![name])),
        }
    }
    groups.iter().filter_map(|(_, members)| up(fleet, members, &targets, policy)).collect()
}

fn up(
    fleet: &Fleet,
    members: &[&ServiceName],
    targets: &BTreeMap<&ServiceName, Target<'_>>,
    policy: &DecisionPolicy,
) -> Option<ProposalDraft> {
    // Callers come last in the order: the last one is what the plan is about.
    let about = members.last()?;
    let snapshot = fleet.get(about)?;
    let mut reasons = Vec::new();
    let mut actions = Vec::new();
    let mut answers = Vec::new();
    for name in members {
        let (target, why, kind) = targets.get(name)?;
        let wanted = fleet.get(name)?.wanted().unwrap_or_default();
        reasons.push(format!("{name} from {wanted} to {target} replicas: {why}"));
        actions.push(scale_to(name, *target, Vec::new()));
        answers.extend(kind.map(|kind| ((*name).clone(), kind)));
    }
    Some(ProposalDraft {
        aim: Aim::ScaleUp,
        service: (*about).clone(),
        reason: reasons.join("; "),
        answers,
        actions,
        expires_in_ms: expires_ms(snapshot, policy),
    })
}

fn downs(
    fleet: &Fleet,
    judged: &[Judged],
    policy: &DecisionPolicy,
    notes: &mut Vec<String>,
) -> Vec<ProposalDraft> {
    let mut proposals = Vec::new();
    for one in judged {
        let Some((target, Direction::Down)) = one.outlook.target else { continue };
        let name = &one.outlook.service;
        let Some(snapshot) = fleet.get(name) else { continue };
        if blocked(snapshot, &Aim::ScaleDown, notes) {
            continue;
        }
        let wanted = one.outlook.wanted.unwrap_or_default();
        proposals.push(ProposalDraft {
            aim: Aim::ScaleDown,
            service: name.clone(),
            reason: format!("{name} from {wanted} to {target} replicas: {}", one.outlook.why),
            answers: vec![(name.clone(), FindingKind::Surplus)],
            actions: vec![scale_to(
                name,
                target,
                stays_below(snapshot, one.outlook.basis(), target),
            )],
            expires_in_ms: expires_ms(snapshot, policy),
        });
    }
    proposals
}

/// The kind itself promises `ready_replicas`; `expect` is what is promised beyond that.
fn scale_to(service: &ServiceName, replicas: u32, expect: Vec<Expectation>) -> ActionWish {
    ActionWish {
        kind: KindName::new("scale"),
        service: service.clone(),
        params: json!({"replicas": replicas}),
        expect,
    }
}

/// Steps in which a removal is watched.
const WATCHED_STEPS: usize = 4;
/// Share of capacity at which a service counts as full, whatever a forecast allows.
const FULL: f64 = 0.98;

/// After replicas are removed, utilisation stays within what the forecast said it could reach, for
/// two steps: otherwise the forecast was wrong, and the removal is taken back. Single steps may pass
/// the threshold, which is for the mean. Promised only where utilisation is measured and something
/// was forecast: the reactive rule foresees nothing.
fn stays_below(
    snapshot: &ServiceSnapshot,
    basis: Option<Basis>,
    replicas: u32,
) -> Vec<Expectation> {
    let top = |values: &[f64]| peak(values.get(..WATCHED_STEPS).unwrap_or(values));
    let forecast = match basis {
        Some(Basis::Load) => snapshot.load_forecast.as_ref(),
        Some(Basis::Utilisation) => snapshot.utilisation_forecast.as_ref(),
        None => None,
    };
    let each = match basis {
        Some(Basis::Load) => snapshot.capacity.map(|capacity| capacity.per_replica),
        _ => snapshot.ready().map(|ready| 1.0 / f64::from(ready.max(1))),
    };
    let (Some(top), Some(each)) = (forecast.and_then(|f| top(&f.hi)), each) else {
        return Vec::new();
    };
    if snapshot.utilisation.newest_at.is_none() {
        return Vec::new();
    }
    let step_ms = snapshot.service.scaling.step_ms.max(1);
    let percent = if snapshot.utilisation_metric == "cpu_usage" { 100.0 } else { 1.0 };
    let threshold = snapshot.service.scaling.threshold.clamp(0.05, 1.0);
    let most = (top / (each * f64::from(replicas.max(1)))).min(FULL).max(threshold);
    vec![Expectation {
        observe: Observable::Metric(snapshot.utilisation_metric.to_owned()),
        is: Comparison::Le,
        value: json!((most * percent * 1e4).round() / 1e4),
        within_ms: step_ms.saturating_mul(2),
        hold_ms: step_ms.saturating_mul(2),
    }]
}

/// One finding of a kind per service: the most severe one, with the evidence of all.
fn dedupe(findings: &mut Vec<FindingDraft>) {
    let mut kept: Vec<FindingDraft> = Vec::with_capacity(findings.len());
    for finding in findings.drain(..) {
        let same = |k: &&mut FindingDraft| k.kind == finding.kind && k.service == finding.service;
        match kept.iter_mut().find(same) {
            Some(first) => {
                first.severity = first.severity.max(finding.severity);
                first.confidence = first.confidence.max(finding.confidence);
                first.evidence.extend(finding.evidence);
            }
            None => kept.push(finding),
        }
    }
    *findings = kept;
}
