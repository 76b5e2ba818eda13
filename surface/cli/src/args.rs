//! Arguments that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use oag_types::Tenant;

/// How to reach the server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// Address of the server; else the one that runs on the data directory, else
    /// http://127.0.0.1:8080.
    #[arg(long, env = "OPENAUTOGLM_URL", hide_env_values = true, help_heading = "Connection")]
    pub(crate) url: Option<String>,
    /// API key; else the file `admin.key` of the data directory. Prefer the variable: arguments
    /// can be seen by other users of the machine.
    #[arg(
        long,
        value_name = "KEY",
        env = "OPENAUTOGLM_API_KEY",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub(crate) api_key: Option<Secret>,
    /// Data directory of a server on this machine.
    #[arg(
        long,
        value_name = "DIR",
        env = "OPENAUTOGLM_DATA",
        default_value = ".oag",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub(crate) data: PathBuf,
}

/// A text that is not shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For people with wide windows.
    Wide,
    /// For programs.
    Json,
    /// For programs and editors.
    Yaml,
    /// Names only, one per line.
    Name,
}

/// How answers are written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Form of the answer.
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORM")]
    pub(crate) format: Format,
}

/// What `ledger verify` is asked.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The data directory; also while a server runs on it.
    #[arg(
        long,
        value_name = "DIR",
        env = "OPENAUTOGLM_DATA",
        default_value = ".oag",
        hide_env_values = true
    )]
    pub data: PathBuf,
    /// Checkpoints kept elsewhere: a file, or a directory of them. Else those that the server
    /// exported.
    #[arg(long, value_name = "FILE|DIR")]
    pub checkpoint: Vec<PathBuf>,
    /// Whose ledger.
    #[arg(long, default_value = "default")]
    pub tenant: Tenant,
    #[command(flatten)]
    output: Output,
}

impl VerifyArgs {
    /// Whether the answer is for a program.
    #[must_use]
    pub const fn json(&self) -> bool {
        matches!(self.output.format, Format::Json)
    }
}
