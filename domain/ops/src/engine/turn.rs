//! Whose turn it is, and what is seen of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use oag_pilot::Observed;
use oag_types::{Service, ServiceName, Tenant, Timestamp};

use super::stories::Closed;
use super::{Ops, lock};
use crate::ActivePlan;

/// A service as the desk sees it.
pub(super) struct Seen {
    pub(super) service: Service,
    pub(super) due: bool,
    pub(super) observed: Option<Observed>,
    pub(super) active: Option<ActivePlan>,
    pub(super) shed: Vec<String>,
}

/// The right to take a step for a tenant, given back when dropped.
pub(super) struct Turn<'a> {
    running: &'a Mutex<HashSet<Tenant>>,
    tenant: Tenant,
}

impl<'a> Turn<'a> {
    pub(super) fn take(running: &'a Mutex<HashSet<Tenant>>, tenant: &Tenant) -> Option<Self> {
        let free = lock(running).insert(tenant.clone());
        free.then(|| Self { running, tenant: tenant.clone() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(self.running).remove(&self.tenant);
    }
}

impl Ops {
    /// The services that are due or called by one that is, with whether each is due; and the
    /// stories of services that are gone.
    pub(super) fn turn_of(
        &self,
        tenant: &Tenant,
        services: &[Service],
        now: Timestamp,
    ) -> (BTreeMap<ServiceName, bool>, Vec<Closed>) {
        let by_name: HashMap<&ServiceName, &Service> =
            services.iter().map(|s| (&s.name, s)).collect();
        let mut tenants = lock(&self.tenants);
        let state = tenants.entry(tenant.clone()).or_default();
        state.services.retain(|name, _| by_name.contains_key(name));
        state.snapshots.retain(|name, _| by_name.contains_key(name));
        state.proposed.retain(|(name, _), _| by_name.contains_key(name));
        let gone = state.stories.keep(|name| by_name.contains_key(name));
        let mut wanted: BTreeMap<ServiceName, bool> = BTreeMap::new();
        let mut skipped = 0;
        for service in services {
            let watched = state.services.entry(service.name.clone()).or_default();
            let step_ms = service.scaling.step_ms.max(1);
            let due = watched.next_due.unwrap_or(now);
            // A clock set back must not silence a service until it has caught up.
            if now < due && due.millis_since(now) <= step_ms {
                continue;
            }
            let late = now.millis_since(due).max(0) / step_ms;
            skipped += late.unsigned_abs();
            let next = due.plus_millis((late + 1).saturating_mul(step_ms));
            watched.next_due = Some(if next > now { next } else { now.plus_millis(step_ms) });
            if next.millis_since(now) > step_ms {
                watched.next_due = Some(now.plus_millis(step_ms));
            }
            wanted.insert(service.name.clone(), true);
        }
        let mut called: Vec<ServiceName> = wanted.keys().cloned().collect();
        while let Some(name) = called.pop() {
            let depends_on =
                by_name.get(&name).map(|s| s.depends_on.as_slice()).unwrap_or_default();
            for callee in depends_on.iter().map(|d| &d.service) {
                if by_name.contains_key(callee) && !wanted.contains_key(callee) {
                    wanted.insert(callee.clone(), false);
                    called.push(callee.clone());
                }
            }
        }
        drop(tenants);
        self.count(|c| c.skipped += skipped);
        (wanted, gone)
    }

    /// When the next service is due; none before any was looked at.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let tenants = lock(&self.tenants);
        tenants.values().flat_map(|t| t.services.values()).filter_map(|w| w.next_due).min()
    }

    pub(super) async fn observe(
        &self,
        tenant: &Tenant,
        services: Vec<Service>,
        wanted: &BTreeMap<ServiceName, bool>,
    ) -> Vec<Seen> {
        let asked: BTreeSet<ServiceName> = {
            let tenants = lock(&self.tenants);
            let state = tenants.get(tenant);
            state
                .into_iter()
                .flat_map(|state| state.services.iter())
                .filter(|(_, watched)| watched.asked)
                .map(|(name, _)| name.clone())
                .collect()
        };
        let mut seen = Vec::with_capacity(wanted.len());
        for service in services {
            let Some(&due) = wanted.get(&service.name) else { continue };
            let observed = self.desk.observe(tenant, &service).await;
            let active = match self.desk.active_plan(tenant, &service.name).await {
                Ok(active) => active,
                Err(error) => {
                    // Without knowing what is in hand nothing may be proposed.
                    tracing::warn!(service = %service.name, %error, "plan in hand not known");
                    self.count(|c| c.desk_errors += 1);
                    continue;
                }
            };
            // The records are long: they are only asked where a feature is shed at all.
            let is_shed = observed.as_ref().is_some_and(|seen| {
                let field = |feature: &oag_types::Feature| format!("feature.{}", feature.name);
                service.features.iter().any(|f| seen.text(&field(f)) == Some("shed"))
            });
            let shed = if is_shed && !asked.contains(&service.name) {
                self.desk.shed_by_loop(tenant, &service.name).await
            } else {
                Vec::new()
            };
            seen.push(Seen { service, due, observed, active, shed });
        }
        seen.sort_by(|a, b| a.service.name.cmp(&b.service.name));
        seen
    }
}
