//! The top level of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use oag_edge::{EdgeArgs, JoinArgs};

/// The autopilot for teams that run online shops and the services under them.
#[derive(Debug, Parser)]
#[command(name = "openautoglm", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed or the answer is no, 2 wrong usage or \
    configuration, 3 not found, 4 approval needed, 5 conflict, 6 not available, 130 interrupted.")]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything in one process.
    Up(UpArgs),
    /// Start a controller of a fleet; the same as `up`.
    Controller(UpArgs),
    /// Offer models to a controller.
    Worker(WorkerArgs),
    /// Measure and report to a controller, with little memory.
    Edge(EdgeArgs),
    /// Show the loop at work on real processes, beside other ways to decide.
    Demo(oag_cli::demo::DemoArgs),
    /// Answer a scorer's questions, one JSON line each, on standard input and output.
    Eval(EvalArgs),
    /// Print every setting as it would be in force, in the form of `config.toml`.
    Config(UpArgs),
    /// Print the API document.
    Openapi,
    /// Copy the store of an installation into a file, also while it is in use.
    Backup(BackupArgs),
    /// Make a new data directory from a backup. Nothing is executed again.
    Restore(RestoreArgs),
    /// A small service with fixed capacity, for demos and tests.
    #[command(hide = true)]
    SampleService(SampleArgs),
    #[command(flatten)]
    Client(oag_cli::Command),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where everything is kept.
    #[arg(long, env = "OPENAUTOGLM_DATA", default_value = ".oag", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Port to listen on; 0: any free one.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Address to listen on; loopback unless told otherwise.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Allow listening beyond loopback without TLS.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// A configuration file other than `config.toml` in the data directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Write log lines as JSON.
    #[arg(long)]
    pub(crate) json_logs: bool,
    /// Make a new admin key, for when the first one is lost.
    #[arg(long)]
    pub(crate) new_admin_key: bool,
}

impl UpArgs {
    /// The address asked for by flags, when any is given.
    pub(crate) fn listen_address(&self) -> Option<String> {
        if self.host.is_none() && self.port.is_none() {
            return None;
        }
        let host = self.host.as_deref().unwrap_or("127.0.0.1");
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        Some(format!("{host}:{}", self.port.unwrap_or(8080)))
    }
}

/// A model is a name under which it is served, such as `glm-4-plus`; `NAME=NAME-THERE` when an
/// upstream calls it something else.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) join: JoinArgs,
    /// A model to serve; may be given several times.
    #[arg(long = "model", required_unless_present = "models_dir", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// Tokens of prompt and answer that one request may have.
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,
    /// A GGUF file that is run here, in a process of its own; the first for the first model, and so
    /// on. Only in builds with the feature `llama`.
    #[arg(long, value_name = "FILE")]
    pub(crate) gguf: Vec<PathBuf>,
    /// A folder of models that the controller may have loaded here, by signed orders; see
    /// docs/models.md.
    #[arg(long, value_name = "DIR")]
    pub(crate) models_dir: Option<PathBuf>,
    /// A folder of scripts that the controller may have run here, by signed orders.
    #[arg(long, value_name = "DIR")]
    pub(crate) scripts_dir: Option<PathBuf>,
    /// An ONNX file that predicts here; the first for the first model that no --gguf file was for,
    /// and so on. Only in builds with the feature `onnx`.
    #[arg(long, value_name = "FILE")]
    pub(crate) onnx: Vec<PathBuf>,
    /// In what form a GGUF model keeps what it has read. Only with `f32` an answer that moves to
    /// another worker is word for word what it would have been.
    #[arg(long, value_enum, default_value_t = Memory::F16)]
    pub(crate) memory: Memory,
    /// Threads that a GGUF or ONNX model calculates with; one for each core unless told.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) threads: Option<u32>,
    /// Layers of GGUF models that a graphics processor calculates: all where there is one and the
    /// build has the feature `cuda`, unless told; 0 for none.
    #[arg(long, value_name = "N")]
    pub(crate) gpu_layers: Option<u32>,
    /// An OpenAI-compatible server that runs the models without a file, up to the version, such as
    /// `http://127.0.0.1:8000/v1`; its key in OPENAUTOGLM_UPSTREAM_KEY.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// Answers worked on at once; as many as the engine can unless told otherwise.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) slots: Option<u32>,
}

/// In what form a model's memory of what it read is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Memory {
    /// Four bytes a number, and nothing is rounded further; slow.
    F32,
    /// Two bytes a number, as models are made for.
    F16,
    /// About one byte a number; answers change a little.
    Q8,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Which task.
    pub(crate) task: EvalTask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvalTask {
    /// Anomalies in one series, streaming.
    Univariate,
    /// Load forecast, ten steps, streaming.
    Load,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The data directory.
    #[arg(long, env = "OPENAUTOGLM_DATA", default_value = ".oag", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The new file; it must not exist.
    pub(crate) file: PathBuf,
    /// Copy the store in this PostgreSQL database; else the one that the settings name.
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    pub(crate) file: PathBuf,
    /// The new data directory; it must be empty.
    #[arg(long, env = "OPENAUTOGLM_DATA", default_value = ".oag", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Restore into this empty PostgreSQL database; else into the one that the settings name.
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SampleArgs {
    /// Port to listen on.
    #[arg(long)]
    pub(crate) port: u16,
    /// Requests served at once.
    #[arg(long, default_value_t = 4)]
    pub(crate) concurrency: usize,
    /// Waiting time of a request, in milliseconds.
    #[arg(long, default_value_t = 100)]
    pub(crate) service_ms: u64,
    /// Time until it is ready, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) start_delay_ms: u64,
}
