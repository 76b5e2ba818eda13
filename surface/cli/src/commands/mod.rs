//! The commands.

use std::process::ExitCode;

use clap::Subcommand;

use crate::args::VerifyArgs;
use crate::{Local, Terminal};

/// The commands of the client, flattened into the top level of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The ledger of everything that was done.
    #[command(subcommand)]
    Ledger(LedgerCommand),
}

/// Commands about the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Check the whole ledger of a data directory, without a server.
    Verify(VerifyArgs),
}

pub(crate) fn run(
    command: Command,
    local: &dyn Local,
    _build: fn() -> clap::Command,
    _terminal: &Terminal,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Ledger(LedgerCommand::Verify(args)) => local.verify_ledger(&args),
    }
}
