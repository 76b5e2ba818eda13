//! The worker's side: it always dials out, so that it works behind any router.

mod leases;
mod remembered;
mod reports;
mod session;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::sink::Sink;
use futures::stream::BoxStream;
use oag_runtime::{IdSource, Supervisor};
use oag_serve::Engines;
use oag_types::{GenerationId, NodeName};

use crate::orders::Obey;
use crate::protocol::{FromNode, HEARTBEAT_MS, Hello, Load, NodeRole, Offer, Reading, ToNode};
use leases::Leases;
use remembered::Remembered;
use reports::Unreported;
pub use reports::{KeptReport, KeptReports, ReportFigures, Spool};

/// Numbers of runs that every reader of JSON keeps as they are.
const RUN_MAX: u64 = (1 << 53) - 1;

/// Frames to and from a controller.
pub struct Wire {
    /// What the controller says; its end or an error is the end of the connection.
    pub said: BoxStream<'static, Result<ToNode, String>>,
    /// What it is told.
    pub told: std::pin::Pin<Box<dyn Sink<FromNode, Error = String> + Send>>,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// It may be there later.
    #[error("the controller cannot be reached: {0}")]
    Away(String),
    /// It does not let this node in, and will not.
    #[error("the controller refuses this node: {0}")]
    Refused(String),
}

/// Opens connections to the controller.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Connects and says hello.
    ///
    /// # Errors
    /// When there is no connection.
    async fn dial(&self, hello: Hello) -> Result<Wire, DialError>;
}

/// How a node presents itself and how patient it is.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfig {
    /// Its name.
    pub node: NodeName,
    /// What it is for.
    pub role: NodeRole,
    /// The groups it belongs to.
    pub groups: Vec<String>,
    /// What it can do besides its models.
    pub capabilities: Vec<String>,
    /// Where it can be reached, for people.
    pub endpoint: Option<String>,
    /// The version of the program.
    pub version: String,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Heartbeats without an answer after which the connection counts as broken.
    pub misses_max: u32,
    /// First and longest pause between two attempts to connect.
    pub reconnect: (Duration, Duration),
    /// Pieces of work it keeps at once, finished ones that were not taken yet included.
    pub leases_max: usize,
    /// Bytes of reports it keeps until the controller has them; then the oldest go.
    pub report_bytes_max: usize,
}

impl AgentConfig {
    /// A worker of a name, with the defaults.
    #[must_use]
    pub fn new(node: NodeName) -> Self {
        Self {
            node,
            role: NodeRole::Worker,
            groups: Vec::new(),
            capabilities: Vec::new(),
            endpoint: None,
            version: String::new(),
            heartbeat: Duration::from_millis(HEARTBEAT_MS),
            misses_max: 3,
            // Longer than this and a controller that was started anew would not wait for it.
            reconnect: (Duration::from_millis(100), Duration::from_secs(5)),
            leases_max: 4_096,
            report_bytes_max: 1_048_576,
        }
    }
}

/// What an agent is made of.
pub struct AgentParts {
    /// How it presents itself.
    pub config: AgentConfig,
    /// What runs its models.
    pub engines: Arc<Engines>,
    /// What it offers now; asked at each hello and after each change.
    pub offers: Arc<dyn Fn() -> Vec<Offer> + Send + Sync>,
    /// How loaded it is now; asked at each heartbeat.
    pub load: Arc<dyn Fn() -> Load + Send + Sync>,
    /// What does what signed orders say; none: this node takes none.
    pub obey: Option<Arc<dyn Obey>>,
    /// The way to the controller.
    pub dial: Arc<dyn Dial>,
    /// Runs its work.
    pub supervisor: Supervisor,
    /// Makes pauses differ between nodes.
    pub ids: Arc<dyn IdSource>,
}

/// How an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to, and finished its work.
    Drained,
    /// The controller does not want it.
    Refused(String),
}

/// The agent of a node.
pub struct Agent {
    parts: AgentParts,
    leases: Arc<Leases>,
    unreported: Unreported,
    remembered: Arc<Remembered>,
    connected: Mutex<bool>,
}

impl Agent {
    /// Not connected yet.
    #[must_use]
    pub fn new(parts: AgentParts) -> Self {
        let leases = Arc::new(Leases::new(parts.config.leases_max));
        let drawn = parts.ids.next::<GenerationId>().uuid().as_u64_pair();
        let run = (drawn.0 ^ drawn.1) & RUN_MAX;
        let unreported = Unreported::new(run, parts.config.report_bytes_max);
        let remembered = Arc::default();
        Self { parts, leases, unreported, remembered, connected: Mutex::new(false) }
    }

    /// The same, with something that keeps its reports over the end of the process, and what that
    /// has kept.
    #[must_use]
    pub fn with_spool(self, spool: Box<dyn Spool>, kept: KeptReports) -> Self {
        self.unreported.restore(spool, kept);
        self
    }

    /// Tells the controller what was measured, now or when it is there again. Values that are not
    /// finite are no samples.
    pub fn report(&self, samples: Vec<Reading>) {
        self.unreported.add(samples);
    }

    /// What has become of its reports.
    #[must_use]
    pub fn report_figures(&self) -> ReportFigures {
        self.unreported.figures()
    }

    /// Whether the controller knows this node now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the controller what is offered now.
    pub fn offers_changed(&self) {
        self.leases.offers_changed();
    }

    /// Stays connected until the process drains and its work is done, or the controller refuses it.
    ///
    /// # Errors
    /// Never; what ended it is the answer.
    pub async fn run(self: Arc<Self>) -> Ended {
        let shutdown = self.parts.supervisor.shutdown().clone();
        let (first, longest) = self.parts.config.reconnect;
        let mut pause = first;
        loop {
            if shutdown.is_draining() && self.leases.is_empty() {
                return Ended::Drained;
            }
            let over = match self.parts.dial.dial(self.hello()).await {
                Ok(wire) => self.speak(wire).await,
                Err(error) => session::Over::NotBegun(error),
            };
            self.set_connected(false);
            match over {
                session::Over::Drained => return Ended::Drained,
                session::Over::NotBegun(DialError::Refused(why)) | session::Over::Refused(why) => {
                    return Ended::Refused(why);
                }
                session::Over::NotBegun(error) => {
                    tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "not connected");
                }
                session::Over::Broken(why) => {
                    tracing::warn!(why, "connection to the controller is gone");
                    pause = first;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.spread(pause)) => {}
                () = shutdown.ended() => return Ended::Drained,
                // Nothing to bring back: there is no reason to wait for the controller.
                () = shutdown.draining(), if self.leases.is_empty() => return Ended::Drained,
            }
            pause = (pause * 2).min(longest);
        }
    }

    fn hello(&self) -> Hello {
        let config = &self.parts.config;
        let heartbeat = config.heartbeat.as_millis();
        Hello {
            protocol: crate::protocol::PROTOCOL,
            node_id: config.node.clone(),
            capabilities: config.capabilities.clone(),
            heartbeat_interval: u64::try_from(heartbeat).unwrap_or(u64::MAX),
            endpoint: config.endpoint.clone(),
            role: config.role,
            groups: config.groups.clone(),
            version: config.version.clone(),
            models: (self.parts.offers)(),
            leases: self.leases.held(),
        }
    }

    /// Half to all of a pause, so that not all nodes of a controller that was started anew come
    /// back in the same moment.
    fn spread(&self, pause: Duration) -> Duration {
        let drawn = self.parts.ids.next::<GenerationId>().uuid().as_u128() as u32;
        pause.mul_f64(0.5 + 0.5 * f64::from(drawn) / f64::from(u32::MAX))
    }

    fn set_connected(&self, connected: bool) {
        *self.connected.lock().unwrap_or_else(PoisonError::into_inner) = connected;
    }
}
