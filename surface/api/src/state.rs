//! What the handlers share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use oag_cluster::{Cluster, Gate, KeptStore};
use oag_ops::{Ops, SignalHub};
use oag_pilot::Pilot;
use oag_runtime::{Clock, IdSource, Metrics, ProcessStats, Supervisor};
use oag_serve::Engines;
use tokio::sync::Semaphore;

use crate::auth::{Known, Throttle, Tokens};
use crate::config::{ApiConfig, ApiError};
use crate::metrics::{HttpMetrics, register_process};
use crate::probe::{Probe, Startup};

/// Gives the figures of this process when it is asked.
pub type ProcessFigures = Arc<dyn Fn() -> ProcessStats + Send + Sync>;

/// What the API is made of.
pub struct ApiParts {
    /// Plans, rules, directory and ledger.
    pub pilot: Arc<Pilot>,
    /// Signals.
    pub hub: Arc<SignalHub>,
    /// The running loop, for what it knows of services; none where it does not run.
    pub ops: Option<Arc<Ops>>,
    /// What answers when a model is asked.
    pub engines: Arc<Engines>,
    /// The fleet of model workers; none where this process has none.
    pub fleet: Option<Cluster>,
    /// Keeps answers; none where there is no fleet.
    pub kept: Option<KeptStore>,
    /// Lets nodes of other machines in; none where there is no port for them.
    pub gate: Option<Arc<dyn Gate>>,
    /// Where metrics are registered and shown from.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of requests.
    pub ids: Arc<dyn IdSource>,
    /// Runs what outlives a request.
    pub supervisor: Supervisor,
    /// What the probes ask beside the store.
    pub probes: Vec<Arc<dyn Probe>>,
    /// Figures of this process for `/metrics`.
    pub process: Option<ProcessFigures>,
    /// Settings.
    pub config: ApiConfig,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) pilot: Arc<Pilot>,
    pub(crate) hub: Arc<SignalHub>,
    pub(crate) ops: Option<Arc<Ops>>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) fleet: Option<Cluster>,
    pub(crate) kept: Option<KeptStore>,
    pub(crate) gate: Option<Arc<dyn Gate>>,
    pub(crate) metrics: Metrics,
    pub(crate) http_metrics: HttpMetrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) supervisor: Supervisor,
    pub(crate) probes: Vec<Arc<dyn Probe>>,
    pub(crate) startup: Startup,
    pub(crate) config: ApiConfig,
    pub(crate) throttle: Throttle,
    pub(crate) tokens: Tokens,
    pub(crate) known: Arc<Known>,
    pub(crate) watchers: Arc<Semaphore>,
    pub(crate) openapi: String,
}

impl Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Api {
    pub(crate) fn new(parts: ApiParts, openapi: String) -> Result<Self, ApiError> {
        parts.config.validate()?;
        let tokens = Tokens::load(&parts.config.jwt)?;
        if let Some(process) = parts.process {
            register_process(&parts.metrics, process);
        }
        tokens.register(&parts.metrics);
        let remembered = Duration::from_millis(parts.config.auth_cache_ms);
        let known = Arc::new(Known::new(remembered, parts.config.auth_cache_max));
        known.register(&parts.metrics);
        let watchers = Arc::new(Semaphore::new(parts.config.watchers_max));
        let http_metrics = HttpMetrics::register(&parts.metrics, &watchers, &parts.config);
        Ok(Self(Arc::new(Inner {
            pilot: parts.pilot,
            hub: parts.hub,
            ops: parts.ops,
            engines: parts.engines,
            fleet: parts.fleet,
            kept: parts.kept,
            gate: parts.gate,
            metrics: parts.metrics,
            http_metrics,
            clock: parts.clock,
            ids: parts.ids,
            supervisor: parts.supervisor,
            probes: parts.probes,
            startup: Startup::default(),
            throttle: Throttle::new(parts.config.auth_failures_per_minute.max(1)),
            tokens,
            known,
            watchers,
            openapi,
            config: parts.config,
        })))
    }
}
