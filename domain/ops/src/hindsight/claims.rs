//! What a proposal claims, written down when it is made, from what the decision rested on.

use oag_pilot::{ActionWish, Claim, Fact, Figures, Foretold};
use oag_types::{Comparison, FindingKind, Observable, ScalingMode, Timestamp};
use serde_json::{Value, json};

use crate::{Basis, Decision, DecisionPolicy, Fleet, Outlook, ProposalDraft, ServiceSnapshot};

/// Findings that a change of replicas answers with figures that can be looked at afterwards.
const SIZED: [FindingKind; 3] =
    [FindingKind::ForecastOverload, FindingKind::Overload, FindingKind::Surplus];

/// The claims of a proposal, one for each action that claims something. `horizon` is how many
/// steps are looked ahead where no forecast was made.
#[must_use]
pub(crate) fn claims(
    fleet: &Fleet,
    decision: &Decision,
    draft: &ProposalDraft,
    policy: &DecisionPolicy,
    horizon: usize,
) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (action, wish) in draft.actions.iter().enumerate() {
        let Some(snapshot) = fleet.get(&wish.service) else { continue };
        let step_ms = snapshot.service.scaling.step_ms.max(1);
        let text = |name: &str| wish.params.get(name).and_then(Value::as_str);
        let made = match (wish.kind.as_str(), text("version"), text("feature")) {
            ("scale", ..) => scale(snapshot, decision, draft, wish),
            ("rollback", Some(version), _) => Some(rollback(snapshot, version, policy)),
            ("shed", _, Some(feature)) => Some(shed(snapshot, feature, true)),
            ("restore", _, Some(feature)) => Some(shed(snapshot, feature, false)),
            _ => None,
        };
        let Some((like, figures)) = made else { continue };
        // Figures that prove are foretold for as long as was looked ahead; what only people can
        // prove has as long as the proposal waits for them.
        let steps = if figures.as_ref().is_some_and(|figures| figures.proves) {
            let forecast =
                snapshot.load_forecast.as_ref().or(snapshot.utilisation_forecast.as_ref());
            forecast.map_or(horizon, |forecast| forecast.plan.len().max(1))
        } else {
            usize::try_from(draft.expires_in_ms / step_ms).unwrap_or(horizon)
        };
        let steps = u32::try_from(steps.max(1)).unwrap_or(u32::MAX);
        let service = wish.service.clone();
        claims.push(Claim { action, service, like, figures, step_ms, steps });
    }
    claims
}

type Made = (Option<Fact>, Option<Figures>);

/// More replicas: load passes what is there, and what is proposed carries it. Fewer: load stays
/// within what would be left.
fn scale(
    snapshot: &ServiceSnapshot,
    decision: &Decision,
    draft: &ProposalDraft,
    wish: &ActionWish,
) -> Option<Made> {
    let target = wish.params.get("replicas")?.as_u64().and_then(|n| u32::try_from(n).ok())?;
    let wanted = snapshot.wanted()?;
    let up = target > wanted;
    let like = up.then(|| Fact::new("replicas", Comparison::Ge, target));
    let answered = draft
        .answers
        .iter()
        .find(|(service, kind)| *service == wish.service && SIZED.contains(kind));
    // Below its minimum, for one: right by the catalogue, whatever load does.
    let Some((_, kind)) = answered else { return Some((like, None)) };
    let outlook = decision.outlooks.iter().find(|outlook| outlook.service == wish.service);
    let (basis, share) = basis(snapshot, outlook, *kind, decision.at);
    let share = promised(snapshot, wish).unwrap_or(share);
    let figures = match basis {
        Basis::Load => by_load(snapshot, share, wanted, target)?,
        Basis::Utilisation => by_utilisation(snapshot, share, wanted, target),
    };
    Some((like, Some(figures)))
}

/// The share of what is left that the plan promises to stay within, when it promises one: single
/// steps may pass the threshold, which is for the mean.
fn promised(snapshot: &ServiceSnapshot, wish: &ActionWish) -> Option<f64> {
    let utilisation = Observable::Metric(snapshot.utilisation_metric.to_owned());
    let within = wish.expect.iter().find(|e| e.observe == utilisation && e.is == Comparison::Le)?;
    Some(within.value.as_f64()? / unit(snapshot))
}

/// What the decision compared with capacity, and the share of it that may be used.
fn basis(
    snapshot: &ServiceSnapshot,
    outlook: Option<&Outlook>,
    answered: FindingKind,
    now: Timestamp,
) -> (Basis, f64) {
    let scaling = &snapshot.service.scaling;
    let threshold = scaling.threshold.clamp(0.05, 1.0);
    let own = outlook.filter(|outlook| outlook.target.is_some());
    let reactive = scaling.mode == ScalingMode::Reactive;
    match own.map(|outlook| (outlook.basis(), outlook.present, outlook.capacity)) {
        // The reactive rule decided, by utilisation and its own target.
        Some((None, ..)) => (Basis::Utilisation, scaling.reactive_target.clamp(0.01, 1.0)),
        // Utilisation told that the capacity in the books is wrong.
        Some((Some(Basis::Load), Some(present), Some(capacity)))
            if answered == FindingKind::Overload && present <= threshold * capacity =>
        {
            (Basis::Utilisation, threshold)
        }
        Some((Some(basis), ..)) => (basis, threshold),
        // Scaled along with its callers.
        None if snapshot.load.fresh(now).is_some() && snapshot.capacity.is_some() && !reactive => {
            (Basis::Load, threshold)
        }
        None => (Basis::Utilisation, threshold),
    }
}

fn by_load(snapshot: &ServiceSnapshot, share: f64, wanted: u32, target: u32) -> Option<Figures> {
    let each = snapshot.capacity?.per_replica;
    let up = target > wanted;
    // At the maximum the proposal itself says that it may not be enough.
    let all = target >= snapshot.service.scaling.max_replicas;
    Some(Figures {
        metric: "request_rate".to_owned(),
        limit: share * each * f64::from(target.min(wanted)),
        foretold: if up { Foretold::Passes } else { Foretold::Stays },
        enough: (up && !all).then(|| each * f64::from(target)),
        proves: true,
        rests_on: None,
    })
}

/// Utilisation says something about the replicas it was measured on only.
fn by_utilisation(snapshot: &ServiceSnapshot, share: f64, wanted: u32, target: u32) -> Figures {
    let left = f64::from(target.min(wanted)) / f64::from(wanted.max(1));
    Figures {
        metric: snapshot.utilisation_metric.to_owned(),
        limit: share * left * unit(snapshot),
        foretold: if target > wanted { Foretold::Passes } else { Foretold::Stays },
        enough: None,
        proves: true,
        rests_on: Some(Fact::new("replicas", Comparison::Eq, wanted)),
    }
}

/// Errors that began with a version do not end while it runs.
fn rollback(snapshot: &ServiceSnapshot, version: &str, policy: &DecisionPolicy) -> Made {
    let present = snapshot.observed.as_ref().and_then(|o| o.text("version"));
    let figures = Figures {
        metric: "error_rate".to_owned(),
        limit: policy.error_rate_warning,
        foretold: Foretold::Lasts,
        enough: None,
        proves: false,
        rests_on: present.map(|present| Fact::new("version", Comparison::Eq, present)),
    };
    (Some(Fact::new("version", Comparison::Eq, version)), Some(figures))
}

/// Overload that features are shed for does not go away by itself; room to spare that they are
/// restored for stays.
fn shed(snapshot: &ServiceSnapshot, feature: &str, shed: bool) -> Made {
    let threshold = snapshot.service.scaling.threshold.clamp(0.05, 1.0);
    let wanted = snapshot.wanted();
    let (metric, limit, rests_on) = match (snapshot.capacity, wanted) {
        (Some(capacity), Some(wanted)) => {
            ("request_rate", threshold * capacity.per_replica * f64::from(wanted), None)
        }
        _ => {
            let fact = wanted.map(|wanted| Fact::new("replicas", Comparison::Eq, wanted));
            (snapshot.utilisation_metric, threshold * unit(snapshot), fact)
        }
    };
    let figures = Figures {
        metric: metric.to_owned(),
        limit,
        foretold: if shed { Foretold::Passes } else { Foretold::Stays },
        enough: None,
        proves: false,
        rests_on,
    };
    let state = json!(if shed { "shed" } else { "on" });
    let field = format!("feature.{feature}");
    (Some(Fact::new(field, Comparison::Eq, state)), Some(figures))
}

/// Values of `utilisation` are shares, those of `cpu_usage` percent.
fn unit(snapshot: &ServiceSnapshot) -> f64 {
    if snapshot.utilisation_metric == "cpu_usage" { 100.0 } else { 1.0 }
}
