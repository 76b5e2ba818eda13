//! The catalogue of services.

use oag_guard::{Resource, permissions};
use oag_types::{Code, Problem, Service, ServiceName, Tenant};
use serde_json::json;

use crate::docs::{self, BREAKERS, SERVICES, to_json};
use crate::pilot::revision_mismatch;
use crate::{Caller, ExecError, LogLine, Observed, Pilot, Versioned};

/// Most services of a tenant.
const SERVICES_MAX: usize = 5_000;

impl Pilot {
    /// The services the caller may see.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn services(
        &self,
        tenant: &Tenant,
        caller: &Caller,
    ) -> Result<Vec<Versioned<Service>>, Problem> {
        let policies = &self.rules(tenant).await?.value.policies.clone();
        let mut services = self.all_services(tenant).await?;
        services.retain(|s| {
            caller.require(policies, permissions::SERVICE_VIEW, &resource(&s.value)).is_ok()
        });
        Ok(services)
    }

    /// One service.
    ///
    /// # Errors
    /// `NOT_FOUND`, also when the caller may not see it.
    pub async fn service(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        name: &ServiceName,
    ) -> Result<Versioned<Service>, Problem> {
        let service = self.find_service(tenant, name).await?;
        self.require(tenant, caller, permissions::SERVICE_VIEW, &resource(&service.value))
            .await
            .map_err(|_| Problem::not_found("service", name))?;
        Ok(service)
    }

    /// Puts a service into the catalogue or changes its entry, and has its executor take charge.
    ///
    /// # Errors
    /// `FORBIDDEN`, a field that is wrong, another revision, or an executor that is away.
    pub async fn put_service(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        service: Service,
        expected: Option<u64>,
    ) -> Result<Versioned<Service>, Problem> {
        self.require(tenant, caller, permissions::SERVICE_CREATE, &resource(&service)).await?;
        check(&service)?;
        let executor = self.executor(&service.executor)?;
        executor.check(&service)?;
        let id = service.name.to_string();
        let before = docs::get::<Service>(&*self.store, tenant, SERVICES, &id).await?;
        let condition = match &before {
            Some(before) => {
                // Moving a service out of a group takes the right over that group as well.
                let old = resource(&before.value);
                self.require(tenant, caller, permissions::SERVICE_CREATE, &old).await?;
                if let Some(wanted) = expected.filter(|wanted| *wanted != before.revision) {
                    return Err(revision_mismatch("the service", wanted, before.revision));
                }
                docs::unchanged(SERVICES, &id, before.revision)
            }
            None if expected.is_some() => return Err(Problem::not_found("service", &service.name)),
            None => {
                if self.all_services(tenant).await?.len() >= SERVICES_MAX {
                    let text = format!("the catalogue holds {SERVICES_MAX} services already");
                    return Err(Problem::new(Code::CONFLICT, text));
                }
                docs::absent(SERVICES, &id)
            }
        };
        let payload = json!({
            "by": caller.principal.id, "before": before.map(|b| b.value), "after": service,
        });
        let batch = self
            .batch()
            .expect(condition)
            .put(SERVICES, id.clone(), to_json(&service)?, service.group.as_str())
            .ledger("service", format!("service:{id}"), payload.to_string());
        let revision = self.save(tenant, batch).await?.revision;
        executor.adopt(tenant, &service).await.map_err(exec_problem)?;
        Ok(Versioned { value: service, revision })
    }

    /// Takes a service out of the catalogue; its executor stops what runs.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, another revision, a plan at work on it.
    pub async fn delete_service(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        name: &ServiceName,
        expected: Option<u64>,
    ) -> Result<(), Problem> {
        let found = self.find_service(tenant, name).await?;
        let service = &found.value;
        self.require(tenant, caller, permissions::SERVICE_DELETE, &resource(service)).await?;
        if let Some(wanted) = expected.filter(|wanted| *wanted != found.revision) {
            return Err(revision_mismatch("the service", wanted, found.revision));
        }
        if let Some(busy) = self.lock_busy().get(&(tenant.clone(), name.clone())) {
            let text = format!("{} is at work on {name}: wait or cancel it", busy.plan);
            return Err(Problem::new(Code::CONFLICT, text));
        }
        let payload = json!({"by": caller.principal.id, "deleted": service});
        let batch = self
            .batch()
            .expect(docs::unchanged(SERVICES, name.as_str(), found.revision))
            .delete(SERVICES, name.as_str())
            .delete(BREAKERS, name.as_str())
            .ledger("service", format!("service:{name}"), payload.to_string());
        self.save(tenant, batch).await?;
        self.executor(&service.executor)?.forget(tenant, name).await.map_err(exec_problem)
    }

    /// The present state of a service, as its executor reports it.
    ///
    /// # Errors
    /// `NOT_FOUND`, or an executor that is away.
    pub async fn observe(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        name: &ServiceName,
    ) -> Result<Observed, Problem> {
        let service = self.service(tenant, caller, name).await?;
        self.state_of(tenant, &service.value).await
    }

    /// The last lines of a service's output. Viewing logs is a permission of its own.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, or an executor that is away.
    pub async fn logs(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        name: &ServiceName,
        limit: usize,
    ) -> Result<Vec<LogLine>, Problem> {
        let service = self.service(tenant, caller, name).await?.value;
        self.require(tenant, caller, permissions::LOG_VIEW, &resource(&service)).await?;
        let limit = limit.clamp(1, 5_000);
        self.executor(&service.executor)?.logs(tenant, name, limit).await.map_err(exec_problem)
    }

    /// Hands every service of the catalogue to its executor; called once at start.
    ///
    /// # Errors
    /// When the store does not answer. Executors that are away are logged.
    pub async fn adopt_all(&self, tenant: &Tenant) -> Result<usize, Problem> {
        let services = self.all_services(tenant).await?;
        for service in &services {
            let service = &service.value;
            let adopted = match self.executor(&service.executor) {
                Ok(executor) => executor.adopt(tenant, service).await.map_err(exec_problem),
                Err(problem) => Err(problem),
            };
            if let Err(error) = adopted {
                tracing::error!(service = %service.name, %error, "service not adopted");
            }
        }
        Ok(services.len())
    }

    /// Every service, for the loop itself.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn all_services(&self, tenant: &Tenant) -> Result<Vec<Versioned<Service>>, Problem> {
        docs::all(&*self.store, tenant, SERVICES).await
    }

    /// The state of a service, for the loop itself.
    ///
    /// # Errors
    /// When its executor is away.
    pub async fn state_of(&self, tenant: &Tenant, service: &Service) -> Result<Observed, Problem> {
        self.executor(&service.executor)?.observe(tenant, &service.name).await.map_err(exec_problem)
    }

    pub(crate) async fn find_service(
        &self,
        tenant: &Tenant,
        name: &ServiceName,
    ) -> Result<Versioned<Service>, Problem> {
        let found = docs::get(&*self.store, tenant, SERVICES, name.as_str()).await;
        found?.ok_or_else(|| Problem::not_found("service", name))
    }
}

/// A service as policies see it.
pub(crate) fn resource(service: &Service) -> Resource {
    Resource::service(service.name.clone(), service.group.clone())
}

pub(crate) fn exec_problem(error: ExecError) -> Problem {
    match error {
        ExecError::Refused(text) => Problem::new(Code::CONFLICT, text),
        ExecError::Unavailable(text) => {
            Problem::new(Code::EXECUTOR_UNAVAILABLE, text).retry_after(5)
        }
        ExecError::Failed(text) => Problem::new(Code::EXECUTOR_UNAVAILABLE, text),
    }
}

fn check(service: &Service) -> Result<(), Problem> {
    let scaling = &service.scaling;
    let field = |name: &str, text: &str| Err(Problem::field(format!("scaling.{name}"), text));
    if scaling.min_replicas > scaling.max_replicas {
        return field("min_replicas", "is above max_replicas");
    }
    if scaling.max_replicas > 10_000 {
        return field("max_replicas", "is above 10,000");
    }
    if !(250..=3_600_000).contains(&scaling.step_ms) {
        return field("step_ms", "must be 250 to 3,600,000 milliseconds");
    }
    if !(scaling.threshold > 0.0 && scaling.threshold <= 1.0) {
        return field("threshold", "must be above 0 and at most 1");
    }
    if !(scaling.reactive_target > 0.0 && scaling.reactive_target <= 1.0) {
        return field("reactive_target", "must be above 0 and at most 1");
    }
    if scaling.capacity_per_replica.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
        return field("capacity_per_replica", "must be above 0 requests per second");
    }
    if scaling.down_max == 0 {
        return field("down_max", "must be at least 1");
    }
    let calls = service
        .depends_on
        .iter()
        .find(|d| !(d.calls_per_request >= 0.0 && d.calls_per_request.is_finite()));
    if let Some(dependency) = calls {
        let text = format!("calls_per_request of {} must be 0 or more", dependency.service);
        return Err(Problem::field("depends_on", text));
    }
    let mut names: Vec<_> = service.features.iter().map(|f| f.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) || names.iter().any(|n| n.is_empty()) {
        return Err(Problem::field("features", "names must be unique and not empty"));
    }
    if service.features.iter().any(|f| !f.path_prefix.starts_with('/')) {
        return Err(Problem::field("features", "path_prefix must start with '/'"));
    }
    Ok(())
}
