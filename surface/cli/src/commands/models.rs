//! `models`: what people do with the models of the fleet. Loading, swapping and unloading are plans
//! like all others; these commands write the catalogue's entry and the proposal.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::get::{self, GetArgs};
use super::plan::{pair, proposed};
use super::service::present;
use super::switches::ListArgs;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output};
use crate::exit::{Exit, Trouble};
use crate::resource::Resource;
use crate::value::Read;

/// Nodes that a new entry may be scaled to.
const NODES_MAX: u32 = 1_000;

/// Commands about models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// The models of the fleet.
    List(ListArgs),
    /// Propose to load a model on nodes that were started with --models-dir.
    Load(LoadArgs),
    /// Propose to serve another version, node after node.
    Swap(SwapArgs),
    /// Propose to unload a model everywhere.
    Unload(UnloadArgs),
}

/// What to load, and where.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The model; the name of its service in the catalogue.
    name: String,
    /// Its file, by its path inside the nodes' folder of models. Needed the first time.
    #[arg(long)]
    file: Option<String>,
    /// On how many nodes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// Only on nodes of this group; may be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A setting: slots, window_tokens, threads or memory; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    more: More,
}

/// What to serve instead.
#[derive(Debug, Args)]
pub(crate) struct SwapArgs {
    /// The model.
    name: String,
    /// The version to serve from now on.
    #[arg(long)]
    version: String,
    /// The file of that version, when the entry does not have it yet.
    #[arg(long)]
    file: Option<String>,
    #[command(flatten)]
    more: More,
}

/// What to unload.
#[derive(Debug, Args)]
pub(crate) struct UnloadArgs {
    /// The model.
    name: String,
    #[command(flatten)]
    more: More,
}

/// What every proposal takes.
#[derive(Debug, Args)]
struct More {
    /// Why, for those who approve and for the ledger.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: ModelsCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        ModelsCommand::List(args) => {
            get::run(GetArgs::all(Resource::Models, args.output, args.connection), terminal).await
        }
        ModelsCommand::Load(args) => load(args, terminal).await,
        ModelsCommand::Swap(args) => swap(args, terminal).await,
        ModelsCommand::Unload(args) => {
            let api = Api::new(&args.more.connection)?;
            propose(&api, vec![action("stop", &args.name, json!({}))], args.more, terminal).await
        }
    }
}

async fn load(args: LoadArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.more.connection)?;
    let known = entry(&api, &args.name).await?;
    let changed = known.is_none() || !args.groups.is_empty() || !args.settings.is_empty();
    if changed || args.file.is_some() {
        let service = wanted(known.as_ref(), &args)?;
        put(&api, &args.name, &service).await?;
    }
    let path = ["api", "v1", "services", &args.name, "observed"];
    let observed = api.get(&path, &[]).await?;
    let fields = observed.at("/fields");
    let mut actions = Vec::new();
    // What is not loaded has no node that could be counted.
    if fields.at("/running").as_bool() != Some(true) {
        actions.push(action("start", &args.name, json!({})));
    }
    if let Some(nodes) = args.nodes
        && fields.at("/replicas").as_u64() != Some(u64::from(nodes))
    {
        actions.push(action("scale", &args.name, json!({ "replicas": nodes })));
    }
    if actions.is_empty() {
        terminal.say(&format!("{} is loaded as wanted; nothing is proposed", args.name));
        return Ok(Exit::Done);
    }
    propose(&api, actions, args.more, terminal).await
}

/// The entry of a model, as the arguments have it.
fn wanted(known: Option<&Value>, args: &LoadArgs) -> anyhow::Result<Value> {
    let mut service = match (known, &args.file) {
        (Some(known), _) => known.clone(),
        (None, Some(_)) => json!({
            "name": args.name,
            "group": "models",
            "executor": "fleet",
            "scaling": {"mode": "off", "min_replicas": 0, "max_replicas": NODES_MAX},
            "spec": {},
        }),
        (None, None) => {
            let text = format!("the catalogue has no model '{}' yet", args.name);
            let hint = "say which file of the nodes' folders it is: --file FILE";
            return Err(Trouble::new(Exit::NotFound, text).hint(hint).into());
        }
    };
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(Trouble::usage(format!("the spec of {} is no object", args.name)).into());
    };
    if let Some(file) = &args.file {
        spec.insert("file".to_owned(), json!(file));
    }
    if !args.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(args.groups));
    }
    if !args.settings.is_empty() {
        let settings = args.settings.iter().cloned();
        let settings: Map<String, Value> =
            settings.map(|(name, value)| (name, Value::String(value))).collect();
        spec.insert("settings".to_owned(), Value::Object(settings));
    }
    Ok(service)
}

async fn swap(args: SwapArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.more.connection)?;
    let Some(mut service) = entry(&api, &args.name).await? else {
        let text = format!("the catalogue has no model '{}'", args.name);
        let hint = format!("load it first: `openautoglm models load {} --file FILE`", args.name);
        return Err(Trouble::new(Exit::NotFound, text).hint(hint).into());
    };
    if let Some(file) = &args.file {
        let spec = service.get_mut("spec").and_then(Value::as_object_mut);
        let versions = spec.map(|spec| spec.entry("versions").or_insert_with(|| json!({})));
        if let Some(Value::Object(versions)) = versions {
            versions.insert(args.version.clone(), json!({ "file": file }));
        }
        put(&api, &args.name, &service).await?;
    }
    let deploy = action("deploy", &args.name, json!({ "version": args.version }));
    propose(&api, vec![deploy], args.more, terminal).await
}

/// The catalogue's entry of a model; none when there is none.
async fn entry(api: &Api, name: &str) -> anyhow::Result<Option<Value>> {
    let found = present(api.get(&["api", "v1", "services", name], &[]).await)?;
    match found {
        Some(service) if service.str("/executor") != "fleet" => {
            let text =
                format!("'{name}' is a service of the executor {}", service.str("/executor"));
            let hint = "models are services of the executor 'fleet'; choose another name";
            Err(Trouble::usage(text).hint(hint).into())
        }
        found => Ok(found),
    }
}

async fn put(api: &Api, name: &str, service: &Value) -> anyhow::Result<Value> {
    let revision = service.at("/revision").as_u64();
    api.put(&["api", "v1", "services", name], service, revision).await
}

fn action(kind: &str, service: &str, params: Value) -> Value {
    json!({"kind": kind, "service": service, "params": params})
}

async fn propose(
    api: &Api,
    actions: Vec<Value>,
    more: More,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    let request = json!({"reason": more.reason, "actions": actions});
    let plan = api.post(&["api", "v1", "plans"], &request).await?;
    proposed(api, &plan, false, more.output, terminal).await
}
