//! `cargo xtask check`: the rules of the house that no compiler knows.

mod docs;
mod floors;
mod graph;
mod problem;
mod ratchet;
mod size;
mod source;
mod words;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::problem::Problem;

const USAGE: &str = "\
usage: cargo xtask check [--tighten]

  check      floors, heavy dependencies, depth, sizes, words, error pages, links
  --tighten  lower the sizes in xtask/ratchet.toml to those of today
";

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => check(false),
        ["check", "--tighten"] => check(true),
        ["help" | "--help" | "-h"] => {
            write!(std::io::stdout(), "{USAGE}")?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            write!(std::io::stderr(), "{USAGE}")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn check(tighten: bool) -> anyhow::Result<ExitCode> {
    let root = root()?;
    let graph = graph::Graph::read(&root)?;
    let files = source::read(&root)?;

    let mut problems = Vec::new();
    problems.extend(floors::check(&graph));
    problems.extend(floors::check_heavy(&graph, |package| graph::tree(&root, package))?);
    problems.extend(size::check_crates(&graph, &files));
    problems.extend(ratchet::check(&root, &files, tighten)?);
    problems.extend(words::check(&files));
    problems.extend(docs::check(&root, &files));

    let mut out = std::io::stdout().lock();
    for Problem { place, what, hint } in &problems {
        writeln!(out, "{place}: {what}\n  hint: {hint}")?;
    }
    writeln!(out, "{} crates, {} files, {} problems", graph.len(), files.len(), problems.len())?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn root() -> anyhow::Result<PathBuf> {
    // Asked when it runs: a build cache shared by several clones would remember another's path.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    let root = Path::new(&here).parent();
    Ok(root.context("xtask lies in no workspace")?.to_owned())
}
