//! Fair shares: of the tenants that wait, the one that was served least is next.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng 1996) in predicted slot time, corrected by the
//! time that was really taken (as virtual token counters do, Sheng et al. 2024). A tenant that
//! was away has no claim from that time.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use oag_types::Tenant;

use super::bounds::Held;
use crate::fleet::Mixed;
use crate::policy::{Policy, PolicyKind};
use crate::task::Ticket;
use crate::time::Moment;

/// A tenant's tasks of one class.
#[derive(Debug)]
pub(super) struct Lane {
    name: Arc<Tenant>,
    pub(super) tasks: Box<dyn Policy>,
    pub(super) held: Held,
    /// Virtual time at which its next task starts, in microseconds of slot time over weight.
    start: u64,
    weight: f64,
}

impl Lane {
    /// By how much work moves the start of its next task.
    pub(super) fn step(&self, work_us: i64) -> i64 {
        (work_us as f64 / self.weight.max(1e-6)) as i64
    }
}

/// The lanes of one class. A lane is forgotten when it is empty and has no advance left.
#[derive(Debug)]
pub(super) struct Lanes {
    kind: PolicyKind,
    /// Never gone through in its order, which is nobody's.
    lanes: HashMap<Arc<Tenant>, Lane, BuildHasherDefault<Mixed>>,
    /// Lanes with tasks, by start.
    waiting: BTreeSet<(u64, Arc<Tenant>)>,
    /// Empty lanes, by start.
    resting: BTreeSet<(u64, Arc<Tenant>)>,
    /// Tasks by the moment from which they wait.
    ages: BTreeSet<(Moment, Ticket)>,
    now: u64,
}

impl Lanes {
    pub(super) fn new(kind: PolicyKind) -> Self {
        Self {
            kind,
            lanes: HashMap::default(),
            waiting: BTreeSet::new(),
            resting: BTreeSet::new(),
            ages: BTreeSet::new(),
            now: 0,
        }
    }

    /// The tenant whose turn it is.
    pub(super) fn next(&self) -> Option<&Arc<Tenant>> {
        self.waiting.first().map(|(_, tenant)| tenant)
    }

    pub(super) fn get(&self, tenant: &Tenant) -> Option<&Lane> {
        self.lanes.get(tenant)
    }

    /// Books that a task of a lane waits from now on.
    pub(super) fn waits(&mut self, since: Moment, ticket: Ticket) {
        self.ages.insert((since, ticket));
    }

    /// Books that it does not any more.
    pub(super) fn waits_no_more(&mut self, since: Moment, ticket: Ticket) {
        self.ages.remove(&(since, ticket));
    }

    /// From when on the one waits that has waited longest.
    pub(super) fn waits_since(&self) -> Option<Moment> {
        self.ages.first().map(|(since, _)| *since)
    }

    /// Tasks by the moment from which they wait.
    pub(super) fn ages(&self) -> impl Iterator<Item = &(Moment, Ticket)> {
        self.ages.iter()
    }

    /// Lanes with tasks and the virtual time of their next one, next first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (u64, &Arc<Tenant>)> {
        self.waiting.iter().map(|(start, tenant)| (*start, tenant))
    }

    /// Changes a lane, which is made when it is not there, and puts it where it belongs.
    pub(super) fn change<R>(
        &mut self,
        tenant: &Tenant,
        weight: f64,
        change: impl FnOnce(&mut Lane) -> R,
    ) -> R {
        let Self { kind, lanes, waiting, resting, now, .. } = self;
        let known = lanes.get_key_value(tenant).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| Arc::new(tenant.clone()));
        let lane = lanes.entry(name).or_insert_with_key(|name| {
            resting.insert((*now, Arc::clone(name)));
            Lane {
                name: Arc::clone(name),
                tasks: kind.lane(),
                held: Held::default(),
                start: *now,
                weight,
            }
        });
        let (was_empty, was_at) = (lane.tasks.is_empty(), lane.start);
        lane.weight = weight;
        let result = change(lane);
        let is_empty = lane.tasks.is_empty();
        if was_empty && !is_empty {
            lane.start = lane.start.max(*now);
        }
        let is_at = lane.start;
        if (was_empty, was_at) != (is_empty, is_at) || is_empty {
            let from = if was_empty { &mut *resting } else { &mut *waiting };
            let mut place = (was_at, Arc::clone(&lane.name));
            from.remove(&place);
            place.0 = is_at;
            let to = if is_empty { resting } else { waiting };
            to.insert(place);
        }
        result
    }

    /// A task of a lane starts: virtual time goes on to its start, and its lane falls behind by
    /// the work and is changed.
    pub(super) fn charge(
        &mut self,
        tenant: &Tenant,
        weight: f64,
        work_us: u64,
        change: impl FnOnce(&mut Lane),
    ) {
        if let Some(lane) = self.lanes.get(tenant) {
            self.now = self.now.max(lane.start);
        }
        while let Some((start, _)) = self.resting.first()
            && *start <= self.now
            && let Some((_, tenant)) = self.resting.pop_first()
        {
            // Tasks that are held back still count for their tenant.
            if self.lanes.get(&tenant).is_some_and(|lane| lane.held.tasks == 0) {
                self.lanes.remove(&tenant);
            }
        }
        self.change(tenant, weight, |lane| {
            let step = lane.step(i64::try_from(work_us).unwrap_or(i64::MAX));
            lane.start = lane.start.saturating_add_signed(step);
            change(lane);
        });
    }

    /// A lane took that much more, or less, than it was charged for.
    pub(super) fn correct(&mut self, tenant: &Tenant, work_us: i64) {
        let Some(weight) = self.lanes.get(tenant).map(|lane| lane.weight) else { return };
        self.change(tenant, weight, |lane| {
            lane.start = lane.start.saturating_add_signed(lane.step(work_us));
        });
    }
}
