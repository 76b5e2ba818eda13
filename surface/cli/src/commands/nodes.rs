//! `nodes`: what people do with nodes of the fleet.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use oag_cluster::{Inventory, Listed};
use oag_types::NodeName;
use serde_json::{Value, json};

use super::get::{self, GetArgs};
use super::switches::ListArgs;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output};
use crate::exit::{Exit, Trouble};
use crate::resource::Resource;
use crate::table;
use crate::value::Read;

/// Commands about nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodesCommand {
    /// The nodes of the fleet.
    List(ListArgs),
    /// Give a node nothing new; what it has it finishes.
    Cordon(NodeArgs),
    /// Let a node work again.
    Uncordon(NodeArgs),
    /// Let a node of another machine join: prints the line to paste there.
    Enrol(EnrolArgs),
    /// Check an inventory, and show what it says of each node; nothing is sent.
    Inventory(InventoryArgs),
    /// Revoke the certificates of a node; its connection ends at once.
    Revoke(NodeArgs),
    /// End a node's session; its work goes to others at once, and it may come back.
    Disconnect(NodeArgs),
}

/// Who may join, and how long.
#[derive(Debug, Args)]
pub(crate) struct EnrolArgs {
    /// The only node that may use the token; any when left out.
    #[arg(long)]
    node: Option<String>,
    /// How long the token is good, in minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=10_080))]
    minutes: i64,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which file.
#[derive(Debug, Args)]
pub(crate) struct InventoryArgs {
    /// The inventory, in INI or YAML form.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Which node, and why.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node.
    node: String,
    /// Why, for the ledger.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: NodesCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        NodesCommand::List(args) => {
            get::run(GetArgs::all(Resource::Nodes, args.output, args.connection), terminal).await
        }
        NodesCommand::Cordon(args) => operate("cordon", args, terminal).await,
        NodesCommand::Uncordon(args) => operate("uncordon", args, terminal).await,
        NodesCommand::Inventory(args) => inventory(&args, terminal),
        NodesCommand::Enrol(args) => enrol(args, terminal).await,
        NodesCommand::Revoke(args) => operate("revoke", args, terminal).await,
        NodesCommand::Disconnect(args) => operate("disconnect", args, terminal).await,
    }
}

fn inventory(args: &InventoryArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Trouble::usage(format!("{}: {error}", args.file.display())))?;
    let inventory = Inventory::parse(&text)
        .map_err(|error| Trouble::usage(format!("{}: {error}", args.file.display())))?;
    let host = |(name, listed): (&NodeName, &Listed)| json!({"name": name, "role": listed.role, "groups": listed.groups});
    let hosts: Vec<Value> = inventory.hosts().map(host).collect();
    let names = || hosts.iter().map(|host| host.text("/name")).collect::<Vec<_>>().join("\n");
    let lines = || {
        let line = |host: &Value| {
            let role = host.at("/role").as_str().unwrap_or("as it says");
            let groups = host.list("/groups").iter().filter_map(Value::as_str);
            let groups = groups.collect::<Vec<_>>().join(", ");
            vec![host.text("/name"), role.to_owned(), groups]
        };
        table::table(vec!["NAME", "ROLE", "GROUPS"], hosts.iter().map(line).collect())
    };
    let document = json!({ "items": hosts });
    table::show(terminal, args.output.format, &document, names, lines)?;
    Ok(Exit::Done)
}

async fn operate(what: &str, args: NodeArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let path = ["api", "v1", "nodes", &args.node, what];
    let node = api.post(&path, &json!({ "reason": args.reason })).await?;
    let state = || match what {
        "revoke" => format!("the certificates of {} are revoked", args.node),
        _ => format!("{} is {}", args.node, node.str("/state")),
    };
    table::show(terminal, args.output.format, &node, || args.node.clone(), state)?;
    Ok(Exit::Done)
}

async fn enrol(args: EnrolArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let wanted = json!({ "node": args.node, "valid_ms": args.minutes * 60_000 });
    let minted = api.post(&["api", "v1", "node-tokens"], &wanted).await?;
    let name = || minted.text("/id");
    let line = || {
        let node = args.node.as_ref().map(|node| format!(" --node-id {node}")).unwrap_or_default();
        format!(
            "openautoglm worker --controller https://{} --token {}{node} --model NAME …",
            minted.str("/address"),
            minted.str("/token"),
        )
    };
    table::show(terminal, args.output.format, &minted, name, line)?;
    terminal.hint("the token is good once and is not shown again");
    Ok(Exit::Done)
}
