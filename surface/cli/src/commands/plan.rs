//! `plan`: proposing, and looking at what a proposal would be.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::{describe, input};
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output, duration};
use crate::exit::{Exit, Trouble};
use crate::show;
use crate::table;
use crate::value::Read;

/// What to do, to what, and why.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// What kind of action; `openautoglm get kinds` lists them.
    #[arg(required_unless_present = "file")]
    kind: Option<String>,
    /// On which service.
    #[arg(required_unless_present = "file")]
    service: Option<String>,
    /// Wanted number of replicas; the same as --param replicas=NUMBER.
    #[arg(long, value_name = "NUMBER")]
    replicas: Option<u32>,
    /// A parameter of the kind; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, conflicts_with = "params")]
    param: Vec<(String, String)>,
    /// All parameters at once.
    #[arg(long, value_name = "JSON", conflicts_with = "replicas")]
    params: Option<String>,
    /// Why, for those who approve and for the ledger.
    #[arg(long, required_unless_present = "file")]
    reason: Option<String>,
    /// A proposal with several actions as YAML or JSON, in place of the above; `-` reads standard
    /// input.
    #[arg(short, long, conflicts_with_all = ["kind", "replicas", "param", "params", "reason"])]
    file: Option<PathBuf>,
    /// The story it belongs to, sty_…; a new one when left out.
    #[arg(long)]
    story: Option<String>,
    /// How long it may wait, such as 15m.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    expires: Option<std::time::Duration>,
    /// Record nothing: only show what would be sent (client), or what the plan and the verdict
    /// would be (server).
    #[arg(long, value_enum, value_name = "WHERE")]
    dry_run: Option<DryRun>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DryRun {
    /// Show the request; nothing is sent.
    Client,
    /// Let the server draft and judge it; nothing is recorded.
    Server,
}

/// Reads `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

pub(crate) async fn run(args: PlanArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    if args.dry_run == Some(DryRun::Client) {
        let request = request(&args, &Value::Null, terminal).await?;
        table::show(terminal, args.output.format, &request, String::new, || {
            format!("would be sent to POST /api/v1/plans\n{request:#}")
        })?;
        return Ok(Exit::Done);
    }
    let api = Api::new(&args.connection)?;
    let kinds = match args.param.is_empty() {
        true => Value::Null,
        false => api.get(&["api", "v1", "kinds"], &[]).await?,
    };
    let request = request(&args, &kinds, terminal).await?;
    let dry = args.dry_run == Some(DryRun::Server);
    let query: &[(&str, String)] = if dry { &[("dry_run", "true".to_owned())] } else { &[] };
    let plan = api.post_with(&["api", "v1", "plans"], query, &request).await?;
    proposed(&api, &plan, dry, args.output, terminal).await
}

/// Shows a plan that was proposed, and what may be done with it.
pub(super) async fn proposed(
    api: &Api,
    plan: &Value,
    dry: bool,
    output: Output,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    let states = describe::states(api, plan).await;
    table::show(
        terminal,
        output.format,
        plan,
        || plan.text("/id"),
        || show::plan(plan, &states, terminal.now()),
    )?;
    if plan.str("/verdict/decision") == "deny" {
        terminal.hint("the guard refuses it; the reasons above say what to change");
        return Ok(Exit::Failed);
    }
    if dry {
        terminal.say("dry run: nothing was recorded");
        terminal.hint("say it again without --dry-run to record it");
    } else {
        terminal.hint(&format!("`openautoglm apply {}` sets it to work", plan.str("/id")));
    }
    Ok(Exit::Done)
}

async fn request(args: &PlanArgs, kinds: &Value, terminal: &Terminal) -> anyhow::Result<Value> {
    let mut request = match &args.file {
        Some(file) => input::document(file, terminal).await?,
        None => json!({
            "reason": args.reason,
            "actions": [{
                "kind": args.kind,
                "service": args.service,
                "params": params(args, kinds)?,
            }],
        }),
    };
    let Some(members) = request.as_object_mut() else {
        let text = "a proposal is a document with the members reason and actions";
        return Err(Trouble::usage(text).into());
    };
    if let Some(story) = &args.story {
        members.insert("story".to_owned(), json!(story));
    }
    if let Some(expires) = args.expires {
        members.insert("expires_in_ms".to_owned(), json!(expires.as_secs() * 1_000));
    }
    Ok(request)
}

fn params(args: &PlanArgs, kinds: &Value) -> anyhow::Result<Value> {
    if let Some(text) = &args.params {
        return match serde_json::from_str(text) {
            Ok(Value::Object(params)) => Ok(Value::Object(params)),
            Ok(_) => Err(Trouble::usage("--params: a JSON object is expected").into()),
            Err(error) => Err(Trouble::usage(format!("--params is no JSON: {error}")).into()),
        };
    }
    let mut params = Map::new();
    if let Some(replicas) = args.replicas {
        params.insert("replicas".to_owned(), json!(replicas));
    }
    let kind = kinds.list("/items").iter().find(|k| Some(k.str("/kind")) == args.kind.as_deref());
    for (name, text) in &args.param {
        let schema = kind.map(|kind| kind.at("/params_schema/properties").at(&format!("/{name}")));
        // `version=1.10` is a text where the kind says so.
        let is_text = schema.is_some_and(|schema| schema.str("/type") == "string");
        let value = match serde_json::from_str(text) {
            Ok(value) if !is_text => value,
            _ => Value::String(text.clone()),
        };
        params.insert(name.clone(), value);
    }
    Ok(Value::Object(params))
}
