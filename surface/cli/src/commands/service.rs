//! `put service`, `delete service` and `logs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::input;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Confirm, Connection, Output};
use crate::exit::{Exit, Trouble};
use crate::table;
use crate::value::Read;

/// What to put.
#[derive(Debug, Subcommand)]
pub(crate) enum PutCommand {
    /// Create a service or change it.
    Service(PutServiceArgs),
}

/// What to delete.
#[derive(Debug, Subcommand)]
pub(crate) enum DeleteCommand {
    /// Take a service out of the catalogue; its executor stops what runs.
    Service(DeleteServiceArgs),
}

/// A service as a file.
#[derive(Debug, Args)]
pub(crate) struct PutServiceArgs {
    /// The service as YAML or JSON; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which service.
#[derive(Debug, Args)]
pub(crate) struct DeleteServiceArgs {
    /// Its name.
    name: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    connection: Connection,
}

/// Whose output.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The service.
    service: String,
    /// The last so many lines.
    #[arg(short = 'n', long, default_value_t = 100, value_name = "NUMBER")]
    lines: u32,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn put(command: PutCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    let PutCommand::Service(args) = command;
    let service = input::document(&args.file, terminal).await?;
    let name = service.str("/name").to_owned();
    if name.is_empty() {
        let text = format!("{} has no member 'name'", args.file.display());
        let hint = "a service needs at least name, group and executor";
        return Err(Trouble::usage(text).hint(hint).into());
    }
    let api = Api::new(&args.connection)?;
    let path = ["api", "v1", "services", &name];
    // A file without a revision means the service as it is now.
    let revision = match service.at("/revision").as_u64() {
        Some(revision) => Some(revision),
        None => present(api.get(&path, &[]).await)?.and_then(|s| s.at("/revision").as_u64()),
    };
    let saved = api.put(&path, &service, revision).await?;
    let verb = if revision.is_some() { "changed" } else { "created" };
    table::show(
        terminal,
        args.output.format,
        &saved,
        || name.clone(),
        || format!("service {name} {verb}, revision {}", saved.text("/revision")),
    )?;
    Ok(Exit::Done)
}

pub(super) fn present(answer: anyhow::Result<Value>) -> anyhow::Result<Option<Value>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.downcast_ref::<Trouble>() {
            Some(trouble) if trouble.exit() == Exit::NotFound => Ok(None),
            _ => Err(error),
        },
    }
}

pub(crate) async fn delete(command: DeleteCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    let DeleteCommand::Service(args) = command;
    let name = &args.name;
    let question = format!("Take {name} out of the catalogue and stop what runs of it?");
    args.confirm.ask(terminal, &question).await?;
    Api::new(&args.connection)?.delete(&["api", "v1", "services", name]).await?;
    terminal.data(&format!("service {name} deleted"))?;
    Ok(Exit::Done)
}

pub(crate) async fn logs(args: LogsArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let query = [("limit", args.lines.to_string())];
    let logs = api.get(&["api", "v1", "services", &args.service, "logs"], &query).await?;
    let items = logs.list("/items");
    if items.is_empty() && !args.output.is_for_programs() {
        terminal.say(&format!("{} wrote nothing yet", args.service));
        return Ok(Exit::Done);
    }
    let document = json!(items);
    table::show(
        terminal,
        args.output.format,
        &document,
        || args.service.clone(),
        || {
            let line = |line: &Value| {
                let stream = if line.at("/error") == &Value::Bool(true) { "err" } else { "out" };
                let (at, replica) = (line.str("/at"), line.str("/replica"));
                format!("{at} {replica} {stream} {}", line.str("/text"))
            };
            items.iter().map(line).collect::<Vec<_>>().join("\n")
        },
    )?;
    Ok(Exit::Done)
}
