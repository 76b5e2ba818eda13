//! What nodes are told on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How a node joins; the same for all kinds of nodes.
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    /// The controller, such as `http://127.0.0.1:8080/register`.
    #[arg(long, env = "OPENAUTOGLM_CONTROLLER", value_name = "URL")]
    pub controller: String,
    /// A token of `openautoglm nodes enrol`, for the first time on a machine other than the
    /// controller's.
    #[arg(long, env = "OPENAUTOGLM_NODE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// What carries the session.
    #[arg(long, value_enum, default_value_t)]
    pub transport: Transport,
    /// Where the certificate is kept; under the user's state directory unless told.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// The name of this node; made of the host's unless told, and without a certificate of the
    /// process's number, too.
    #[arg(long, value_name = "NAME")]
    pub node_id: Option<String>,
    /// A group this node belongs to; may be given several times.
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<String>,
    /// Time between heartbeats, in milliseconds.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(10..=300_000))]
    pub heartbeat_ms: u64,
    /// How long work in hand may take after a signal, in milliseconds.
    #[arg(long, default_value_t = 60_000)]
    pub drain_ms: u64,
    /// Write log lines as JSON.
    #[arg(long)]
    pub json_logs: bool,
}

/// What carries a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// A WebSocket.
    #[default]
    Websocket,
    /// A stream of gRPC.
    Grpc,
}

/// The light node: it measures and reports, and may offer the models of an upstream.
#[derive(Debug, Clone, Args)]
pub struct EdgeArgs {
    /// How it joins.
    #[command(flatten)]
    pub join: JoinArgs,
    /// A model to serve, `NAME` or `NAME=NAME-THERE`; may be given several times. None: the node
    /// only reports.
    #[arg(long = "model", value_name = "NAME")]
    pub models: Vec<String>,
    /// An ONNX file that predicts here; the first for the first model, and so on. Only in builds
    /// with the feature `onnx`.
    #[arg(long, value_name = "FILE")]
    pub onnx: Vec<PathBuf>,
    /// An OpenAI-compatible server that runs the other models, up to the version, such as
    /// `http://127.0.0.1:8000/v1`; its key in OPENAUTOGLM_UPSTREAM_KEY.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Tokens of prompt and answer that one request may have.
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: u32,
    /// Answers worked on at once; as many as the upstream takes unless told otherwise.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub slots: Option<u32>,
    /// Where its own port listens: `/health/live`, `/health/ready`, `/metrics`. It has no TLS and
    /// asks for no key.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Connections to its own port at once; more wait.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_max: u32,
    /// Time between reports, in milliseconds.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub report_ms: u64,
    /// Bytes of reports that are kept until the controller has them; then the oldest go.
    #[arg(long, default_value_t = 1_048_576, value_parser = clap::value_parser!(u64).range(1_024..=1_073_741_824))]
    pub buffer_bytes: u64,
    /// A file that keeps these reports over the end of the process.
    #[arg(long, value_name = "FILE")]
    pub buffer_file: Option<PathBuf>,
}
