//! `nodes`: what people do with nodes of the fleet.

use clap::{Args, Subcommand};
use serde_json::json;

use super::get::{self, GetArgs};
use super::switches::ListArgs;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output};
use crate::exit::Exit;
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
    /// End a node's session; its work goes to others at once, and it may come back.
    Disconnect(NodeArgs),
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
        NodesCommand::Disconnect(args) => operate("disconnect", args, terminal).await,
    }
}

async fn operate(what: &str, args: NodeArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let path = ["api", "v1", "nodes", &args.node, what];
    let node = api.post(&path, &json!({ "reason": args.reason })).await?;
    let state = || format!("{} is {}", args.node, node.str("/state"));
    table::show(terminal, args.output.format, &node, || args.node.clone(), state)?;
    Ok(Exit::Done)
}
