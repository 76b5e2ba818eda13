//! `ledger verify`: reads every row of an installation and holds it against every checkpoint that
//! can be found, in the store and outside of it.

use std::fs;
use std::io::IsTerminal;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use oag_cli::VerifyArgs;
use oag_ledger::{Checkpoint, Frontier, Report, Verifier, VerifierKey};
use oag_store::LedgerReader;
use oag_types::Tenant;
use serde::Deserialize;
use serde_json::json;

use crate::config::Config;
use crate::data::DataDir;
use crate::eval::print;
use crate::truth::{Truth, runtime};
use crate::wiring::checkpoint_folder;

const PAGE: usize = 4_096;
/// Tiles in one read.
const TILES: usize = 256;
/// Levels of the tree that are looked at: more than 256^6 rows are in no ledger.
const LEVELS: u8 = 8;

/// What of the command line needs the data directory itself.
pub(crate) struct LocalLedger;

impl oag_cli::Local for LocalLedger {
    fn verify_ledger(&self, args: &VerifyArgs) -> Result<ExitCode> {
        verify(args)
    }
}

/// A checkpoint as it is kept in the store and in exported files.
#[derive(Debug, Deserialize)]
struct Kept {
    note: String,
}

fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let data = DataDir::existing(&args.data)?;
    let truth = Truth::of(&data, args.postgres.as_deref())?;
    let tenant = &args.tenant;
    let name = data.installation()?;
    let key = data.log_keys()?.of(tenant)?.verifier();
    let files = match args.checkpoint.as_slice() {
        [] => exported(&Config::checkpoint_dir_of(&data)?, &name, tenant),
        named => named.to_vec(),
    };
    let mut outside = Vec::new();
    for file in &files {
        outside.extend(read_checkpoints(file, &key)?);
    }
    let count = outside.len();
    let report = runtime()?.block_on(async {
        let reader = truth.ledger().await?;
        let stored = reader.bodies(tenant, "checkpoint").await?;
        let stored = stored.iter().map(|body| open(body, &key)).collect::<Result<Vec<_>>>()?;
        run(&reader, tenant, outside, stored).await
    })?;
    let text = if args.json() { as_json(&report, &files) } else { as_text(&report, count) };
    print(&text)?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// One pass over rows and stored tree: each tile before the last row it covers, each node right
/// after.
async fn run(
    reader: &LedgerReader,
    tenant: &Tenant,
    outside: Vec<Checkpoint>,
    stored: Vec<Checkpoint>,
) -> Result<Report> {
    let mut verifier = Verifier::new(outside).with_stored_checkpoints(stored);
    let mut from = 0;
    let progress = std::io::stderr().is_terminal();
    loop {
        let rows = reader.rows(tenant, from, PAGE).await?;
        let Some(last) = rows.last() else { break };
        let next = last.index + 1;
        push_tiles(reader, tenant, &mut verifier, from..next).await?;
        let first_tile = from / 256;
        let tiles = usize::try_from(next / 256 - first_tile).unwrap_or(PAGE) + 1;
        let nodes = reader.nodes(tenant, 1, first_tile, tiles).await?;
        let mut nodes = nodes
            .into_iter()
            .filter(|n| (from..next).contains(&((n.index + 1) * 256 - 1)))
            .peekable();
        for row in &rows {
            verifier.push(row);
            while let Some(node) = nodes.next_if(|n| (n.index + 1) * 256 - 1 == row.index) {
                verifier.push_node(node);
            }
        }
        from = next;
        if progress {
            anstream::eprint!("\r{from} rows");
        }
    }
    if progress {
        anstream::eprintln!();
    }
    // Nodes and tiles beyond the last row, and nodes of higher levels: few, and order no longer
    // matters.
    push_tiles(reader, tenant, &mut verifier, from..u64::MAX).await?;
    for node in reader.nodes(tenant, 1, from / 256, PAGE).await? {
        verifier.push_node(node);
    }
    for level in 2..LEVELS {
        let mut first = 0;
        loop {
            let nodes = reader.nodes(tenant, level, first, PAGE).await?;
            let Some(last) = nodes.last() else { break };
            first = last.index + 1;
            nodes.into_iter().for_each(|node| verifier.push_node(node));
        }
    }
    let frontier = Frontier::parse(&reader.frontier(tenant).await?)
        .context("the stored frontier of the tree is damaged")?;
    Ok(verifier.finish(&frontier))
}

/// The tiles of all levels whose last row is one of these.
async fn push_tiles(
    reader: &LedgerReader,
    tenant: &Tenant,
    verifier: &mut Verifier,
    rows: Range<u64>,
) -> Result<()> {
    for level in 0..LEVELS - 1 {
        let covered = 256_u64.pow(u32::from(level) + 1);
        let (mut first, end) = (rows.start / covered, rows.end / covered);
        while first < end {
            let most = usize::try_from(end - first).unwrap_or(TILES).min(TILES);
            let tiles = reader.tiles(tenant, level, first, most).await?;
            let Some((last, _)) = tiles.last() else { break };
            first = last.saturating_add(1);
            for (index, bytes) in tiles.into_iter().filter(|(index, _)| *index < end) {
                verifier.push_tile(level, index, bytes);
            }
        }
    }
    Ok(())
}

/// The automatically exported file of a tenant, when it exists.
fn exported(dir: &Path, installation: &str, tenant: &Tenant) -> Vec<PathBuf> {
    let file = checkpoint_folder(dir, installation).join(format!("{tenant}.checkpoints"));
    if file.is_file() { vec![file] } else { Vec::new() }
}

/// Checkpoints of a file: one signed note, or a line of JSON each as the product exports them.
/// Of a directory: those of its files.
fn read_checkpoints(path: &Path, key: &VerifierKey) -> Result<Vec<Checkpoint>> {
    if path.is_dir() {
        let mut found = Vec::new();
        for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
            found.extend(read_checkpoints(&entry?.path(), key)?);
        }
        return Ok(found);
    }
    let text = fs::read_to_string(path)
        .with_context(|| format!("the checkpoints in {} cannot be read", path.display()))?;
    if !text.starts_with('{') {
        let note = Checkpoint::open(&text, key);
        return Ok(vec![
            note.with_context(|| format!("{} is no checkpoint of this ledger", path.display()))?,
        ]);
    }
    text.lines().map(|line| open(line, key)).collect()
}

fn open(body: &str, key: &VerifierKey) -> Result<Checkpoint> {
    let kept: Kept = serde_json::from_str(body).context("a kept checkpoint is damaged")?;
    match Checkpoint::open(&kept.note, key) {
        Ok(checkpoint) => Ok(checkpoint),
        Err(error) => bail!(
            "a kept checkpoint is not signed by this installation's key ({error}): the key or the \
             checkpoint was replaced"
        ),
    }
}

fn as_text(report: &Report, outside: usize) -> String {
    let rows = format!("{} rows ({} erased)", report.rows, report.erased);
    let kept =
        format!("{} checkpoints match, {outside} of them kept outside", report.checkpoints_matched);
    let Some(problem) = &report.problem else {
        let root = report.root.map(|root| root.to_string()).unwrap_or_default();
        let mut text = format!("ledger sound: {rows}, root {root}\n{kept}");
        if outside == 0 {
            text.push_str(
                "\nnote: no checkpoint kept outside was found, so a rewrite of everything would \
                 not be seen",
            );
        }
        return text;
    };
    let mut text = format!("ledger NOT sound: {problem}\n{rows} read, {kept}");
    if let Some(last) = &report.last_match {
        text.push_str(&format!("\nlast matching checkpoint: {} rows", last.size));
    }
    if let Some(first) = &report.first_fail {
        text.push_str(&format!("\nfirst failing checkpoint: {} rows", first.size));
    }
    text
}

fn as_json(report: &Report, files: &[PathBuf]) -> String {
    let size = |c: &Option<Checkpoint>| c.as_ref().map(|c| c.size);
    let value = json!({
        "sound": report.is_sound(),
        "rows": report.rows,
        "erased": report.erased,
        "root": report.root.map(|root| root.to_string()),
        "checkpoints_matched": report.checkpoints_matched,
        "last_match": size(&report.last_match),
        "first_fail": size(&report.first_fail),
        "problem": report.problem.as_ref().map(ToString::to_string),
        "first_rows": report.problem.as_ref().map(|p| (p.rows().start, p.rows().end)),
        "checkpoint_files": files,
    });
    value.to_string()
}
