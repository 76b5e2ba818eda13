//! The top level of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
