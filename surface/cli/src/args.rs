//! Arguments that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use oag_types::Tenant;

use crate::Terminal;
use crate::exit::{Exit, Trouble};

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
    /// Certificates to trust instead of those of this machine, as PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "OPENAUTOGLM_CA",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub(crate) ca: Option<PathBuf>,
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

impl Output {
    /// Whether the answer is JSON or YAML.
    pub(crate) const fn is_for_programs(self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }
}

/// Agreement to what cannot be taken back.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Confirm {
    /// Do it without asking; needed where nobody can be asked.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

impl Confirm {
    /// Asks, unless agreement was given.
    pub(crate) async fn ask(self, terminal: &Terminal, question: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !terminal.asks() {
            let text = "this needs your agreement, and there is no terminal to ask on";
            return Err(Trouble::usage(text).hint("say --yes if you mean it").into());
        }
        if terminal.confirm(question).await? {
            return Ok(());
        }
        Err(Trouble::new(Exit::Failed, "not done: you did not agree").into())
    }
}

/// Waiting for the end of what was begun.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Wait {
    /// Wait until the plan came to its end.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait at most, such as 90s or 5m.
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Reads `90s`, `5m`, `2h`, `90d` or plain seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write it as 30s, 5m, 2h or 90d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match text.get(digits.len()..).unwrap_or_default() {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    // A hundred years are forever.
    let total = number.checked_mul(seconds).filter(|total| *total <= 3_153_600_000);
    total.map(Duration::from_secs).ok_or_else(wrong)
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
    /// Read the ledger in this PostgreSQL database; else the one that the settings name. Prefer
    /// the settings: arguments can be seen by other users of the machine.
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
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
