//! The commands: one module each, or for a few that belong together.

mod act;
mod analyze;
mod describe;
mod directory;
mod get;
mod input;
mod ledger;
mod live;
mod models;
mod nodes;
mod plan;
mod push;
mod replay;
mod rules;
mod service;
mod simulate;
mod status;
mod switches;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;
use clap_complete::Shell;

use crate::exit::{Exit, Trouble};
use crate::{Local, Terminal};
use act::{ApplyArgs, ApproveArgs, CancelArgs, ResolveArgs};
use analyze::AnalyzeArgs;
use describe::{DescribeArgs, DiffArgs};
use directory::{KeysCommand, PrincipalsCommand, WhoAmIArgs};
use get::GetArgs;
use ledger::LedgerCommand;
use models::ModelsCommand;
use nodes::NodesCommand;
use plan::PlanArgs;
use push::PushArgs;
use replay::ReplayArgs;
use rules::{FreezeCommand, LimitsCommand, PolicyCommand};
use service::{DeleteCommand, LogsArgs, PutCommand};
use simulate::SimulateArgs;
use status::StatusArgs;
use switches::{AutonomyCommand, BreakerCommand, KillSwitchCommand, NotificationsCommand};

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// How the server is, what waits for people, and what happened.
    Status(StatusArgs),
    /// Who is calling, and what they may do.
    Whoami(WhoAmIArgs),
    /// List things, or show one of them.
    Get(Box<GetArgs>),
    /// Show one thing in full.
    Describe(DescribeArgs),
    /// Create or change something from a file.
    #[command(subcommand)]
    Put(PutCommand),
    /// Delete something.
    #[command(subcommand)]
    Delete(DeleteCommand),
    /// The last output of a service.
    Logs(LogsArgs),
    /// Propose a plan, and see what it would change.
    Plan(Box<PlanArgs>),
    /// Compare what a plan wants with what is there.
    Diff(DiffArgs),
    /// Set a plan to work.
    Apply(ApplyArgs),
    /// Approve a plan that somebody else proposed.
    Approve(ApproveArgs),
    /// Call a plan off before it begins.
    Cancel(CancelArgs),
    /// Say what an unknown outcome was.
    Resolve(ResolveArgs),
    /// Ask what should be done about some numbers.
    Analyze(AnalyzeArgs),
    /// See what policies would have done with recorded signals. Runs here, changes nothing.
    Replay(Box<ReplayArgs>),
    /// See how a fleet of language-model workers would have served recorded requests. Runs here,
    /// with the product's own scheduler under a simulated clock.
    Simulate(Box<SimulateArgs>),
    /// Send signals from a file.
    Push(PushArgs),
    /// The ledger of everything that was done.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Circuit breakers of services.
    #[command(subcommand)]
    Breaker(BreakerCommand),
    /// Stop every action at once.
    #[command(subcommand)]
    KillSwitch(KillSwitchCommand),
    /// How far each action kind may go by itself.
    #[command(subcommand)]
    Autonomy(AutonomyCommand),
    /// Who may do what.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// How much, how fast, how often.
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// When nothing is changed.
    #[command(subcommand)]
    Freeze(FreezeCommand),
    /// People and programs.
    #[command(subcommand)]
    Principals(PrincipalsCommand),
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Messages to people.
    #[command(subcommand)]
    Notifications(NotificationsCommand),
    /// Models of the fleet: loading, swapping and unloading them as plans.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Nodes of the fleet of model workers.
    #[command(subcommand)]
    Nodes(NodesCommand),
    /// Completions for a shell, to be sourced by it.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// Runs a command to its end, or until it is interrupted.
pub(crate) fn run(
    command: Verb,
    local: &dyn Local,
    build: fn() -> clap::Command,
    terminal: &Terminal,
) -> anyhow::Result<ExitCode> {
    match command {
        Verb::Ledger(LedgerCommand::Verify(args)) => return local.verify_ledger(&args),
        Verb::Completions { shell } => {
            return completions(shell, build(), terminal).map(ExitCode::from);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = Box::pin(speak(command, terminal)) => result,
            () = interrupted() => {
                Err(Trouble::new(Exit::Interrupted, "interrupted").into())
            }
        }
    });
    // A thread may still wait for somebody to type, or compute what nobody wants any more.
    runtime.shutdown_background();
    result.map(ExitCode::from)
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn completions(shell: Shell, mut tree: clap::Command, terminal: &Terminal) -> anyhow::Result<Exit> {
    let name = tree.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree, name, &mut script);
    terminal.data(&String::from_utf8(script)?)?;
    Ok(Exit::Done)
}

async fn speak(command: Verb, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        Verb::Status(args) => status::run(args, terminal).await,
        Verb::Whoami(args) => directory::whoami(args, terminal).await,
        Verb::Get(args) => get::run(*args, terminal).await,
        Verb::Describe(args) => describe::run(args, terminal).await,
        Verb::Put(command) => service::put(command, terminal).await,
        Verb::Delete(command) => service::delete(command, terminal).await,
        Verb::Logs(args) => service::logs(args, terminal).await,
        Verb::Plan(args) => plan::run(*args, terminal).await,
        Verb::Diff(args) => describe::diff(args, terminal).await,
        Verb::Apply(args) => act::apply(args, terminal).await,
        Verb::Approve(args) => act::approve(args, terminal).await,
        Verb::Cancel(args) => act::cancel(args, terminal).await,
        Verb::Resolve(args) => act::resolve(args, terminal).await,
        Verb::Analyze(args) => analyze::run(args, terminal).await,
        Verb::Replay(args) => replay::run(*args, terminal).await,
        Verb::Simulate(args) => simulate::run(*args, terminal).await,
        Verb::Push(args) => push::run(args, terminal).await,
        Verb::Ledger(command) => ledger(command, terminal).await,
        Verb::Breaker(command) => switches::breaker(command, terminal).await,
        Verb::KillSwitch(command) => switches::kill_switch(command, terminal).await,
        Verb::Autonomy(command) => switches::autonomy(command, terminal).await,
        Verb::Policy(command) => rules::policy(command, terminal).await,
        Verb::Limits(command) => rules::limits(command, terminal).await,
        Verb::Freeze(command) => rules::freeze(command, terminal).await,
        Verb::Principals(command) => directory::principals(command, terminal).await,
        Verb::Keys(command) => directory::keys(command, terminal).await,
        Verb::Notifications(command) => switches::notifications(command, terminal).await,
        Verb::Models(command) => models::run(command, terminal).await,
        Verb::Nodes(command) => nodes::run(command, terminal).await,
        // Done before there is a runtime.
        Verb::Completions { .. } => Ok(Exit::Done),
    }
}

async fn ledger(command: LedgerCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        // Done before there is a runtime.
        LedgerCommand::Verify(_) => Ok(Exit::Done),
        LedgerCommand::Head(args) => ledger::head(args, terminal).await,
        LedgerCommand::Show(args) => ledger::show(args, terminal).await,
        LedgerCommand::Proof(args) => ledger::proof(args, terminal).await,
        LedgerCommand::CheckProof(args) => ledger::check(args, terminal).await,
        LedgerCommand::Erase(args) => ledger::erase(args, terminal).await,
    }
}
