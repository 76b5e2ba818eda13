//! What the loop asks of the pilot and the store.

use async_trait::async_trait;
use oag_pilot::{Claim, Fate, Hindsight, Observed, Proposal, Trial};
use oag_types::{Finding, PlanId, Problem, Service, ServiceName, StoryId, Tenant};

use crate::ActivePlan;

/// The pilot and the catalogue as the loop sees them. Implemented where the binary wires.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// The tenants that have services.
    async fn tenants(&self) -> Result<Vec<Tenant>, Problem>;

    /// The catalogue of a tenant.
    async fn services(&self, tenant: &Tenant) -> Result<Vec<Service>, Problem>;

    /// The state of a service as its executor reports it; none when it does not answer.
    async fn observe(&self, tenant: &Tenant, service: &Service) -> Option<Observed>;

    /// The plan in hand for a service, when there is one. A plan that was only recorded (observe
    /// or dry-run rung) counts until it expires, so that it is not proposed again each step.
    async fn active_plan(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
    ) -> Result<Option<ActivePlan>, Problem>;

    /// Records findings under their stories, opening stories that are new.
    async fn record_findings(&self, tenant: &Tenant, findings: Vec<Finding>)
    -> Result<(), Problem>;

    /// Says that a story is over, with a closing line.
    async fn close_story(
        &self,
        tenant: &Tenant,
        story: StoryId,
        note: String,
    ) -> Result<(), Problem>;

    /// Proposes a plan that answers findings recorded before, with what it claims about the time
    /// after it. Claims of actions that are not simply carried out are put on trial.
    async fn propose(
        &self,
        tenant: &Tenant,
        proposal: Proposal,
        findings: Vec<Finding>,
        claims: Vec<Claim>,
    ) -> Result<PlanId, Problem>;

    /// Trials that are not over: all (asked once after a start), or those of one plan.
    async fn trials(&self, tenant: &Tenant, plan: Option<PlanId>) -> Result<Vec<Trial>, Problem>;

    /// What people did with a plan.
    async fn fate(&self, tenant: &Tenant, plan: PlanId) -> Result<Fate, Problem>;

    /// Ends a trial with what looking back on it showed: it goes on the record and counts for the
    /// ladder.
    async fn end_trial(
        &self,
        tenant: &Tenant,
        trial: &Trial,
        hindsight: &Hindsight,
    ) -> Result<(), Problem>;

    /// Features of a service that the loop shed earlier and that are still shed, as far as the
    /// records say: asked once after a start, so that they are restored after a restart too.
    async fn shed_by_loop(&self, _tenant: &Tenant, _service: &ServiceName) -> Vec<String> {
        Vec::new()
    }
}
