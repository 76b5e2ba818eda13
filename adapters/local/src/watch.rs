//! The `watch` executor: services that run elsewhere and are only watched. Their state is what
//! their entry says; everything that would change them is refused, so that plans for them stay
//! proposals that a person carries out by hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use oag_pilot::{ExecError, Executor, LogLine, Mandate, Observed, Operation};
use oag_types::{Problem, Receipt, Service, ServiceName, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};

/// What an entry says of a service that is only watched.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WatchSpec {
    /// Replicas it has now; keep it current, decisions rest on it.
    replicas: u32,
    /// The version it runs.
    version: String,
}

impl Default for WatchSpec {
    fn default() -> Self {
        Self { replicas: 1, version: String::new() }
    }
}

/// Watches, never acts.
#[derive(Debug, Default)]
pub struct WatchExecutor {
    known: Mutex<HashMap<(Tenant, ServiceName), (u64, WatchSpec)>>,
}

impl WatchExecutor {
    /// Knowing no service yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn of(&self, tenant: &Tenant, service: &ServiceName) -> Result<(u64, WatchSpec), ExecError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&(tenant.clone(), service.clone())).cloned();
        found.ok_or_else(|| ExecError::Refused(format!("{service} is not watched here")))
    }
}

fn read(service: &Service) -> Result<WatchSpec, Problem> {
    let spec = if service.spec.is_null() { json!({}) } else { service.spec.clone() };
    serde_json::from_value(spec).map_err(|error| {
        let text = format!("a watched service has 'replicas' and 'version' only: {error}");
        Problem::field("spec", text)
    })
}

#[async_trait]
impl Executor for WatchExecutor {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn check(&self, service: &Service) -> Result<(), Problem> {
        read(service).map(|_| ())
    }

    async fn adopt(&self, tenant: &Tenant, service: &Service) -> Result<(), ExecError> {
        let spec = read(service).map_err(|problem| ExecError::Refused(problem.detail))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), service.name.clone());
        let entry = known.entry(key).or_insert_with(|| (1, spec.clone()));
        if entry.1 != spec {
            *entry = (entry.0 + 1, spec);
        }
        Ok(())
    }

    async fn forget(&self, tenant: &Tenant, service: &ServiceName) -> Result<(), ExecError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(tenant.clone(), service.clone()));
        Ok(())
    }

    async fn observe(&self, tenant: &Tenant, service: &ServiceName) -> Result<Observed, ExecError> {
        let (revision, spec) = self.of(tenant, service)?;
        let fields: BTreeMap<String, Value> = [
            ("replicas", json!(spec.replicas)),
            ("ready_replicas", json!(spec.replicas)),
            ("running", json!(spec.replicas > 0)),
            ("version", json!(spec.version)),
            ("restarts", json!(0)),
            ("watched_only", json!(true)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        Ok(Observed { revision, fields })
    }

    async fn apply(
        &self,
        _: &Tenant,
        service: &ServiceName,
        _: &Operation,
        _: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        Err(ExecError::Refused(format!(
            "{service} is only watched: carry this out where it runs, then say so in its entry"
        )))
    }

    async fn logs(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        _: usize,
    ) -> Result<Vec<LogLine>, ExecError> {
        self.of(tenant, service).map(|_| Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use oag_types::Digest;

    use super::*;

    fn service(spec: Value) -> Service {
        let entry = json!({"name": "pay", "group": "g", "executor": "watch", "spec": spec});
        serde_json::from_value(entry).unwrap()
    }

    #[tokio::test]
    async fn what_is_watched_is_seen_and_never_changed() {
        let (executor, tenant) = (WatchExecutor::new(), Tenant::default_tenant());
        let entry = service(json!({"replicas": 4}));
        executor.adopt(&tenant, &entry).await.unwrap();
        let seen = executor.observe(&tenant, &entry.name).await.unwrap();
        assert_eq!(seen.number("ready_replicas"), Some(4.0));
        executor.adopt(&tenant, &service(json!({"replicas": 6}))).await.unwrap();
        let later = executor.observe(&tenant, &entry.name).await.unwrap();
        assert!(later.revision > seen.revision);
        let mandate = Mandate { key: "k", plan: &Digest::of(b"plan") };
        let refused =
            executor.apply(&tenant, &entry.name, &Operation::SetReplicas(9), mandate).await;
        assert!(matches!(refused, Err(ExecError::Refused(text)) if text.contains("only watched")));
    }

    #[test]
    fn an_entry_with_more_is_refused() {
        let problem = WatchExecutor::new().check(&service(json!({"command": ["x"]}))).unwrap_err();
        assert!(problem.detail.contains("replicas"), "{problem}");
    }
}
