//! How many replicas a service should have.

use oag_insight::Forecast;
use oag_types::{FindingKind, ScalingMode, Timestamp};

use super::numbers::{num, peak, replicas_for};
use super::scale_findings::{missing, reactive_finding, too_large, too_small};
use super::{Outlook, bounds, reactive};
use crate::{Basis, DecisionPolicy, Direction, FindingDraft, PastOutlook, ServiceSnapshot};

/// What the scaling rules make of one service.
pub(super) struct Judged {
    pub(super) outlook: Outlook,
    pub(super) findings: Vec<FindingDraft>,
    /// The finding a change of replicas answers.
    pub(super) answers: Option<FindingKind>,
    /// Load and its peak, for the services it calls.
    pub(super) demand: Option<Demand>,
    pub(super) notes: Vec<String>,
}

/// Requests per second now and at the peak.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) present: f64,
    pub(super) peak: f64,
}

/// A forecast laid against capacity.
pub(super) struct Ahead<'a> {
    pub(super) basis: Basis,
    pub(super) forecast: Option<&'a Forecast>,
    pub(super) present: f64,
    pub(super) peak: f64,
    /// What one replica carries in the unit of the forecast.
    pub(super) each: f64,
    /// What all wanted replicas carry.
    pub(super) capacity: f64,
    pub(super) threshold: f64,
    pub(super) wanted: u32,
    pub(super) needed: u32,
    pub(super) arithmetic: String,
}

pub(super) fn judge(snapshot: &ServiceSnapshot, policy: &DecisionPolicy, now: Timestamp) -> Judged {
    let mut judged = empty(snapshot, now);
    let Some(wanted) = snapshot.wanted() else {
        return judged.note(snapshot, "its executor does not report how many replicas it has");
    };
    judged.outlook.wanted = Some(wanted);
    if snapshot.is_stopped() || wanted == 0 {
        return judged.note(snapshot, "it is stopped");
    }
    if snapshot.service.scaling.mode == ScalingMode::Off {
        return judged.note(snapshot, "its scaling is off");
    }
    let recommended = reactive::recommend(snapshot, policy, now);
    judged.outlook.past.recommended = recommended.as_ref().map(|r| r.replicas);
    if snapshot.service.scaling.mode == ScalingMode::Reactive {
        by_utilisation_now(&mut judged, snapshot, policy, recommended, now);
        return judged;
    }
    match ahead(snapshot, wanted, now) {
        Some(ahead) => by_forecast(&mut judged, snapshot, policy, &ahead, now),
        None => by_what_is_left(&mut judged, snapshot, recommended, wanted, now),
    }
    judged
}

fn empty(snapshot: &ServiceSnapshot, now: Timestamp) -> Judged {
    Judged {
        outlook: Outlook {
            service: snapshot.service.name.clone(),
            past: PastOutlook { at: now, basis: None, peak: 0.0, needed: 0, recommended: None },
            present: None,
            capacity: None,
            wanted: None,
            target: None,
            why: String::new(),
        },
        findings: Vec::new(),
        answers: None,
        demand: None,
        notes: Vec::new(),
    }
}

impl Judged {
    fn note(mut self, snapshot: &ServiceSnapshot, why: &str) -> Self {
        why.clone_into(&mut self.outlook.why);
        self.notes.push(format!("{}: not scaled: {why}", snapshot.service.name));
        self
    }
}

/// What the forecast rests on: the load where a capacity is known, otherwise utilisation; none
/// when the data for it is missing.
fn ahead(snapshot: &ServiceSnapshot, wanted: u32, now: Timestamp) -> Option<Ahead<'_>> {
    let scaling = &snapshot.service.scaling;
    let threshold = scaling.threshold.clamp(0.05, 1.0);
    let make = |basis, forecast: Option<&'_ Forecast>, present: f64, each: f64, across: u32| {
        let peak = forecast.and_then(|f| peak(&f.plan)).unwrap_or(present).max(present);
        (basis, peak, replicas_for(peak, threshold * each), each * f64::from(across))
    };
    if let (Some(present), Some(capacity)) = (snapshot.load.fresh(now), snapshot.capacity) {
        let each = capacity.per_replica;
        let forecast = snapshot.load_forecast.as_ref();
        let (basis, peak, needed, capacity) = make(Basis::Load, forecast, present, each, wanted);
        let arithmetic =
            format!("ceil({} / ({} * {})) = {needed}", num(peak), num(threshold), num(each));
        return Some(Ahead {
            basis,
            forecast,
            present,
            peak,
            each,
            capacity,
            threshold,
            wanted,
            needed,
            arithmetic,
        });
    }
    // Load that came and stopped is missing data, even when utilisation still comes.
    if snapshot.capacity.is_some() && snapshot.load.newest_at.is_some() {
        return None;
    }
    let present = snapshot.utilisation.fresh(now)?;
    let ready = snapshot.ready()?.min(wanted).max(1);
    let forecast = snapshot.utilisation_forecast.as_ref();
    let each = 1.0 / f64::from(ready);
    let (basis, peak, needed, _) = make(Basis::Utilisation, forecast, present, each, wanted);
    let arithmetic = format!("ceil({ready} * {} / {}) = {needed}", num(peak), num(threshold));
    let capacity = f64::from(wanted) / f64::from(ready);
    Some(Ahead {
        basis,
        forecast,
        present,
        peak,
        each,
        capacity,
        threshold,
        wanted,
        needed,
        arithmetic,
    })
}

fn by_forecast(
    judged: &mut Judged,
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    ahead: &Ahead<'_>,
    now: Timestamp,
) {
    let outlook = &mut judged.outlook;
    outlook.past.basis = Some(ahead.basis);
    outlook.past.peak = ahead.peak;
    outlook.past.needed = ahead.needed;
    outlook.present = Some(ahead.present);
    outlook.capacity = Some(ahead.capacity);
    let (least, most) = bounds(&snapshot.service.scaling);
    let hot = hot_now(snapshot, ahead, now);
    let overloaded = policy.react_to_present_overload && hot.is_some();
    let needed = ahead.needed.max(hot.unwrap_or(0));
    let again = again(snapshot, policy, ahead, now);
    if overloaded || (ahead.needed > ahead.wanted && again) {
        let target = needed.clamp(least, most);
        let kind = if overloaded { FindingKind::Overload } else { FindingKind::ForecastOverload };
        judged.findings.push(too_small(snapshot, ahead, kind, needed, most, now));
        outlook.why.clone_from(&ahead.arithmetic);
        if target > ahead.wanted {
            outlook.target = Some((target, Direction::Up));
            judged.answers = Some(kind);
            if ahead.basis == Basis::Load {
                judged.demand = Some(Demand { present: ahead.present, peak: ahead.peak });
            }
        } else {
            outlook.why = format!("{}; at its maximum of {most}", ahead.arithmetic);
        }
        return;
    }
    if ahead.needed > ahead.wanted {
        let why =
            format!("{}, seen once; added when the next forecast says so too", ahead.arithmetic);
        outlook.why = why;
        return;
    }
    if ahead.wanted < least {
        outlook.target = Some((least, Direction::Up));
        outlook.why = format!("below its minimum of {least}");
        return;
    }
    match shrink(snapshot, policy, ahead, now) {
        Ok(target) => {
            outlook.target = Some((target, Direction::Down));
            outlook.why.clone_from(&ahead.arithmetic);
            judged.answers = Some(FindingKind::Surplus);
            judged.findings.push(too_large(snapshot, ahead, target));
        }
        Err(why) => outlook.why = format!("{}; {why}", ahead.arithmetic),
    }
}

/// Replicas needed for what is measured at this moment, when it is over the threshold.
fn hot_now(snapshot: &ServiceSnapshot, ahead: &Ahead<'_>, now: Timestamp) -> Option<u32> {
    if ahead.present > ahead.threshold * ahead.capacity {
        return Some(replicas_for(ahead.present, ahead.threshold * ahead.each));
    }
    if ahead.basis == Basis::Utilisation {
        return None;
    }
    // The stated or measured capacity may be wrong: utilisation tells, once no replica starts.
    let ready = snapshot.ready().filter(|ready| *ready >= ahead.wanted)?;
    snapshot.utilisation.fresh(now)?;
    let last = snapshot.utilisation.last_complete(2)?;
    let lowest = last.into_iter().reduce(f64::min).filter(|low| *low > ahead.threshold)?;
    Some(replicas_for(f64::from(ready) * lowest, ahead.threshold))
}

/// Whether enough decisions in a row, this one included, needed more replicas than are wanted.
fn again(
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    ahead: &Ahead<'_>,
    now: Timestamp,
) -> bool {
    let before = policy.consecutive_forecasts.saturating_sub(1);
    let Some(run) = run_before(snapshot, before, now) else { return false };
    // Utilisation from before a change of replicas says nothing about the replicas of now.
    let since = match ahead.basis {
        Basis::Load => None,
        Basis::Utilisation => snapshot.last_scale.map(|(at, _)| at),
    };
    run.iter().all(|past| {
        past.basis == Some(ahead.basis)
            && past.needed > ahead.wanted
            && since.is_none_or(|since| past.at >= since)
    })
}

/// The last `count` outlooks, when there are so many up to now with at most one left out between
/// two of them: a decision that a busy machine left out says nothing about the load.
fn run_before(snapshot: &ServiceSnapshot, count: usize, now: Timestamp) -> Option<&[PastOutlook]> {
    let start = snapshot.history.len().checked_sub(count)?;
    let run = snapshot.history.get(start..)?;
    let step_ms = snapshot.service.scaling.step_ms.max(1);
    let mut next = now;
    for past in run.iter().rev() {
        let gap = next.millis_since(past.at);
        if gap <= 0 || gap > step_ms.saturating_mul(5) / 2 {
            return None;
        }
        next = past.at;
    }
    Some(run)
}

/// The fewer replicas that may be set, or why none are removed.
fn shrink(
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    ahead: &Ahead<'_>,
    now: Timestamp,
) -> Result<u32, String> {
    let scaling = &snapshot.service.scaling;
    let (least, _) = bounds(scaling);
    if ahead.needed.max(least) >= ahead.wanted {
        return Err(format!("{} replicas are right", ahead.wanted));
    }
    if ahead.forecast.is_none() {
        return Err("nothing is removed without a forecast".to_owned());
    }
    let fresh = match ahead.basis {
        Basis::Load => &snapshot.load,
        Basis::Utilisation => &snapshot.utilisation,
    };
    if !fresh.is_fresh(now) || fresh.last_complete(2).is_none() {
        return Err("nothing is removed after a gap in the data".to_owned());
    }
    if snapshot.ready().is_none_or(|ready| ready < ahead.wanted) {
        return Err("nothing is removed while replicas are starting".to_owned());
    }
    let failing = snapshot.error_rate.fresh(now).is_some_and(|e| e >= policy.error_rate_warning);
    if failing {
        return Err("nothing is removed while requests fail".to_owned());
    }
    let every = scaling.down_every_steps.max(1);
    let step_ms = scaling.step_ms.max(1);
    let too_soon = |at: Option<Timestamp>, steps: u32| {
        at.is_some_and(|at| now.millis_since(at) < step_ms.saturating_mul(i64::from(steps)))
    };
    if too_soon(snapshot.last_up_at, policy.cooldown_after_up_steps) {
        let steps = policy.cooldown_after_up_steps;
        return Err(format!("nothing is removed within {steps} steps after an increase"));
    }
    if too_soon(snapshot.last_down_at, every) {
        return Err(format!("nothing is removed within {every} steps after a decrease"));
    }
    let before = usize::try_from(every - 1).unwrap_or(usize::MAX);
    let Some(run) = run_before(snapshot, before, now) else {
        return Err(format!("fewer would do, but not for {every} decisions in a row yet"));
    };
    if run.iter().any(|past| past.basis != Some(ahead.basis)) {
        return Err("nothing is removed after a gap in the data".to_owned());
    }
    let most_needed = run.iter().map(|past| past.needed).fold(ahead.needed, u32::max).max(least);
    if most_needed >= ahead.wanted {
        return Err(format!("fewer would do, but not for {every} decisions in a row yet"));
    }
    Ok(most_needed.max(ahead.wanted.saturating_sub(scaling.down_max.max(1))))
}

/// The reactive rule alone.
fn by_utilisation_now(
    judged: &mut Judged,
    snapshot: &ServiceSnapshot,
    policy: &DecisionPolicy,
    recommended: Option<reactive::Recommended>,
    now: Timestamp,
) {
    let Some(recommended) = recommended else {
        judged.findings.extend(missing(snapshot, "utilisation", &snapshot.utilisation, now));
        "no fresh utilisation".clone_into(&mut judged.outlook.why);
        return;
    };
    judged.outlook.present = snapshot.utilisation.fresh(now);
    judged.outlook.why.clone_from(&recommended.why);
    let Some((target, direction)) = reactive::stabilise(snapshot, policy, &recommended, now) else {
        return;
    };
    judged.outlook.target = Some((target, direction));
    let kind = match direction {
        Direction::Up => FindingKind::Overload,
        Direction::Down => FindingKind::Surplus,
    };
    judged.answers = Some(kind);
    judged.findings.push(reactive_finding(snapshot, kind, &recommended.why, 0.9));
}

/// The reactive rule on whatever data is left; nothing is ever removed on it.
fn by_what_is_left(
    judged: &mut Judged,
    snapshot: &ServiceSnapshot,
    recommended: Option<reactive::Recommended>,
    wanted: u32,
    now: Timestamp,
) {
    let (metric, view, why) = if snapshot.load.is_fresh(now) {
        let why = "neither the capacity of a replica nor utilisation is known";
        (snapshot.utilisation_metric, &snapshot.utilisation, why)
    } else {
        ("request_rate", &snapshot.load, "no fresh data to scale by")
    };
    judged.findings.extend(missing(snapshot, metric, view, now));
    let Some(recommended) = recommended else {
        why.clone_into(&mut judged.outlook.why);
        return;
    };
    judged.outlook.present = snapshot.utilisation.fresh(now);
    judged.outlook.why =
        format!("without fresh load, by utilisation and never downwards: {}", recommended.why);
    if recommended.replicas > wanted {
        judged.outlook.target = Some((recommended.replicas, Direction::Up));
        judged.answers = Some(FindingKind::Overload);
        judged.findings.push(reactive_finding(
            snapshot,
            FindingKind::Overload,
            &recommended.why,
            0.8,
        ));
    }
}
