//! The command line client of the API.
//!
//! Owns: the client's commands, how answers are shown and how a command ends. Refuses: reading
//! the store (what needs the data directory itself is asked of [`Local`]), deciding anything, and
//! writing anywhere but through [`Terminal`].

mod args;
mod commands;
mod exit;
mod terminal;

use std::process::ExitCode;

pub use args::VerifyArgs;
pub use commands::Command;
pub use exit::{Exit, Trouble};
pub use terminal::Terminal;

/// What needs the data directory itself, not the API.
pub trait Local {
    /// Checks the whole ledger of a data directory.
    ///
    /// # Errors
    /// When the data directory or a checkpoint cannot be read.
    fn verify_ledger(&self, args: &VerifyArgs) -> anyhow::Result<ExitCode>;
}

/// Runs a command on the terminal of this process. `build` makes the whole tree of commands, for
/// completions.
pub fn run(command: Command, local: &dyn Local, build: fn() -> clap::Command) -> ExitCode {
    run_on(command, local, build, &Terminal::of_process())
}

/// Runs a command on a terminal.
pub fn run_on(
    command: Command,
    local: &dyn Local,
    build: fn() -> clap::Command,
    terminal: &Terminal,
) -> ExitCode {
    commands::run(command, local, build, terminal)
        .unwrap_or_else(|error| terminal.report(&error).into())
}

/// Shows an error with its causes and a hint on standard error; the answer is its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    Terminal::of_process().report(error).into()
}
