//! Reading plans, and letting those expire that waited too long.

use oag_guard::{Resource, permissions};
use oag_types::{Origin, PlanId, Problem, ServiceName, Tenant};

use crate::docs::{self, PLANS, PageOf, PageRequest};
use crate::{Caller, Phase, Pilot, PlanRecord, Versioned};

/// Which plans of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanFilter {
    /// Only plans that stand here.
    pub phase: Option<Phase>,
    /// Only plans that act on this service.
    pub service: Option<ServiceName>,
}

impl Pilot {
    /// One plan.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn plan(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: PlanId,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let record = self.find_plan(tenant, id).await?;
        self.may_on_targets(tenant, caller, permissions::PLAN_VIEW, &record.value)
            .await
            .map_err(|_| Problem::not_found("plan", id))?;
        Ok(record)
    }

    /// Plans, newest first, those the caller may see.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn plans(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        filter: PlanFilter,
        page: PageRequest,
    ) -> Result<PageOf<Versioned<PlanRecord>>, Problem> {
        let tag = filter.phase.map(|phase| phase.as_str().to_owned());
        let mut page: PageOf<Versioned<PlanRecord>> =
            docs::page(&*self.store, tenant, PLANS, tag, page, true).await?;
        let book = self.rules(tenant).await?.value;
        page.items.retain(|plan| {
            let wanted = filter.service.as_ref();
            wanted.is_none_or(|service| plan.value.services().contains(service))
                && resources(&plan.value).iter().all(|resource| {
                    caller.require(&book.policies, permissions::PLAN_VIEW, resource).is_ok()
                })
        });
        Ok(page)
    }

    /// The newest plans of the loop (at most 200 looked at) on a service that stand at a phase.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn plans_of_loop(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        phase: Phase,
    ) -> Result<Vec<PlanRecord>, Problem> {
        let request = PageRequest { after: None, limit: 200 };
        let tag = Some(phase.as_str().to_owned());
        let page: PageOf<Versioned<PlanRecord>> =
            docs::page(&*self.store, tenant, PLANS, tag, request, true).await?;
        let plans = page.items.into_iter().map(|plan| plan.value);
        let mine = |plan: &PlanRecord| {
            plan.sealed.plan().origin == Origin::Loop && plan.services().contains(service)
        };
        Ok(plans.filter(mine).collect())
    }

    /// Marks waiting plans as expired whose time is over. Returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn expire_plans(&self, tenant: &Tenant) -> Result<usize, Problem> {
        let now = self.now();
        let mut count = 0;
        for phase in [Phase::Proposed, Phase::AwaitingApproval] {
            let request = PageRequest { after: None, limit: 1_000 };
            let tag = Some(phase.as_str().to_owned());
            let page: PageOf<Versioned<PlanRecord>> =
                docs::page(&*self.store, tenant, PLANS, tag, request, false).await?;
            for plan in page.items {
                if plan.value.sealed.plan().expires_at <= now {
                    self.move_to(tenant, plan, Phase::Expired, None, "it waited too long").await?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    pub(crate) async fn find_plan(
        &self,
        tenant: &Tenant,
        id: PlanId,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        docs::get(&*self.store, tenant, PLANS, &id.to_string())
            .await?
            .ok_or_else(|| Problem::not_found("plan", id))
    }

    pub(crate) async fn may_on_targets(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        permission: &str,
        record: &PlanRecord,
    ) -> Result<(), Problem> {
        let book = self.rules(tenant).await?.value;
        for resource in resources(record) {
            caller.require(&book.policies, permission, &resource)?;
        }
        Ok(())
    }
}

fn resources(record: &PlanRecord) -> Vec<Resource> {
    let targets = record.sealed.plan().actions.iter().map(|action| &action.spec.target);
    targets.map(|t| Resource::service(t.service.clone(), t.group.clone())).collect()
}
