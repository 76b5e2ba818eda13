//! `policy`, `limits` and `freeze`: the rules of the guard.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use oag_guard::{Limits, PolicySet};
use serde_json::{Value, json};

use super::get::{self, GetArgs};
use super::input;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Confirm, Connection, Output};
use crate::exit::{Exit, Trouble};
use crate::resource::Resource;
use crate::table;
use crate::value::{Read, count};

/// Commands about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Who may do what.
    Get(ShowArgs),
    /// Replace all policies.
    Set(SetArgs),
    /// Check a file of policies, without a server.
    Check(CheckArgs),
}

/// Commands about limits.
#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// How much, how fast, how often.
    Get(ShowArgs),
    /// Replace all limits.
    Set(SetArgs),
    /// Check a file of limits, without a server.
    Check(CheckArgs),
}

/// Commands about freezes.
#[derive(Debug, Subcommand)]
pub(crate) enum FreezeCommand {
    /// When nothing is changed.
    List(ShowArgs),
    /// Deny actions for a time.
    Add(FreezeArgs),
    /// Take a freeze away.
    Remove(ThawArgs),
}

/// How to show.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Rules as a file.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The rules as YAML or JSON: a list, or what the API shows; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which file.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The rules as YAML or JSON; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

/// A new freeze.
#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    /// A name for people, unique.
    name: String,
    /// From when on, RFC 3339; now when left out.
    #[arg(long, value_name = "TIME")]
    from: Option<oag_types::Timestamp>,
    /// Until before when, RFC 3339.
    #[arg(long, value_name = "TIME")]
    to: oag_types::Timestamp,
    /// Why, shown to those who are stopped.
    #[arg(long)]
    reason: String,
    /// Only action kinds of this pattern; may be given several times.
    #[arg(long)]
    kind: Vec<String>,
    /// Only services of this pattern; may be given several times.
    #[arg(long)]
    service: Vec<String>,
    /// Only groups of this pattern; may be given several times.
    #[arg(long)]
    group: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which freeze.
#[derive(Debug, Args)]
pub(crate) struct ThawArgs {
    /// Its name.
    name: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn policy(command: PolicyCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        PolicyCommand::Get(args) => list(Resource::Policies, args, terminal).await,
        PolicyCommand::Set(args) => set(Resource::Policies, args, terminal).await,
        PolicyCommand::Check(args) => check(Resource::Policies, args, terminal).await,
    }
}

pub(crate) async fn limits(command: LimitsCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        LimitsCommand::Get(args) => list(Resource::Limits, args, terminal).await,
        LimitsCommand::Set(args) => set(Resource::Limits, args, terminal).await,
        LimitsCommand::Check(args) => check(Resource::Limits, args, terminal).await,
    }
}

pub(crate) async fn freeze(command: FreezeCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        FreezeCommand::List(args) => list(Resource::Freezes, args, terminal).await,
        FreezeCommand::Add(args) => add_freeze(args, terminal).await,
        FreezeCommand::Remove(args) => remove_freeze(args, terminal).await,
    }
}

async fn list(resource: Resource, args: ShowArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    get::run(GetArgs::all(resource, args.output, args.connection), terminal).await
}

/// The member that holds the rules of a part.
const fn member(part: Resource) -> &'static str {
    match part {
        Resource::Policies => "policies",
        Resource::Freezes => "freezes",
        _ => "rules",
    }
}

/// A file with a list of rules, or a document around one.
async fn read(
    part: Resource,
    file: &std::path::Path,
    terminal: &Terminal,
) -> anyhow::Result<(Value, Option<u64>)> {
    let mut document = input::document(file, terminal).await?;
    let revision = document.at("/revision").as_u64();
    let name = member(part);
    let rules = match document.get_mut(name) {
        Some(rules) => rules.take(),
        None => document,
    };
    if rules.is_array() {
        return Ok((rules, revision));
    }
    let text = format!("{} holds no list of {}", file.display(), part.path());
    Err(Trouble::usage(text).hint(format!("write a list, or a member '{name}' with one")).into())
}

/// What can be known of rules without a server.
fn judge(part: Resource, rules: &Value) -> anyhow::Result<()> {
    let wrong = |error: String| Trouble::usage(format!("the {} are wrong: {error}", part.path()));
    let rules = json!({ member(part): rules });
    let checked = match part {
        Resource::Policies => serde_json::from_value::<PolicySet>(rules)
            .map(|policies| policies.validate().map_err(|error| error.to_string())),
        _ => serde_json::from_value::<Limits>(rules)
            .map(|limits| limits.validate().map_err(|error| error.to_string())),
    };
    checked.map_err(|error| wrong(error.to_string()))?.map_err(wrong)?;
    Ok(())
}

async fn check(part: Resource, args: CheckArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let (rules, _) = read(part, &args.file, terminal).await?;
    judge(part, &rules)?;
    let number = rules.list("").len();
    terminal.data(&format!("{}: sound", count(number, part.one(), part.path())))?;
    Ok(Exit::Done)
}

async fn set(part: Resource, args: SetArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let (rules, revision) = read(part, &args.file, terminal).await?;
    judge(part, &rules)?;
    let api = Api::new(&args.connection)?;
    let path = ["api", "v1", part.path()];
    let present = api.get(&path, &[]).await?;
    let name = member(part);
    let (before, after) = (present.at(&format!("/{name}")), rules.list(""));
    if before.as_array().map(Vec::as_slice) == Some(after) {
        terminal.say(&format!("the {} are as in the file already", part.path()));
        return Ok(Exit::Done);
    }
    let (old, new) = (before.list("").len(), after.len());
    let question = format!("Replace {} by {new}?", count(old, part.one(), part.path()));
    args.confirm.ask(terminal, &question).await?;
    let revision = revision.or_else(|| present.at("/revision").as_u64());
    let saved = api.put(&path, &json!({ name: rules }), revision).await?;
    table::show(
        terminal,
        args.output.format,
        &saved,
        || saved.text("/revision"),
        || {
            let number = count(new, part.one(), part.path());
            format!("{number} set, revision {}", saved.text("/revision"))
        },
    )?;
    Ok(Exit::Done)
}

const FREEZES: [&str; 3] = ["api", "v1", "freezes"];

async fn add_freeze(args: FreezeArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let present = api.get(&FREEZES, &[]).await?;
    let mut freezes = present.list("/freezes").to_vec();
    if freezes.iter().any(|freeze| freeze.str("/name") == args.name) {
        let text = format!("there is a freeze '{}' already", args.name);
        return Err(Trouble::new(Exit::Conflict, text).hint("take another name").into());
    }
    let from = args.from.unwrap_or_else(|| terminal.now());
    if from >= args.to {
        return Err(Trouble::usage("--to must be later than --from").into());
    }
    let selector = json!({ "kinds": args.kind, "services": args.service, "groups": args.group });
    freezes.push(json!({
        "name": args.name,
        "from": from,
        "to": args.to,
        "reason": args.reason,
        "selector": selector,
    }));
    let saved = put_freezes(&api, &present, freezes).await?;
    table::show(
        terminal,
        args.output.format,
        &saved,
        || args.name.clone(),
        || format!("freeze {} added, from {from} to {}", args.name, args.to),
    )?;
    Ok(Exit::Done)
}

async fn remove_freeze(args: ThawArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let present = api.get(&FREEZES, &[]).await?;
    let mut freezes = present.list("/freezes").to_vec();
    let before = freezes.len();
    freezes.retain(|freeze| freeze.str("/name") != args.name);
    if freezes.len() == before {
        let text = format!("no freeze '{}'", args.name);
        let hint = "`openautoglm freeze list` lists them";
        return Err(Trouble::new(Exit::NotFound, text).hint(hint).into());
    }
    args.confirm.ask(terminal, &format!("Take the freeze {} away?", args.name)).await?;
    let saved = put_freezes(&api, &present, freezes).await?;
    table::show(
        terminal,
        args.output.format,
        &saved,
        || args.name.clone(),
        || format!("freeze {} removed", args.name),
    )?;
    Ok(Exit::Done)
}

/// Against the revision that was read, so that nobody else's change is lost.
async fn put_freezes(api: &Api, present: &Value, freezes: Vec<Value>) -> anyhow::Result<Value> {
    let revision = present.at("/revision").as_u64();
    api.put(&FREEZES, &json!({ "freezes": freezes }), revision).await
}
