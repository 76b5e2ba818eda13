//! The executor port: whatever can observe a service and change it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use oag_types::{Digest, Problem, Receipt, Service, ServiceName, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;

/// The state of a service as its executor reports it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Grows whenever the wanted state changes; plans bind to it.
    pub revision: u64,
    /// Named facts. Every executor reports `replicas` (wanted), `ready_replicas`, `running`
    /// (bool), `version` (text), `restarts` (count of rolling restarts asked for), `breaker`
    /// (`closed`, `open`, `half_open`), `config.KEY` (text) and `feature.NAME` (`on`, `shed`).
    pub fields: BTreeMap<String, Value>,
}

impl Observed {
    /// A fact as a number.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field).and_then(Value::as_f64)
    }

    /// A fact as text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }
}

/// What an executor can be asked to do. Action kinds are lowered to these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Bring the number of replicas to this.
    SetReplicas(u32),
    /// Start (with the replicas it had) or stop (none, remembered).
    SetRunning(bool),
    /// Replace every replica by a fresh one, never fewer ready than allowed. The number is what
    /// `restarts` will be afterwards, which makes the operation repeatable.
    Restart(u64),
    /// Run another version: rolling replacement. The spec's `versions` say how each is run.
    Deploy(String),
    /// Set configuration values (null removes one); rolling replacement.
    Configure(BTreeMap<String, Option<String>>),
    /// Trip (true) or reset (false) the circuit breaker.
    SetBreaker(bool),
    /// Shed (true) or restore (false) a feature.
    Shed {
        /// The feature.
        feature: String,
        /// Whether it is shed.
        shed: bool,
    },
    /// Run a prepared script of the spec; arguments are passed as they are, never through a shell.
    RunScript {
        /// The script's name in the spec.
        script: String,
        /// Arguments.
        args: Vec<String>,
    },
    /// Tell people.
    Notify {
        /// How bad it is: `info`, `warning` or `critical`.
        severity: String,
        /// What to say.
        message: String,
    },
}

/// Why an executor could not do or see something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The request does not fit the service: trying again will not help.
    #[error("{0}")]
    Refused(String),
    /// The executor or its world is away: trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// It was tried and did not work; the world may have changed in part.
    #[error("{0}")]
    Failed(String),
}

/// A line that a replica wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// Which replica.
    pub replica: String,
    /// Whether it came from standard error.
    pub error: bool,
    /// The line, cut at 8 KiB.
    pub text: String,
}

/// Something that happened at a service, told by its executor when it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// The owner.
    pub tenant: Tenant,
    /// The service.
    pub service: ServiceName,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// The circuit breaker went from one state to another, by itself or by hand.
    Breaker {
        /// `closed`, `open` or `half_open`, as the state reports it.
        from: String,
        /// The state it is in since.
        to: String,
        /// The counts, for people.
        snapshot: String,
    },
}

/// By what right an operation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mandate<'a> {
    /// The action's idempotency key.
    pub key: &'a str,
    /// The digest of the sealed plan that was let through.
    pub plan: &'a Digest,
}

/// Observes services and changes them. Only the pilot calls `apply`, and only after the guard.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// The name services use in `executor`.
    fn name(&self) -> &str;

    /// Checks the executor's part of a catalogue entry.
    ///
    /// # Errors
    /// A problem that names the field.
    fn check(&self, service: &Service) -> Result<(), Problem>;

    /// Takes charge of a service, or takes in its changed entry. Called at start for each service
    /// of the catalogue and after each change of it. Replicas of an earlier process are adopted.
    ///
    /// # Errors
    /// When the world cannot be reached.
    async fn adopt(&self, tenant: &Tenant, service: &Service) -> Result<(), ExecError>;

    /// Stops everything of a service and forgets it.
    ///
    /// # Errors
    /// When the world cannot be reached.
    async fn forget(&self, tenant: &Tenant, service: &ServiceName) -> Result<(), ExecError>;

    /// The present state.
    ///
    /// # Errors
    /// When the service is unknown or the world cannot be reached.
    async fn observe(&self, tenant: &Tenant, service: &ServiceName) -> Result<Observed, ExecError>;

    /// Does it. A key that was done before is not done
    /// again, and its receipt says `changed: false`. Returns when the wanted state is set; effects
    /// that take time are seen through `observe`.
    ///
    /// # Errors
    /// Why it was not done, or not wholly.
    async fn apply(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        operation: &Operation,
        mandate: Mandate<'_>,
    ) -> Result<Receipt, ExecError>;

    /// What [`Executor::apply`] would answer at this moment: the same checks of the arguments
    /// against the same state, with nothing changed and no key remembered. Nothing when the
    /// executor cannot tell; then a dry run on it proves nothing.
    ///
    /// # Errors
    /// Why it would not be done.
    async fn rehearse(
        &self,
        _tenant: &Tenant,
        _service: &ServiceName,
        _operation: &Operation,
    ) -> Result<Option<Receipt>, ExecError> {
        Ok(None)
    }

    /// What happens from now on, in order. The channel is bounded: who reads too slowly loses the
    /// oldest, is told how many, and must look at the state again. Nothing when the executor
    /// reports nothing by itself.
    fn happenings(&self) -> Option<broadcast::Receiver<Happening>> {
        None
    }

    /// The last lines of the replicas' output, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the service is unknown.
    async fn logs(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<LogLine>, ExecError>;
}

/// Gives the present value of a service's metric, for verification.
#[async_trait]
pub trait Meter: Send + Sync + 'static {
    /// The latest fresh value (no older than two steps of the service), or nothing.
    async fn latest(&self, tenant: &Tenant, service: &ServiceName, metric: &str) -> Option<f64>;
}
