//! Proposals that are watched until it is known whether they were right.

use std::collections::{BTreeMap, HashMap, HashSet};

use oag_pilot::{Fate, Hindsight, Trial};
use oag_types::{ActionId, PlanId, ServiceName, Tenant, Timestamp};

use super::{Ops, lock};
use crate::hindsight::{After, look_back};
use crate::{ServiceSnapshot, SignalHub};

/// Steps looked at again each time: as many as may be missing.
const STEPS_AGAIN: usize = 4;

/// The trials of one tenant.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Whether those of before the start were read.
    loaded: bool,
    services: HashMap<ServiceName, BTreeMap<ActionId, Watching>>,
}

#[derive(Debug)]
struct Watching {
    trial: Trial,
    done: bool,
    moved: bool,
    values: BTreeMap<Timestamp, f64>,
}

/// A trial whose time has come.
struct Ready {
    trial: Trial,
    done: bool,
    moved: bool,
    values: Vec<(Timestamp, f64)>,
    /// Its service is no longer in the catalogue.
    gone: bool,
}

impl Trials {
    pub(super) fn open(&self) -> usize {
        self.services.values().map(BTreeMap::len).sum()
    }

    fn add(&mut self, trials: Vec<Trial>) {
        for trial in trials {
            let service = self.services.entry(trial.claim.service.clone()).or_default();
            service.entry(trial.action).or_insert(Watching {
                trial,
                done: false,
                moved: false,
                values: BTreeMap::new(),
            });
        }
    }

    fn remove(&mut self, trial: &Trial) {
        if let Some(service) = self.services.get_mut(&trial.claim.service) {
            service.remove(&trial.action);
            if service.is_empty() {
                self.services.remove(&trial.claim.service);
            }
        }
    }
}

impl Watching {
    /// Takes in the state and the steps that are complete. The first value of a step stays: later
    /// the samples it is the mean of may be forgotten in part.
    fn see(&mut self, hub: &SignalHub, tenant: &Tenant, seen: &ServiceSnapshot, now: Timestamp) {
        let claim = &self.trial.claim;
        if let Some(observed) = &seen.observed {
            self.done |= claim.like.as_ref().is_some_and(|fact| fact.holds(observed));
            let rests_on = claim.figures.as_ref().and_then(|figures| figures.rests_on.as_ref());
            self.moved |= rests_on.is_some_and(|fact| !fact.holds(observed));
        }
        let Some(figures) = &claim.figures else { return };
        let (from, to) = claim.window(self.trial.made_at);
        let view = hub.view(tenant, &seen.service, &figures.metric, STEPS_AGAIN, now);
        for (ago, value) in (0..).zip(view.values.iter().rev()) {
            let at = view.last_step_at.plus_millis(view.step_ms.saturating_mul(-ago));
            let complete = at.plus_millis(view.step_ms) <= now;
            if let Some(value) = value.filter(|_| complete && from <= at && at < to) {
                self.values.entry(at).or_insert(value);
            }
        }
    }

    /// What people do by themselves is known at once, and a dry run that failed need not be waited
    /// for; everything else when the time it speaks of is over.
    fn is_ready(&self, now: Timestamp) -> bool {
        let at_once = match &self.trial.rehearsal {
            None => self.done,
            Some(rehearsal) => !matches!(rehearsal, oag_pilot::Rehearsal::Clean(_)),
        };
        at_once || now >= self.trial.due_at()
    }

    fn ready(&self, gone: bool) -> Ready {
        Ready {
            trial: self.trial.clone(),
            done: self.done,
            moved: self.moved,
            values: self.values.iter().map(|(at, value)| (*at, *value)).collect(),
            gone,
        }
    }
}

impl Ops {
    /// Whether another proposal can be watched.
    pub(super) fn may_try(&self, tenant: &Tenant) -> bool {
        let open = lock(&self.tenants).get(tenant).map_or(0, |state| state.trials.open());
        open < self.config.trials_max
    }

    /// Watches what a plan was put on trial for.
    pub(super) async fn watch_trials(&self, tenant: &Tenant, plan: PlanId) {
        match self.desk.trials(tenant, Some(plan)).await {
            Ok(trials) => {
                if let Some(state) = lock(&self.tenants).get_mut(tenant) {
                    state.trials.add(trials);
                }
            }
            Err(error) => {
                tracing::warn!(%plan, %error, "trials not known");
                self.count(|c| c.desk_errors += 1);
                // All are read again at the next step.
                if let Some(state) = lock(&self.tenants).get_mut(tenant) {
                    state.trials.loaded = false;
                }
            }
        }
    }

    /// Looks at what came since of the services that were due, and ends the trials that can be
    /// told. One that could not be ended is tried again at the next step.
    pub(super) async fn look_back(
        &self,
        tenant: &Tenant,
        due: &HashSet<&ServiceName>,
        now: Timestamp,
    ) {
        if !self.load_trials(tenant).await {
            return;
        }
        for ready in self.ready_trials(tenant, due, now) {
            let trial = ready.trial.clone();
            let ended = match self.desk.fate(tenant, trial.plan).await {
                Ok(fate) => {
                    let hindsight = ready.hindsight(fate);
                    let ended = self.desk.end_trial(tenant, &trial, &hindsight).await;
                    ended.map(|()| hindsight)
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(hindsight) => {
                    if let Some(state) = lock(&self.tenants).get_mut(tenant) {
                        state.trials.remove(&trial);
                    }
                    tracing::info!(
                        plan = %trial.plan,
                        kind = %trial.kind,
                        right = hindsight.right,
                        text = hindsight.text,
                        "looked back on a proposal"
                    );
                    self.count(|c| match hindsight.right {
                        Some(true) => c.proved_right += 1,
                        Some(false) => c.proved_wrong += 1,
                        None => c.proved_nothing += 1,
                    });
                }
                Err(error) => {
                    tracing::warn!(plan = %trial.plan, %error, "trial not ended");
                    self.count(|c| c.desk_errors += 1);
                }
            }
        }
    }

    async fn load_trials(&self, tenant: &Tenant) -> bool {
        if lock(&self.tenants).get(tenant).is_some_and(|state| state.trials.loaded) {
            return true;
        }
        match self.desk.trials(tenant, None).await {
            Ok(trials) => {
                let mut tenants = lock(&self.tenants);
                let known = &mut tenants.entry(tenant.clone()).or_default().trials;
                known.add(trials);
                known.loaded = true;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "trials not known");
                self.count(|c| c.desk_errors += 1);
                false
            }
        }
    }

    fn ready_trials(
        &self,
        tenant: &Tenant,
        due: &HashSet<&ServiceName>,
        now: Timestamp,
    ) -> Vec<Ready> {
        let mut tenants = lock(&self.tenants);
        let Some(state) = tenants.get_mut(tenant) else { return Vec::new() };
        let mut ready = Vec::new();
        for (service, trials) in &mut state.trials.services {
            let gone = !state.services.contains_key(service);
            let seen = state.snapshots.get(service).filter(|_| due.contains(service));
            for watching in trials.values_mut() {
                if let Some(seen) = seen {
                    watching.see(&self.hub, tenant, seen, now);
                }
                if gone || seen.is_some() && watching.is_ready(now) {
                    ready.push(watching.ready(gone));
                }
            }
        }
        ready
    }
}

impl Ready {
    fn hindsight(self, fate: Fate) -> Hindsight {
        let Self { trial, done, moved, values, gone } = self;
        if gone {
            let text = format!("{} left the catalogue", trial.claim.service);
            return Hindsight { right: None, text, values };
        }
        look_back(&trial, &After { fate, done, moved, values })
    }
}
