//! `breaker`, `kill-switch`, `autonomy` and `notifications`.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::act;
use super::get::{self, GetArgs};
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output, Wait};
use crate::exit::Exit;
use crate::resource::Resource;
use crate::table;
use crate::value::{Read, words};

/// Commands about circuit breakers.
#[derive(Debug, Subcommand)]
pub(crate) enum BreakerCommand {
    /// The breakers of all services.
    List(ListArgs),
    /// Open a breaker: its service gets no more requests.
    Trip(BreakerArgs),
    /// Close a breaker.
    Reset(BreakerArgs),
}

/// Commands about the kill switch.
#[derive(Debug, Subcommand)]
pub(crate) enum KillSwitchCommand {
    /// Stop every action at once.
    On(KillArgs),
    /// Let actions go on.
    Off(KillArgs),
    /// How it stands, and who switched it.
    Status(ListArgs),
}

/// Commands about autonomy.
#[derive(Debug, Subcommand)]
pub(crate) enum AutonomyCommand {
    /// Every action kind and how far it may go by itself.
    List(ListArgs),
    /// Set how far an action kind may go by itself.
    Set(AutonomyArgs),
}

/// Commands about messages.
#[derive(Debug, Subcommand)]
pub(crate) enum NotificationsCommand {
    /// Messages, newest first.
    List(ListArgs),
    /// Mark messages as seen.
    Seen(SeenArgs),
}

/// How to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Which breaker, and why.
#[derive(Debug, Args)]
pub(crate) struct BreakerArgs {
    /// The service.
    service: String,
    /// Why, for the ledger.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// What to stop, and why.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Why, shown to those who are stopped.
    #[arg(long)]
    reason: String,
    /// Only actions in this group; may be given several times.
    #[arg(long)]
    group: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// How far, and why.
#[derive(Debug, Args)]
pub(crate) struct AutonomyArgs {
    /// The action kind.
    kind: String,
    /// How far it may go now.
    #[arg(value_enum)]
    rung: Rung,
    /// How far it may climb by its own record; no further than the rung when left out.
    #[arg(long, value_enum)]
    ceiling: Option<Rung>,
    /// Why, for the ledger.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which messages.
#[derive(Debug, Args)]
pub(crate) struct SeenArgs {
    /// Their ids, ntf_…
    #[arg(required = true)]
    notifications: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rung {
    /// It only proposes.
    Observe,
    /// It plays its plans through without changing anything.
    DryRun,
    /// It acts once a person approved.
    Approve,
    /// It acts by itself, within the limits.
    Automatic,
}

impl Rung {
    const fn wire(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::DryRun => "dry_run",
            Self::Approve => "approve",
            Self::Automatic => "automatic",
        }
    }
}

pub(crate) async fn breaker(command: BreakerCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    let (args, verb) = match command {
        BreakerCommand::List(args) => return list(Resource::Breakers, args, terminal).await,
        BreakerCommand::Trip(args) => (args, "trip"),
        BreakerCommand::Reset(args) => (args, "reset"),
    };
    let api = Api::new(&args.connection)?;
    let path = ["api", "v1", "breakers", &args.service, verb];
    let plan = api.post(&path, &json!({ "reason": args.reason })).await?;
    act::finish(&api, plan, args.wait, args.output, terminal).await
}

pub(crate) async fn kill_switch(
    command: KillSwitchCommand,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    let path = ["api", "v1", "kill-switch"];
    let (document, output) = match command {
        KillSwitchCommand::Status(args) => {
            (Api::new(&args.connection)?.get(&path, &[]).await?, args.output)
        }
        KillSwitchCommand::On(args) => (switch(&args, true).await?, args.output),
        KillSwitchCommand::Off(args) => (switch(&args, false).await?, args.output),
    };
    let switch = document.at("/kill_switch");
    let word = if switch.at("/on") == &Value::Bool(true) { "on" } else { "off" };
    table::show(
        terminal,
        output.format,
        &document,
        || word.to_owned(),
        || {
            let groups = switch.text("/scope/groups");
            let scope = if groups.is_empty() { "everything".to_owned() } else { groups };
            let mut text = match word {
                "on" => format!("the kill switch is ON for {scope}: nothing there is carried out"),
                _ => "the kill switch is off".to_owned(),
            };
            if let Some(by) = switch.at("/by").as_str() {
                let (at, reason) = (switch.str("/at"), switch.str("/reason"));
                text.push_str(&format!("\n  switched by {by} at {at}: {reason}"));
            }
            text
        },
    )?;
    Ok(Exit::Done)
}

async fn switch(args: &KillArgs, on: bool) -> anyhow::Result<Value> {
    let scope = if args.group.is_empty() { json!("all") } else { json!({ "groups": args.group }) };
    let change = json!({ "on": on, "scope": scope, "reason": args.reason });
    Api::new(&args.connection)?.put(&["api", "v1", "kill-switch"], &change, None).await
}

pub(crate) async fn autonomy(
    command: AutonomyCommand,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    let args = match command {
        AutonomyCommand::List(args) => return list(Resource::Autonomy, args, terminal).await,
        AutonomyCommand::Set(args) => args,
    };
    let change = json!({
        "rung": args.rung.wire(),
        "ceiling": args.ceiling.map(Rung::wire),
        "reason": args.reason,
    });
    let api = Api::new(&args.connection)?;
    let all = api.put(&["api", "v1", "autonomy", &args.kind], &change, None).await?;
    let found = all.list("/kinds").iter().find(|one| one.str("/kind") == args.kind);
    let entry = found.cloned().unwrap_or_default();
    table::show(
        terminal,
        args.output.format,
        &entry,
        || args.kind.clone(),
        || {
            let (rung, ceiling) = (words(entry.str("/rung")), words(entry.str("/ceiling")));
            format!("{}: {rung}, may climb to {ceiling}", args.kind)
        },
    )?;
    Ok(Exit::Done)
}

pub(crate) async fn notifications(
    command: NotificationsCommand,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    let args = match command {
        NotificationsCommand::List(args) => {
            return list(Resource::Notifications, args, terminal).await;
        }
        NotificationsCommand::Seen(args) => args,
    };
    let api = Api::new(&args.connection)?;
    for id in &args.notifications {
        api.post(&["api", "v1", "notifications", id, "seen"], &Value::Null).await?;
        terminal.data(&format!("{id} seen"))?;
    }
    Ok(Exit::Done)
}

async fn list(resource: Resource, args: ListArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    get::run(GetArgs::all(resource, args.output, args.connection), terminal).await
}
