//! Services that are called by a growing one grow along, callees first.

use std::collections::{BTreeMap, BTreeSet};

use oag_types::{Evidence, FindingKind, ScalingMode, ServiceName, Severity, Timestamp};

use super::bounds;
use super::numbers::{num, percent, replicas_for};
use super::scale::{Demand, Judged};
use crate::{Direction, FindingDraft, Fleet, ServiceSnapshot};

/// What growing along needs.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Every service reached from a growing one, callees before callers.
    pub(super) order: Vec<ServiceName>,
    /// Callees that must grow: replicas and why.
    pub(super) along: BTreeMap<ServiceName, (u32, String)>,
    /// Services that belong into one plan, by the first of them.
    pub(super) group: BTreeMap<ServiceName, ServiceName>,
    pub(super) findings: Vec<FindingDraft>,
    pub(super) notes: Vec<String>,
}

/// A call that grows along.
struct Edge {
    caller: ServiceName,
    callee: ServiceName,
    calls: f64,
}

/// Load that a callee will get from growing callers.
#[derive(Debug, Clone, Copy, Default)]
struct Inflow {
    /// What is added to the present load.
    added: f64,
    /// What growing callers send in all.
    total: f64,
}

pub(super) fn grow(fleet: &Fleet, judged: &[Judged], now: Timestamp) -> Growth {
    let mut growth = Growth::default();
    let mut demands: BTreeMap<ServiceName, Demand> = BTreeMap::new();
    for one in judged {
        if let (Some((_, Direction::Up)), Some(demand)) = (one.outlook.target, one.demand) {
            demands.insert(one.outlook.service.clone(), demand);
        }
    }
    let mut walk =
        Walk { fleet, open: Vec::new(), done: BTreeSet::new(), edges: Vec::new(), growth };
    for root in demands.keys() {
        walk.visit(root);
    }
    let edges = std::mem::take(&mut walk.edges);
    growth = walk.growth;
    let mut inflows: BTreeMap<ServiceName, Inflow> = BTreeMap::new();
    for caller in growth.order.iter().rev() {
        let Some(snapshot) = fleet.get(caller) else { continue };
        let demand = demand_of(snapshot, demands.get(caller), inflows.get(caller), now);
        for edge in edges.iter().filter(|edge| edge.caller == *caller) {
            let inflow = inflows.entry(edge.callee.clone()).or_default();
            inflow.added += (demand.peak - demand.present).max(0.0) * edge.calls;
            inflow.total += demand.peak * edge.calls;
        }
    }
    group(&mut growth, &edges);
    for (callee, inflow) in &inflows {
        if let Some(snapshot) = fleet.get(callee) {
            size(&mut growth, snapshot, *inflow, judged, now);
        }
    }
    growth
}

/// Depth first, so that callees come before their callers; calls back into the path are cut.
struct Walk<'a> {
    fleet: &'a Fleet,
    open: Vec<ServiceName>,
    done: BTreeSet<ServiceName>,
    edges: Vec<Edge>,
    growth: Growth,
}

impl Walk<'_> {
    fn visit(&mut self, root: &ServiceName) {
        // An explicit stack: a chain of services may be longer than the thread's stack is deep.
        let mut pending = vec![(root.clone(), 0)];
        while let Some((name, next)) = pending.pop() {
            if next == 0 {
                if self.done.contains(&name) {
                    continue;
                }
                self.open.push(name.clone());
            }
            let dependency = self.fleet.get(&name).and_then(|s| s.service.depends_on.get(next));
            let Some(dependency) = dependency else {
                self.open.pop();
                self.done.insert(name.clone());
                self.growth.order.push(name);
                continue;
            };
            let callee = dependency.service.clone();
            let calls = dependency.calls_per_request;
            let follow = dependency.scales_along && calls.is_finite() && calls > 0.0;
            pending.push((name.clone(), next + 1));
            if !follow {
                continue;
            }
            if self.open.contains(&callee) {
                self.growth.notes.push(format!("{name} calls {callee} in a cycle; not followed"));
            } else if self.fleet.get(&callee).is_none() {
                self.growth.notes.push(format!("{name} calls {callee}, which is not known"));
            } else {
                self.edges.push(Edge { caller: name, callee: callee.clone(), calls });
                if !self.done.contains(&callee) {
                    pending.push((callee, 0));
                }
            }
        }
    }
}

/// What a service will get: its own forecast, or what its callers bring, whichever is more.
fn demand_of(
    snapshot: &ServiceSnapshot,
    own: Option<&Demand>,
    inflow: Option<&Inflow>,
    now: Timestamp,
) -> Demand {
    let measured = snapshot.load.fresh(now).or(own.map(|own| own.present));
    let inflow = inflow.copied().unwrap_or_default();
    let present = measured.unwrap_or_else(|| (inflow.total - inflow.added).max(0.0));
    let brought = (present + inflow.added).max(inflow.total);
    Demand { present, peak: own.map_or(brought, |own| own.peak.max(brought)) }
}

/// Whether a callee must grow, and to how many replicas.
fn size(
    growth: &mut Growth,
    snapshot: &ServiceSnapshot,
    inflow: Inflow,
    judged: &[Judged],
    now: Timestamp,
) {
    let name = &snapshot.service.name;
    let scaling = &snapshot.service.scaling;
    let Some(wanted) = snapshot.wanted().filter(|w| *w > 0 && !snapshot.is_stopped()) else {
        growth.notes.push(format!("{name} is called more, but its replicas are not known"));
        return;
    };
    if scaling.mode == ScalingMode::Off {
        growth.notes.push(format!("{name} is called more, but its scaling is off"));
        return;
    }
    let threshold = scaling.threshold.clamp(0.05, 1.0);
    let demand = demand_of(snapshot, None, Some(&inflow), now);
    let sized = if let Some(capacity) = snapshot.capacity {
        let needed = replicas_for(demand.peak, threshold * capacity.per_replica);
        let each = num(capacity.per_replica);
        Some((
            needed,
            format!("ceil({} / ({} * {each})) = {needed}", num(demand.peak), num(threshold)),
        ))
    } else {
        by_ratio(snapshot, demand, threshold, now)
    };
    let Some((needed, arithmetic)) = sized else {
        growth.notes.push(format!("{name} is called more, but its capacity is not known"));
        return;
    };
    let (least, most) = bounds(scaling);
    let target = needed.clamp(least, most);
    let own = judged.iter().find(|one| one.outlook.service == *name);
    let own = own.and_then(|one| one.outlook.target).filter(|(_, way)| *way == Direction::Up);
    if target <= own.map_or(wanted, |(own, _)| own.max(wanted)) {
        return;
    }
    growth.findings.push(brought(name, wanted, threshold, demand, inflow, needed, &arithmetic));
    growth.along.insert(name.clone(), (target, arithmetic));
}

fn brought(
    name: &ServiceName,
    wanted: u32,
    threshold: f64,
    demand: Demand,
    inflow: Inflow,
    needed: u32,
    arithmetic: &str,
) -> FindingDraft {
    FindingDraft {
        kind: FindingKind::ForecastOverload,
        service: name.clone(),
        severity: Severity::Warning,
        confidence: 0.7,
        summary: format!(
            "calls to {name} will grow to {} requests/s with its callers, over {} of what \
             {wanted} replicas carry",
            num(demand.peak),
            percent(threshold)
        ),
        evidence: vec![
            Evidence::new(arithmetic)
                .with("present_rps", demand.present)
                .with("added_by_callers_rps", inflow.added)
                .with("sent_by_callers_rps", inflow.total)
                .with("peak_rps", demand.peak)
                .with("threshold", threshold)
                .with("replicas", wanted)
                .with("needed_replicas", needed),
        ],
    }
}

/// Without a capacity: utilisation grows as load does.
fn by_ratio(
    snapshot: &ServiceSnapshot,
    demand: Demand,
    threshold: f64,
    now: Timestamp,
) -> Option<(u32, String)> {
    let utilisation = snapshot.utilisation.fresh(now)?;
    let present = snapshot.load.fresh(now).filter(|present| *present > 0.0)?;
    let ready = snapshot.ready().filter(|ready| *ready > 0)?;
    let ahead = utilisation * demand.peak / present;
    let needed = replicas_for(ahead * f64::from(ready), threshold);
    let arithmetic = format!("ceil({ready} * {} / {}) = {needed}", num(ahead), num(threshold));
    Some((needed, arithmetic))
}

/// Services joined by calls share a plan.
fn group(growth: &mut Growth, edges: &[Edge]) {
    let mut first: BTreeMap<ServiceName, ServiceName> =
        growth.order.iter().map(|name| (name.clone(), name.clone())).collect();
    for edge in edges {
        let (Some(a), Some(b)) = (first.get(&edge.caller), first.get(&edge.callee)) else {
            continue;
        };
        let (low, high) = if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
        for root in first.values_mut().filter(|root| **root == high) {
            *root = low.clone();
        }
    }
    growth.group = first;
}
