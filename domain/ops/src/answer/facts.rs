//! What an answer rests on, and the port it comes through.

use std::collections::BTreeMap;

use async_trait::async_trait;
use oag_guard::KillSwitch;
use oag_pilot::{Observed, PlanRecord, Story};
use oag_types::{
    Finding, Permission, PrincipalId, Problem, Service, ServiceName, Tenant, Timestamp,
};

/// Who asks, with what their credential is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The owner of what is asked about.
    pub tenant: Tenant,
    /// Who.
    pub user: PrincipalId,
    /// What the credential is narrowed to; empty: to nothing.
    pub scopes: Vec<Permission>,
}

/// What the asker may see, read at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// When it was read.
    pub at: Timestamp,
    /// Services of the catalogue.
    pub services: Vec<Service>,
    /// Present states, of services that were asked for and whose executor answered.
    pub states: BTreeMap<ServiceName, Observed>,
    /// Stories and findings; none when the asker may not see findings.
    pub found: Option<Found>,
    /// Plans, newest first, each once.
    pub plans: Vec<PlanRecord>,
    /// Whether there are older plans, which were not read.
    pub older_plans: bool,
    /// The kill switch; none when the asker may not see the guard's rules.
    pub kill_switch: Option<KillSwitch>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Stories, newest first.
    pub stories: Vec<Story>,
    /// Findings, newest first.
    pub findings: Vec<Finding>,
    /// Whether there are older stories or findings, which were not read.
    pub older: bool,
}

/// The product's records, as far as somebody may see them. Implemented where the binary wires;
/// how much is read at once is bounded there.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// Everything but states. None when the asker is not known, or disabled.
    async fn facts(&self, asker: &Asker) -> Result<Option<Facts>, Problem>;

    /// The present state of a service; none when the asker may not see it or its executor does
    /// not answer.
    async fn state(&self, asker: &Asker, service: &ServiceName) -> Option<Observed>;
}
