//! Where ports meet what implements them, when neither side may know the other.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use oag_cluster::Reports;
use oag_cluster::protocol::Reading;
use oag_ops::{ActivePlan, Asker, Desk, Facts, Found, Records, SignalHub};
use oag_pilot::{
    Caller, CheckpointSink, Claim, CrashPoints, Fate, Hindsight, InHand, Meter, Observed, PageOf,
    PageRequest, Phase, Pilot, PlanFilter, PlanRecord, Proposal, Trial, Versioned,
};
use oag_runtime::Clock;
use oag_types::{
    ErrorKind, Finding, NodeName, PlanId, Problem, Sample, SeriesKey, Service, ServiceName, Signal,
    StoryId, Tenant,
};
use serde_json::json;

/// The pilot as the loop sees it.
pub(crate) struct LoopDesk {
    pub(crate) pilot: Arc<Pilot>,
    pub(crate) tenant: Tenant,
}

#[async_trait]
impl Desk for LoopDesk {
    async fn tenants(&self) -> Result<Vec<Tenant>, Problem> {
        Ok(vec![self.tenant.clone()])
    }

    async fn services(&self, tenant: &Tenant) -> Result<Vec<Service>, Problem> {
        let services = self.pilot.all_services(tenant).await?;
        Ok(services.into_iter().map(|service| service.value).collect())
    }

    async fn observe(&self, tenant: &Tenant, service: &Service) -> Option<Observed> {
        self.pilot.state_of(tenant, service).await.ok()
    }

    async fn active_plan(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
    ) -> Result<Option<ActivePlan>, Problem> {
        let active = self.pilot.active_plan(tenant, service).await?;
        Ok(active.map(|(InHand { plan, replicas, .. }, verifying)| ActivePlan {
            plan,
            verifying,
            replicas,
        }))
    }

    async fn record_findings(
        &self,
        tenant: &Tenant,
        findings: Vec<Finding>,
    ) -> Result<(), Problem> {
        self.pilot.record_findings(tenant, findings).await
    }

    async fn close_story(&self, tenant: &Tenant, story: StoryId, _: String) -> Result<(), Problem> {
        self.pilot.close_story(tenant, story).await
    }

    async fn propose(
        &self,
        tenant: &Tenant,
        proposal: Proposal,
        _findings: Vec<Finding>,
        claims: Vec<Claim>,
    ) -> Result<PlanId, Problem> {
        let looping = Caller::of(self.pilot.loop_account(tenant).await?);
        let plan = self.pilot.propose_on_trial(tenant, &looping, proposal, claims).await?.value;
        if plan.phase == Phase::Denied {
            tracing::info!(plan = %plan.id(), "the guard refused a plan of the loop");
        }
        Ok(plan.id())
    }

    async fn trials(&self, tenant: &Tenant, plan: Option<PlanId>) -> Result<Vec<Trial>, Problem> {
        self.pilot.trials(tenant, plan).await
    }

    async fn fate(&self, tenant: &Tenant, plan: PlanId) -> Result<Fate, Problem> {
        self.pilot.fate(tenant, plan).await
    }

    async fn end_trial(
        &self,
        tenant: &Tenant,
        trial: &Trial,
        hindsight: &Hindsight,
    ) -> Result<(), Problem> {
        self.pilot.end_trial(tenant, trial, hindsight).await.map(|_| ())
    }

    /// Read off the loop's own plans: the newest word on a feature counts.
    async fn shed_by_loop(&self, tenant: &Tenant, service: &ServiceName) -> Vec<String> {
        let mut words: HashMap<String, bool> = HashMap::new();
        let plans = self.pilot.plans_of_loop(tenant, service, Phase::Succeeded).await;
        for plan in plans.unwrap_or_default() {
            for action in &plan.sealed.plan().actions {
                let feature = action.spec.params.get("feature").and_then(|f| f.as_str());
                let shed = match action.spec.kind.as_str() {
                    "shed" => true,
                    "restore" => false,
                    _ => continue,
                };
                if let Some(feature) = feature.filter(|_| action.spec.target.service == *service) {
                    words.entry(feature.to_owned()).or_insert(shed);
                }
            }
        }
        words.into_iter().filter_map(|(feature, shed)| shed.then_some(feature)).collect()
    }
}

/// Plans, stories and findings of one kind that are read for one answer at most.
const READ_MAX: usize = 200;
/// Plans of one phase that are read besides, however old they are.
const OLD_MAX: usize = 50;

/// The pilot's records as those may see them who ask.
pub(crate) struct PilotRecords {
    pub(crate) pilot: Arc<Pilot>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Records for PilotRecords {
    async fn facts(&self, asker: &Asker) -> Result<Option<Facts>, Problem> {
        let tenant = &asker.tenant;
        let Some(caller) = self.caller(asker).await? else { return Ok(None) };
        let services = self.pilot.services(tenant, &caller).await?;
        let (plans, older_plans) = self.plans(tenant, &caller).await?;
        let book = may_see(self.pilot.book(tenant, &caller).await)?;
        Ok(Some(Facts {
            at: self.clock.now(),
            services: services.into_iter().map(|service| service.value).collect(),
            states: BTreeMap::new(),
            found: self.found(tenant, &caller).await?,
            plans,
            older_plans,
            kill_switch: book.map(|book| book.value.kill_switch),
        }))
    }

    async fn state(&self, asker: &Asker, service: &ServiceName) -> Option<Observed> {
        let caller = self.caller(asker).await.ok().flatten()?;
        self.pilot.observe(&asker.tenant, &caller, service).await.ok()
    }
}

impl PilotRecords {
    /// Who asks, bound as their credential is; none when nobody is known under the id.
    async fn caller(&self, asker: &Asker) -> Result<Option<Caller>, Problem> {
        match self.pilot.caller_of(&asker.tenant, asker.user).await {
            Ok(caller) => Ok(Some(Caller { scopes: asker.scopes.clone(), ..caller })),
            Err(problem) if problem.kind() == ErrorKind::Unauthenticated => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// The newest plans, and whatever still waits for somebody; whether there are more.
    async fn plans(
        &self,
        tenant: &Tenant,
        caller: &Caller,
    ) -> Result<(Vec<PlanRecord>, bool), Problem> {
        let phases =
            [Phase::AwaitingApproval, Phase::OutcomeUnknown, Phase::Queued, Phase::Running];
        let lists = iter::once((None, READ_MAX));
        let lists = lists.chain(phases.map(|phase| (Some(phase), OLD_MAX)));
        let mut plans = BTreeMap::new();
        let mut more = false;
        for (phase, limit) in lists {
            let filter = PlanFilter { phase, service: None };
            let page = self.pilot.plans(tenant, caller, filter, newest(limit)).await?;
            more |= page.next.is_some();
            plans.extend(page.items.into_iter().map(|plan| (plan.value.id(), plan.value)));
        }
        Ok((plans.into_values().rev().collect(), more))
    }

    async fn found(&self, tenant: &Tenant, caller: &Caller) -> Result<Option<Found>, Problem> {
        let stories = self.pilot.stories(tenant, caller, newest(READ_MAX)).await;
        let Some(stories) = may_see(stories)? else { return Ok(None) };
        let findings = self.pilot.findings(tenant, caller, newest(READ_MAX)).await;
        let Some(findings) = may_see(findings)? else { return Ok(None) };
        let older = stories.next.is_some() || findings.next.is_some();
        let (stories, findings) = (values(stories), values(findings));
        Ok(Some(Found { stories, findings, older }))
    }
}

/// The first page of a list.
const fn newest(limit: usize) -> PageRequest {
    PageRequest { after: None, limit }
}

fn values<T>(page: PageOf<Versioned<T>>) -> Vec<T> {
    page.items.into_iter().map(|item| item.value).collect()
}

/// What was read; none when it is not for the caller to see.
fn may_see<T>(read: Result<T, Problem>) -> Result<Option<T>, Problem> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(problem) if problem.kind() == ErrorKind::Denied => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Present values for verification, from the signals in memory.
pub(crate) struct HubMeter {
    pub(crate) hub: Arc<SignalHub>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Meter for HubMeter {
    async fn latest(&self, tenant: &Tenant, service: &ServiceName, metric: &str) -> Option<f64> {
        self.hub.fresh(tenant, service, metric, self.clock.now())
    }
}

/// What nodes measured, as signals: each series has the label `node`, and `service` where the node
/// named one.
pub(crate) struct HubReports {
    pub(crate) hub: Arc<SignalHub>,
    pub(crate) tenant: Tenant,
    /// Whether nodes may speak for services, whose decisions rest on such samples.
    pub(crate) of_services: bool,
}

impl Reports for HubReports {
    fn take(&self, node: &NodeName, mut samples: Vec<Reading>) {
        if !self.of_services {
            let before = samples.len();
            samples.retain(|reading| {
                reading.service.is_none() && !reading.labels.contains_key("service")
            });
            let refused = before - samples.len();
            if refused > 0 {
                let setting = "nodes.report_services";
                tracing::warn!(
                    node = node.as_str(),
                    refused,
                    setting,
                    "samples of services refused"
                );
            }
        }
        let signal = |reading: Reading| {
            let Reading { service, metric, value, at, labels } = reading;
            let mut key = SeriesKey { name: metric, labels }.with("node", node.as_str());
            if let Some(service) = service {
                key = key.with("service", service.as_str());
            }
            Signal { key, sample: Sample { at, value } }
        };
        let signals: Vec<Signal> = samples.into_iter().map(signal).collect();
        let report = self.hub.ingest(&self.tenant, &signals);
        if let Some((at, problem)) = report.rejected.first() {
            let refused = report.rejected.len();
            tracing::warn!(node = node.as_str(), refused, at, %problem, "samples of a node refused");
        }
    }
}

/// Where an installation's checkpoints are kept in a directory.
pub(crate) fn checkpoint_folder(dir: &Path, installation: &str) -> PathBuf {
    dir.join(installation.replace('/', "-"))
}

/// Appends signed checkpoints to a file outside the data directory, one line of JSON each.
pub(crate) struct CheckpointFiles {
    folder: PathBuf,
}

impl CheckpointFiles {
    /// Makes the folder.
    pub(crate) fn new(dir: &Path, installation: &str) -> std::io::Result<Self> {
        let folder = checkpoint_folder(dir, installation);
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    fn append(&self, tenant: &Tenant, size: u64, note: &str) -> std::io::Result<()> {
        let path = self.folder.join(format!("{tenant}.checkpoints"));
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", json!({"size": size, "note": note}))?;
        file.sync_data()
    }
}

impl CheckpointSink for CheckpointFiles {
    fn keep(&self, tenant: &Tenant, size: u64, note: &str) {
        if let Err(error) = self.append(tenant, size, note) {
            tracing::error!(%error, folder = %self.folder.display(), "checkpoint not exported");
        }
    }
}

/// Stands still at a named point, after saying so in a file, until it is killed: for tests that
/// end the process between two steps of an action. Only in builds with debug assertions.
pub(crate) struct StandAt {
    point: String,
    marker: PathBuf,
}

impl StandAt {
    /// From `OPENAUTOGLM_CRASH_POINT=POINT`, with the marker in the data directory.
    pub(crate) fn from_environment(data: &Path) -> Option<Self> {
        if !cfg!(debug_assertions) {
            return None;
        }
        let point = std::env::var("OPENAUTOGLM_CRASH_POINT").ok()?;
        Some(Self { point, marker: data.join("crash-point") })
    }
}

impl CrashPoints for StandAt {
    fn reached(&self, point: &'static str) {
        if point == self.point && fs::write(&self.marker, point).is_ok() {
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use oag_ops::HubConfig;
    use oag_runtime::SystemClock;
    use oag_types::Labels;

    use super::*;

    #[test]
    fn a_node_speaks_for_services_only_where_that_is_allowed() {
        let clock = SystemClock::shared();
        let node = NodeName::try_from("far".to_owned()).unwrap();
        let shop = ServiceName::try_from("shop".to_owned()).unwrap();
        let of = |service: Option<&ServiceName>, metric: &str, labels: Labels| Reading {
            service: service.cloned(),
            metric: metric.to_owned(),
            value: 4.0,
            at: clock.now(),
            labels,
        };
        let by_label: Labels = [("service".to_owned(), "shop".to_owned())].into();
        let samples = vec![
            of(None, "host_cpu_usage", Labels::new()),
            of(Some(&shop), "request_rate", Labels::new()),
            of(None, "error_rate", by_label),
        ];
        for (of_services, accepted) in [(false, 1), (true, 3)] {
            let hub = Arc::new(SignalHub::new(HubConfig::default(), Arc::clone(&clock), None));
            let tenant = Tenant::default_tenant();
            let reports = HubReports { hub: Arc::clone(&hub), tenant, of_services };
            reports.take(&node, samples.clone());
            assert_eq!(hub.counters().accepted, accepted, "{of_services}");
        }
    }
}
