//! The configuration of a process: defaults, `config.toml` of the data directory or a named file,
//! variables `OPENAUTOGLM_…`, flags; in this order, the later wins.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use oag_api::ApiConfig;
use oag_cluster::ClusterConfig;
use oag_gateway::GatewayConfig;
use oag_local::LocalConfig;
use oag_nodes::NodesConfig;
use oag_ops::{HubConfig, OpsConfig};
use oag_pilot::PilotConfig;
use oag_placement::PlacementConfig;
use oag_runtime::{Layers, TelemetryConfig};
use oag_series::SeriesConfig;
use oag_sources::PrometheusConfig;
use oag_store::{PostgresConfig, SqliteConfig};
use oag_types::Tenant;
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::data::DataDir;
use crate::eval::print;
use crate::options::UpArgs;

/// Everything a process can be told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The address to listen on.
    pub(crate) listen: String,
    /// Allows a listener beyond loopback without TLS in front.
    pub(crate) insecure: bool,
    /// The tenant of this installation.
    pub(crate) tenant: Tenant,
    /// Where the truth is kept.
    pub(crate) store: StoreConfig,
    /// Logs and traces.
    pub(crate) telemetry: TelemetryConfig,
    /// The API.
    pub(crate) api: ApiConfig,
    /// The APIs for clients of language models.
    pub(crate) gateway: GatewayConfig,
    /// Plans.
    pub(crate) pilot: PilotConfig,
    /// Signals.
    pub(crate) signals: HubConfig,
    /// The loop.
    pub(crate) ops: OpsConfig,
    /// Long-term samples.
    pub(crate) series: SeriesConfig,
    /// Local processes.
    pub(crate) local: LocalConfig,
    /// The fleet of model workers.
    pub(crate) fleet: ClusterConfig,
    /// Models as services on its nodes.
    pub(crate) placement: PlacementConfig,
    /// Where its nodes come in.
    pub(crate) nodes: NodesConfig,
    /// How often the host and the process are looked at, in milliseconds; 0: never.
    pub(crate) host_interval_ms: i64,
    /// Prometheus text endpoints to scrape.
    pub(crate) scrape: Vec<PrometheusConfig>,
    /// Signed checkpoints of the ledger.
    pub(crate) checkpoints: CheckpointConfig,
    /// How long a drain may take, in milliseconds.
    pub(crate) drain_ms: u64,
}

/// Where the truth is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// `postgres://…`; none: SQLite in the data directory.
    pub(crate) url: Option<String>,
    /// Settings of SQLite.
    pub(crate) sqlite: SqliteConfig,
    /// Settings of PostgreSQL.
    pub(crate) postgres: PostgresConfig,
}

/// Where signed checkpoints are exported to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CheckpointConfig {
    /// A directory outside the data directory, better on another disk or machine. By default
    /// `openautoglm/checkpoints` under the user's state directory.
    pub(crate) dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            insecure: false,
            tenant: Tenant::default_tenant(),
            store: StoreConfig::default(),
            telemetry: TelemetryConfig::default(),
            api: ApiConfig::default(),
            gateway: GatewayConfig::default(),
            pilot: PilotConfig::default(),
            signals: HubConfig::default(),
            ops: OpsConfig::default(),
            series: SeriesConfig::default(),
            local: LocalConfig::default(),
            fleet: ClusterConfig::default(),
            placement: PlacementConfig::default(),
            nodes: NodesConfig::default(),
            host_interval_ms: 15_000,
            scrape: Vec::new(),
            checkpoints: CheckpointConfig::default(),
            drain_ms: 20_000,
        }
    }
}

/// Variables that are no settings but credentials or addresses of the client commands, or what
/// scripts are told.
const CLIENT_VARIABLES: [&str; 14] = [
    "OPENAUTOGLM_URL",
    "OPENAUTOGLM_API_KEY",
    "OPENAUTOGLM_CA",
    "OPENAUTOGLM_CONTROLLER",
    "OPENAUTOGLM_NODE_TOKEN",
    "OPENAUTOGLM_UPSTREAM_KEY",
    "OPENAUTOGLM_DATA",
    "OPENAUTOGLM_KEY",
    "OPENAUTOGLM_ENDPOINT",
    "OPENAUTOGLM_CRASH_POINT",
    "OPENAUTOGLM_BIN",
    "OPENAUTOGLM_CACHE",
    "OPENAUTOGLM_VENV",
    "OPENAUTOGLM_SEED",
];

impl Config {
    /// Reads the layers.
    pub(crate) fn read(args: &UpArgs, data: &DataDir) -> Result<Self> {
        let mut layers = lower_layers(args.config.as_deref(), data)?;
        if let Some(listen) = args.listen_address() {
            layers = layers.set("listen", Value::String(listen));
        }
        if args.insecure {
            layers = layers.set("insecure", Value::Boolean(true));
        }
        if args.json_logs {
            layers = layers.set("telemetry.format", Value::String("json".to_owned()));
        }
        let mut config: Self = layers.read()?;
        config.local.data_dir = data.root().to_owned();
        config.api.tenant = config.tenant.clone();
        Ok(config)
    }

    /// The settings of a data directory's installation, as far as files and variables tell.
    pub(crate) fn of(data: &DataDir) -> Result<Self> {
        Ok(lower_layers(None, data)?.read()?)
    }

    /// Where the installation of a data directory exports its checkpoints to.
    pub(crate) fn checkpoint_dir_of(data: &DataDir) -> Result<PathBuf> {
        Self::of(data)?.checkpoint_dir()
    }

    /// Where signed checkpoints go: never inside the data directory by default.
    pub(crate) fn checkpoint_dir(&self) -> Result<PathBuf> {
        if let Some(dir) = &self.checkpoints.dir {
            return Ok(dir.clone());
        }
        default_checkpoint_dir()
    }
}

/// The file and the variables.
fn lower_layers(named: Option<&Path>, data: &DataDir) -> Result<Layers> {
    let mut layers = Layers::new();
    let file = named.map_or_else(|| data.config_file(), Path::to_owned);
    if named.is_some() || file.exists() {
        layers = layers.file(&file)?;
    }
    let settings = std::env::vars().filter(|(name, _)| {
        !CLIENT_VARIABLES.contains(&name.as_str()) && !name.starts_with("OPENAUTOGLM_REPLICA")
    });
    Ok(layers.env("OPENAUTOGLM", settings))
}

/// Prints the settings that `up` would run with. The data directory is not made for that.
pub(crate) fn show(args: &UpArgs) -> Result<ExitCode> {
    let config = Config::read(args, &DataDir::planned(&args.data))?;
    let table = toml::Table::try_from(&config).context("the settings cannot be shown")?;
    print(&table.to_string())
}

/// `openautoglm/checkpoints` under the user's state directory.
fn default_checkpoint_dir() -> Result<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    let state = state.context(
        "there is no state directory for checkpoints: set HOME, or [checkpoints] dir in config.toml",
    )?;
    Ok(state.join("openautoglm/checkpoints"))
}
