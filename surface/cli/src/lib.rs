//! The command line client of the API.
//!
//! Owns: the client's commands, how answers are shown and how a command ends. Refuses: reading
//! the store (what needs the data directory itself is asked of [`Local`]), deciding anything, and
//! writing anywhere but through [`Terminal`].

mod api;
mod args;
mod commands;
mod connect;
pub mod demo;
mod exit;
mod page;
mod resource;
mod show;
mod table;
mod terminal;
mod value;

use std::process::ExitCode;

pub use args::VerifyArgs;
pub use exit::{Exit, Trouble};
pub use terminal::Terminal;

/// A command of the client. Flattened into the top level of the binary.
#[derive(Debug)]
pub struct Command(commands::Verb);

impl clap::Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        commands::Verb::augment_subcommands(command)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        commands::Verb::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        commands::Verb::has_subcommand(name)
    }
}

impl clap::FromArgMatches for Command {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        commands::Verb::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

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
    commands::run(command.0, local, build, terminal)
        .unwrap_or_else(|error| terminal.report(&error).into())
}

/// Shows an error with its causes and a hint on standard error; the answer is its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    Terminal::of_process().report(error).into()
}
