//! The rule of the Kubernetes horizontal pod autoscaler (`algorithm/v2` with default behaviour,
//! without its limit on the speed of growth): the honest baseline, and what is left when data for
//! the forecast is missing.

use oag_types::Timestamp;

use super::numbers::{num, replicas_for};
use crate::{DecisionPolicy, Direction, ServiceSnapshot};

/// What the rule recommends at this moment alone, within the bounds of the service.
pub(super) struct Recommended {
    pub(super) replicas: u32,
    pub(super) why: String,
}

/// `ceil(ready * utilisation / target)`, unless utilisation is within the tolerance of the
/// target. While replicas are starting they count as idle for growth, so that growth is not
/// asked for twice. None without fresh utilisation.
pub(super) fn recommend(
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    now: Timestamp,
) -> Option<Recommended> {
    let (wanted, ready) = (snapshot.wanted()?, snapshot.ready()?);
    let utilisation = snapshot.utilisation.fresh(now)?;
    let scaling = &snapshot.service.scaling;
    let target = scaling.reactive_target.clamp(0.01, 1.0);
    let (least, most) = super::bounds(scaling);
    let mut counted = ready.min(wanted);
    let mut ratio = utilisation / target;
    if counted == 0 || wanted == 0 {
        return None;
    }
    let near = |ratio: f64| (ratio - 1.0).abs() <= policy.reactive_tolerance;
    let keep = |why: &str| {
        let replicas = wanted.clamp(least, most);
        Some(Recommended {
            replicas,
            why: format!("{why}: utilisation {} of a target of {}", num(utilisation), num(target)),
        })
    };
    if near(ratio) {
        return keep("within the tolerance");
    }
    if ratio > 1.0 && counted < wanted {
        ratio *= f64::from(counted) / f64::from(wanted);
        counted = wanted;
        if ratio <= 1.0 || near(ratio) {
            return keep("replicas are still starting");
        }
    }
    let desired = replicas_for(ratio * f64::from(counted), 1.0);
    let why = format!("ceil({counted} * {} / {}) = {desired}", num(ratio * target), num(target));
    Some(Recommended { replicas: desired.clamp(least, most), why })
}

/// The recommendation after stabilisation: growth at once, shrinking only to the highest
/// recommendation of the window.
pub(super) fn stabilise(
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    recommended: &Recommended,
    now: Timestamp,
) -> Option<(u32, Direction)> {
    let wanted = snapshot.wanted()?;
    if recommended.replicas > wanted {
        return Some((recommended.replicas, Direction::Up));
    }
    let step_ms = snapshot.service.scaling.step_ms.max(1);
    let steps = i64::try_from(policy.reactive_stabilisation_steps).unwrap_or(i64::MAX);
    let window_ms = step_ms.saturating_mul(steps);
    let within = |at: Timestamp| now.millis_since(at) < window_ms;
    let mut highest = recommended.replicas;
    for past in snapshot.history.iter().filter(|past| within(past.at)) {
        highest = highest.max(past.recommended.unwrap_or(wanted));
    }
    // The window is not full yet: what runs counts as recommended, as after a start of the HPA.
    let covered = snapshot
        .history
        .first()
        .is_some_and(|past| now.millis_since(past.at) >= window_ms.saturating_sub(step_ms));
    if !covered && window_ms > step_ms {
        highest = highest.max(wanted);
    }
    (highest < wanted).then_some((highest, Direction::Down))
}
