//! Fair shares: of the tenants that wait, the one that was served least is next.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng 1996) in predicted slot time, corrected by the
//! time that was really taken (as virtual token counters do, Sheng et al. 2024). A tenant that
//! was away has no claim from that time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oag_types::Tenant;

use super::bounds::Held;
use crate::policy::{Policy, PolicyKind};
use crate::task::Ticket;
use crate::time::Moment;

/// A tenant's tasks of one class.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) tasks: Box<dyn Policy>,
    pub(super) held: Held,
    /// Work of its tasks that are not held back.
    pub(super) in_lane_work: Duration,
    /// Virtual time at which its next task starts, in microseconds of slot time over weight.
    start: u64,
    weight: f64,
}

impl Lane {
    /// Books that a task went.
    pub(super) fn leave(&mut self, tokens: u64, work: Duration, was_in_lane: bool) {
        self.held.remove(tokens, work);
        if was_in_lane {
            self.in_lane_work = self.in_lane_work.saturating_sub(work);
        }
    }
}

/// The lanes of one class. A lane is forgotten when it is empty and has no advance left.
#[derive(Debug)]
pub(super) struct Lanes {
    kind: PolicyKind,
    lanes: BTreeMap<Tenant, Lane>,
    /// Lanes with tasks, by start.
    waiting: BTreeSet<(u64, Tenant)>,
    /// Empty lanes, by start.
    resting: BTreeSet<(u64, Tenant)>,
    /// Tasks by the moment from which they wait.
    ages: BTreeSet<(Moment, Ticket)>,
    now: u64,
}

impl Lanes {
    pub(super) const fn new(kind: PolicyKind) -> Self {
        Self {
            kind,
            lanes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            resting: BTreeSet::new(),
            ages: BTreeSet::new(),
            now: 0,
        }
    }

    /// The tenant whose turn it is.
    pub(super) fn next(&self) -> Option<&Tenant> {
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

    /// Lanes that have tasks.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lanes with tasks, next first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&Tenant, &Lane)> {
        self.waiting.iter().filter_map(|(_, tenant)| Some((tenant, self.lanes.get(tenant)?)))
    }

    /// Changes a lane, which is made when it is not there, and puts it where it belongs.
    pub(super) fn change<R>(
        &mut self,
        tenant: &Tenant,
        weight: f64,
        change: impl FnOnce(&mut Lane) -> R,
    ) -> R {
        let Self { kind, lanes, waiting, resting, now, .. } = self;
        let lane = lanes.entry(tenant.clone()).or_insert_with(|| {
            resting.insert((*now, tenant.clone()));
            Lane {
                tasks: kind.lane(),
                held: Held::default(),
                in_lane_work: Duration::ZERO,
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
            from.remove(&(was_at, tenant.clone()));
            let to = if is_empty { resting } else { waiting };
            to.insert((is_at, tenant.clone()));
        }
        result
    }

    /// A task of a lane starts: virtual time goes on to its start, and its lane falls behind by
    /// the work.
    pub(super) fn charge(&mut self, tenant: &Tenant, work_us: u64) {
        if let Some(lane) = self.lanes.get(tenant) {
            self.now = self.now.max(lane.start);
        }
        self.correct(tenant, i64::try_from(work_us).unwrap_or(i64::MAX));
        while let Some((start, _)) = self.resting.first()
            && *start <= self.now
            && let Some((_, tenant)) = self.resting.pop_first()
        {
            // Tasks that are held back still count for their tenant.
            if self.lanes.get(&tenant).is_some_and(|lane| lane.held.tasks == 0) {
                self.lanes.remove(&tenant);
            }
        }
    }

    /// A lane took that much more, or less, than it was charged for.
    pub(super) fn correct(&mut self, tenant: &Tenant, work_us: i64) {
        let Some(weight) = self.lanes.get(tenant).map(|lane| lane.weight) else { return };
        let step = (work_us as f64 / weight.max(1e-6)) as i64;
        self.change(tenant, weight, |lane| lane.start = lane.start.saturating_add_signed(step));
    }
}
