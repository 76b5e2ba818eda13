//! The running loop: collect, decide, tell, propose.

mod config;
mod sources;
mod stories;
mod trials;
mod turn;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use oag_pilot::{Claim, Meter, Proposal};
use oag_runtime::{Clock, IdSource};
use oag_types::{ErrorKind, Finding, Origin, Problem, ServiceName, Tenant, Timestamp};

pub use config::{OpsConfig, OpsCounters, OpsParts, StepReport};

use crate::hindsight::claims;
use crate::{
    Aim, Decision, Desk, Fleet, Look, ProposalDraft, ServiceSnapshot, ServiceWatch, SignalHub,
    decide,
};
use stories::{Closed, Stories};
use trials::Trials;
use turn::{Seen, Turn};

/// The loop. Activation takes nothing and may be repeated: each step reads the state anew.
pub struct Ops {
    hub: Arc<SignalHub>,
    desk: Arc<dyn Desk>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    config: OpsConfig,
    tenants: Mutex<HashMap<Tenant, TenantLoop>>,
    running: Mutex<HashSet<Tenant>>,
    counters: Mutex<OpsCounters>,
}

/// What the loop remembers of a tenant; bounded by its catalogue.
#[derive(Default)]
struct TenantLoop {
    services: HashMap<ServiceName, Watched>,
    stories: Stories,
    /// What was proposed last for a service and an aim, and when.
    proposed: HashMap<(ServiceName, Aim), (String, Timestamp)>,
    snapshots: BTreeMap<ServiceName, ServiceSnapshot>,
    decision: Option<Decision>,
    trials: Trials,
}

#[derive(Default)]
struct Watched {
    watch: ServiceWatch,
    next_due: Option<Timestamp>,
    /// Whether the records were asked for features shed before a restart.
    asked: bool,
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ops").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Ops {
    /// A loop that has not begun.
    #[must_use]
    pub fn new(parts: OpsParts) -> Self {
        let OpsParts { hub, desk, clock, ids, config } = parts;
        Self {
            hub,
            desk,
            clock,
            ids,
            config,
            tenants: Mutex::default(),
            running: Mutex::default(),
            counters: Mutex::default(),
        }
    }

    /// Signals in memory.
    #[must_use]
    pub const fn hub(&self) -> &Arc<SignalHub> {
        &self.hub
    }

    /// Its settings.
    #[must_use]
    pub const fn config(&self) -> &OpsConfig {
        &self.config
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> OpsCounters {
        let tenants = lock(&self.tenants);
        let findings: usize = tenants.values().map(|t| t.stories.open()).sum();
        let trials: usize = tenants.values().map(|t| t.trials.open()).sum();
        drop(tenants);
        let (open_findings, open_trials) = (findings as u64, trials as u64);
        OpsCounters { open_findings, open_trials, ..*lock(&self.counters) }
    }

    /// What was known of a service at its last decision.
    #[must_use]
    pub fn snapshot(&self, tenant: &Tenant, service: &ServiceName) -> Option<ServiceSnapshot> {
        lock(&self.tenants).get(tenant)?.snapshots.get(service).cloned()
    }

    /// The last decision of a tenant.
    #[must_use]
    pub fn last_decision(&self, tenant: &Tenant) -> Option<Decision> {
        lock(&self.tenants).get(tenant)?.decision.clone()
    }

    /// Decides on every service that is due, tells what is new and proposes what should be done.
    /// While a step of the tenant is running another one does nothing but count.
    ///
    /// # Errors
    /// When the catalogue cannot be read. Other failures are counted and logged: the next step
    /// tries again.
    pub async fn step(&self, tenant: &Tenant, now: Timestamp) -> Result<StepReport, Problem> {
        let Some(_turn) = Turn::take(&self.running, tenant) else {
            self.count(|c| c.overruns += 1);
            return Ok(StepReport { overrun: true, ..StepReport::default() });
        };
        self.count(|c| c.steps += 1);
        let services = self.desk.services(tenant).await.inspect_err(|_| {
            self.count(|c| c.desk_errors += 1);
        })?;
        self.hub.set_services(tenant, &services);
        let (wanted, gone) = self.turn_of(tenant, &services, now);
        self.close(tenant, gone).await;
        if wanted.is_empty() {
            return Ok(StepReport::default());
        }
        let seen = self.observe(tenant, services, &wanted).await;
        let (decision, claims) = self.decide(tenant, seen, now);
        let mut report = StepReport {
            due: decision.outlooks.len(),
            decision: decision.clone(),
            ..StepReport::default()
        };
        self.tell(tenant, &decision, now, &mut report).await;
        for (draft, claims) in decision.proposals.iter().zip(claims) {
            self.propose(tenant, draft, claims, now, &mut report).await;
        }
        let due: HashSet<_> = decision.outlooks.iter().map(|outlook| &outlook.service).collect();
        self.look_back(tenant, &due, now).await;
        Ok(report)
    }

    /// The decision, and what each of its proposals claims.
    fn decide(
        &self,
        tenant: &Tenant,
        seen: Vec<Seen>,
        now: Timestamp,
    ) -> (Decision, Vec<Vec<Claim>>) {
        let mut tenants = lock(&self.tenants);
        let state = tenants.entry(tenant.clone()).or_default();
        let mut fleet = Fleet::default();
        for Seen { service, due, observed, active, shed } in seen {
            let watched = state.services.entry(service.name.clone()).or_default();
            watched.asked |= observed.is_some();
            for feature in &shed {
                watched.watch.asked_to_shed(feature);
            }
            let view_steps = self.config.view_steps;
            let service = &service;
            let look = Look { tenant, service, observed, active, due, view_steps, now };
            fleet.services.push(watched.watch.look(&self.hub, look));
        }
        let policy = &self.config.policy;
        let decision = decide(&fleet, policy, now);
        let horizon = self.hub.config().horizon;
        let drafts = decision.proposals.iter();
        let claims =
            drafts.map(|draft| claims(&fleet, &decision, draft, policy, horizon)).collect();
        for outlook in &decision.outlooks {
            let service = fleet.get(&outlook.service).map(|snapshot| &snapshot.service);
            let watched = state.services.get_mut(&outlook.service);
            if let (Some(service), Some(watched)) = (service, watched) {
                watched.watch.remember(outlook, service);
            }
        }
        for snapshot in fleet.services.into_iter().filter(|snapshot| snapshot.due) {
            state.snapshots.insert(snapshot.service.name.clone(), snapshot);
        }
        state.decision = Some(decision.clone());
        drop(tenants);
        self.count(|c| c.decisions += decision.outlooks.len() as u64);
        (decision, claims)
    }

    async fn tell(
        &self,
        tenant: &Tenant,
        decision: &Decision,
        now: Timestamp,
        report: &mut StepReport,
    ) {
        let due: Vec<ServiceName> = decision.outlooks.iter().map(|o| o.service.clone()).collect();
        let (findings, closed) = {
            let mut tenants = lock(&self.tenants);
            let stories = &mut tenants.entry(tenant.clone()).or_default().stories;
            let closed =
                stories.close(&due, &decision.findings, self.config.close_after_steps, now);
            (stories.to_tell(&decision.findings, self.ids.as_ref(), now), closed)
        };
        self.close(tenant, closed).await;
        if findings.is_empty() {
            return;
        }
        if let Err(error) = self.desk.record_findings(tenant, findings.clone()).await {
            tracing::warn!(%error, "findings not recorded");
            self.count(|c| c.desk_errors += 1);
            return;
        }
        for finding in &findings {
            tracing::info!(
                finding = %finding.id,
                severity = stories::severity(finding.severity),
                kind = ?finding.kind,
                "finding"
            );
        }
        if let Some(state) = lock(&self.tenants).get_mut(tenant) {
            state.stories.told(&findings);
        }
        self.count(|c| c.findings += findings.len() as u64);
        report.findings = findings;
    }

    async fn close(&self, tenant: &Tenant, closed: Vec<Closed>) {
        for Closed { story, note, findings } in closed {
            self.count(|c| c.closed += findings);
            if note.is_empty() {
                continue;
            }
            if let Err(error) = self.desk.close_story(tenant, story, note).await {
                tracing::warn!(%story, %error, "story not closed");
                self.count(|c| c.desk_errors += 1);
            }
        }
    }

    async fn propose(
        &self,
        tenant: &Tenant,
        draft: &ProposalDraft,
        claims: Vec<Claim>,
        now: Timestamp,
        report: &mut StepReport,
    ) {
        let Some((proposal, findings)) = self.complete(tenant, draft, now) else { return };
        let claims = if self.may_try(tenant) { claims } else { Vec::new() };
        let claimed = !claims.is_empty();
        match self.desk.propose(tenant, proposal, findings, claims).await {
            Ok(plan) => {
                self.count(|c| c.proposals += 1);
                report.plans.push(plan);
                if claimed {
                    self.watch_trials(tenant, plan).await;
                }
                self.proposed(tenant, draft);
            }
            Err(problem) => {
                tracing::info!(service = %draft.service, %problem, "proposal refused");
                self.count(|c| c.refused += 1);
                // What is away now may take it at the next step.
                let later = [ErrorKind::Unavailable, ErrorKind::Exhausted, ErrorKind::Internal];
                if later.contains(&problem.kind())
                    && let Some(state) = lock(&self.tenants).get_mut(tenant)
                {
                    state.proposed.remove(&(draft.service.clone(), draft.aim));
                }
                report.refused.push(problem);
            }
        }
    }

    /// The proposal with its story and findings; none when the same one was made a short while
    /// ago, or when a finding it answers could not be recorded.
    fn complete(
        &self,
        tenant: &Tenant,
        draft: &ProposalDraft,
        now: Timestamp,
    ) -> Option<(Proposal, Vec<Finding>)> {
        let mut tenants = lock(&self.tenants);
        let state = tenants.get_mut(tenant)?;
        let mut findings = Vec::new();
        for (service, kind) in &draft.answers {
            findings.push(state.stories.finding(service, *kind)?.clone());
        }
        let content = serde_json::to_string(&draft.actions).unwrap_or_default();
        let key = (draft.service.clone(), draft.aim);
        let step_ms = state.snapshots.get(&draft.service).map_or(1, |s| s.service.scaling.step_ms);
        let wait_ms = step_ms.saturating_mul(i64::from(self.config.repropose_after_steps));
        if let Some((before, at)) = state.proposed.get(&key)
            && *before == content
            && now.millis_since(*at) < wait_ms
        {
            self.count(|c| c.held_back += 1);
            return None;
        }
        state.proposed.insert(key, (content, now));
        let proposal = Proposal {
            story: state.stories.story(&draft.service),
            origin: Origin::Loop,
            reason: draft.reason.clone(),
            findings: findings.iter().map(|finding| finding.id).collect(),
            actions: draft.actions.clone(),
            expires_in_ms: Some(draft.expires_in_ms),
        };
        Some((proposal, findings))
    }

    /// What the loop sheds it may restore.
    fn proposed(&self, tenant: &Tenant, draft: &ProposalDraft) {
        if draft.aim != Aim::Shed {
            return;
        }
        let mut tenants = lock(&self.tenants);
        let Some(state) = tenants.get_mut(tenant) else { return };
        let Some(watched) = state.services.get_mut(&draft.service) else { return };
        for action in &draft.actions {
            if let Some(feature) = action.params.get("feature").and_then(|f| f.as_str()) {
                watched.watch.asked_to_shed(feature);
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut OpsCounters)) {
        change(&mut lock(&self.counters));
    }
}

#[async_trait]
impl Meter for Ops {
    async fn latest(&self, tenant: &Tenant, service: &ServiceName, metric: &str) -> Option<f64> {
        self.hub.fresh(tenant, service, metric, self.clock.now())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
