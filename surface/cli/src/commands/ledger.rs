//! `ledger`: rows, proofs, and checking a proof without trusting the server.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use oag_ledger::{ProofBundle, VerifierKey};
use serde_json::{Value, json};

use super::input;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Confirm, Connection, Output, VerifyArgs};
use crate::exit::{Exit, Trouble};
use crate::table;
use crate::value::Read;

/// Commands about the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Check the whole ledger of an installation, without its server.
    Verify(VerifyArgs),
    /// The signed head, and the key that checks it.
    Head(HeadArgs),
    /// One row.
    Show(RowArgs),
    /// A proof of one row that a third party can check.
    Proof(ProofArgs),
    /// Check a proof, without a server.
    CheckProof(CheckArgs),
    /// Erase the payload of a row; the row and its proofs stay.
    Erase(EraseArgs),
}

/// How to show the head.
#[derive(Debug, Args)]
pub(crate) struct HeadArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which row.
#[derive(Debug, Args)]
pub(crate) struct RowArgs {
    /// Its index, from 0.
    index: u64,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which row to prove.
#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    /// Its index, from 0.
    index: u64,
    /// Write the proof here instead of to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Which proof, and whose key.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The proof; `-` reads standard input.
    file: PathBuf,
    /// The public key of the ledger, as `ledger head` shows it: name+id+base64. Keep your own
    /// copy; one that comes with the proof proves nothing.
    #[arg(long, value_name = "VKEY")]
    key: String,
    #[command(flatten)]
    output: Output,
}

/// Which row to erase, and why.
#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// Its index, from 0.
    index: u64,
    /// Why; the erasure is recorded with it.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn head(args: HeadArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let head = Api::new(&args.connection)?.get(&["api", "v1", "ledger"], &[]).await?;
    table::show(
        terminal,
        args.output.format,
        &head,
        || head.text("/root"),
        || {
            let lines = [
                format!("rows        {}", head.text("/size")),
                format!("root        {}", head.str("/root")),
                format!("public key  {}", head.str("/verifier_key")),
                String::new(),
                head.text("/checkpoint"),
            ];
            lines.join("\n")
        },
    )?;
    Ok(Exit::Done)
}

pub(crate) async fn show(args: RowArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let row = api.get(&["api", "v1", "ledger", "rows", &args.index.to_string()], &[]).await?;
    table::show(
        terminal,
        args.output.format,
        &row,
        || row.text("/index"),
        || {
            let payload = match row.at("/erased") {
                Value::Bool(true) => "(erased)".to_owned(),
                _ => format!("{:#}", row.at("/payload")),
            };
            let (index, kind, at) = (row.text("/index"), row.str("/kind"), row.str("/at"));
            let (subject, hash) = (row.str("/subject"), row.str("/leaf_hash"));
            format!("row {index}  {kind}\n  at {at}\n  about {subject}\n  leaf {hash}\n{payload}")
        },
    )?;
    Ok(Exit::Done)
}

pub(crate) async fn proof(args: ProofArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let index = args.index.to_string();
    let proof = api.get_text(&["api", "v1", "ledger", "rows", &index, "proof"]).await?;
    match &args.out {
        None => terminal.data(&proof)?,
        Some(file) => {
            fs::write(file, proof.as_bytes()).map_err(|error| {
                Trouble::usage(format!("{} cannot be written: {error}", file.display()))
            })?;
            terminal.say(&format!("proof of row {index} written to {}", file.display()));
            let check = format!("openautoglm ledger check-proof {} --key VKEY", file.display());
            terminal.hint(&format!("anybody checks it with `{check}`"));
        }
    }
    Ok(Exit::Done)
}

pub(crate) async fn check(args: CheckArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let key: VerifierKey = args.key.parse().map_err(|error| {
        Trouble::usage(format!("--key is no public key of a ledger: {error}"))
            .hint("it looks like name+0123abcd+AbCd…; `openautoglm ledger head` shows it")
    })?;
    let text = input::text(&args.file, terminal).await?;
    let bundle = ProofBundle::from_json(&text)
        .map_err(|error| Trouble::usage(format!("{} is no proof: {error}", args.file.display())))?;
    let proven = bundle.verify(&key).map_err(|error| {
        Trouble::new(Exit::Failed, format!("the proof does NOT hold: {error}"))
            .hint("the row, the proof or the key was changed, or they do not belong together")
    })?;
    let payload = proven.payload.as_deref().map(String::from_utf8_lossy);
    let document = json!({
        "holds": true,
        "index": proven.index,
        "size": proven.checkpoint.size,
        "root": proven.checkpoint.root.to_string(),
        "payload": payload,
    });
    table::show(
        terminal,
        args.output.format,
        &document,
        || proven.index.to_string(),
        || {
            let (index, size) = (proven.index, proven.checkpoint.size);
            let head = format!("the proof holds: row {index} is in the ledger of {size} rows");
            match payload {
                Some(payload) => format!("{head}\n{payload}"),
                None => format!("{head}\nits payload was erased or withheld"),
            }
        },
    )?;
    Ok(Exit::Done)
}

pub(crate) async fn erase(args: EraseArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let index = args.index.to_string();
    let question = format!("Erase the payload of row {index} for ever?");
    args.confirm.ask(terminal, &question).await?;
    let api = Api::new(&args.connection)?;
    let path = ["api", "v1", "ledger", "rows", &index, "erase"];
    let answer = api.post(&path, &json!({ "reason": args.reason })).await?;
    let text = match answer.at("/erased") {
        Value::Bool(true) => format!("payload of row {index} erased"),
        _ => format!("row {index} had nothing left to erase"),
    };
    terminal.data(&text)?;
    Ok(Exit::Done)
}
