//! Benchmarks of what the product promises: `oag-bench --help`, and `docs/benchmarks.md` for the
//! figures.
//!
//! Owns: setting up the real parts at the promised size, measuring them, and holding the figures
//! against their goals. Refuses: asserting times (a busy machine is no defect) and parts of its own
//! where the product has some; what the binary alone wires is repeated here as small as it can be.

mod analyze;
mod decide;
mod engine;
mod figures;
mod http;
mod ingest;
mod ledger;
mod machine;
mod nodes;
mod report;
mod scaling;
mod schedule;
mod series;
mod store;
mod world;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::machine::Machine;
use crate::report::{Report, Run};

/// Measures the product's promises.
#[derive(Debug, Parser)]
#[command(name = "oag-bench", version)]
struct Options {
    /// What to measure; when left out, everything that needs no file of yours.
    #[command(subcommand)]
    bench: Option<Bench>,
    #[command(flatten)]
    common: Common,
}

/// What every benchmark takes.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Scaled down to a second or two: shows that it runs, not how fast.
    #[arg(long, global = true)]
    quick: bool,
    /// Prints JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Where stores are made, for a disk other than that of the temporary directory.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// An empty PostgreSQL database to measure as well; rows are left in it.
    #[arg(long, global = true, value_name = "URL")]
    postgres: Option<String>,
    /// A running server to ask over HTTP in place of one within this process.
    #[arg(long, global = true, value_name = "URL", requires = "api_key")]
    url: Option<String>,
    /// Its API key.
    #[arg(long, global = true, value_name = "KEY", env = "OAG_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
enum Bench {
    /// A step of the loop at full size: signals in, detectors, forecasts, decisions.
    Decide(decide::Size),
    /// Signals taken in per second, in memory and over HTTP.
    Ingest,
    /// Latency of one analysis, as a function and over HTTP.
    Analyze,
    /// Ledger rows appended, verified and proven per second.
    Ledger,
    /// Latency of durable commits.
    Store,
    /// Bytes a sample costs on the disk, and samples stored per second.
    Series(series::Size),
    /// Overload and cost of the forecasting rule against the reactive one, replayed over windows of
    /// a real recording.
    Scaling(scaling::Question),
    /// Waits under each scheduling policy, simulated over a real recording of language-model
    /// requests, and what a decision costs.
    Schedule(schedule::Question),
    /// Tokens of the engine for GGUF files, beside llama.cpp's own measurement of the same file.
    Engine(engine::Question),
    /// Idle nodes held with their heartbeats, and what each costs the controller.
    Nodes(nodes::Size),
    /// The controller's part of `nodes`.
    #[command(hide = true)]
    NodesController,
}

impl Common {
    /// A directory of its own for one benchmark.
    fn scratch(&self) -> anyhow::Result<tempfile::TempDir> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("oag-bench-");
        let made = match &self.dir {
            Some(dir) => builder.tempdir_in(dir),
            None => builder.tempdir(),
        };
        made.context("no directory for the benchmark's data")
    }
}

fn main() -> anyhow::Result<ExitCode> {
    // A process that runs a model for another one sets nothing else up.
    if std::env::args_os().nth(1).is_some_and(|first| first == oag_engine::ENGINE_CHILD) {
        return Ok(oag_engine::engine_child());
    }
    let options = Options::parse();
    let machine = Machine::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if matches!(options.bench, Some(Bench::NodesController)) {
        return runtime.block_on(nodes::serve()).map(|()| ExitCode::SUCCESS);
    }
    let wanted = options.bench.map_or_else(all, |bench| vec![bench]);
    let mut reports = Vec::new();
    for bench in wanted {
        reports.push(runtime.block_on(Box::pin(measure(bench, &options.common)))?);
    }
    let run = Run { machine, quick: options.common.quick, reports };
    let mut out = std::io::stdout().lock();
    if options.common.json {
        serde_json::to_writer_pretty(&mut out, &run)?;
        writeln!(out)?;
    } else {
        run.write_text(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The one that reports memory first: what ran before it in the process would count.
fn all() -> Vec<Bench> {
    vec![
        Bench::Decide(decide::Size::default()),
        Bench::Ingest,
        Bench::Analyze,
        Bench::Ledger,
        Bench::Store,
        Bench::Series(series::Size::default()),
        Bench::Scaling(scaling::Question::default()),
        Bench::Schedule(schedule::Question::default()),
        Bench::Nodes(nodes::Size::new()),
    ]
}

async fn measure(bench: Bench, common: &Common) -> anyhow::Result<Report> {
    match bench {
        Bench::Decide(size) => decide::measure(size, common).await.context("decide"),
        Bench::Engine(question) => engine::measure(question, common).await.context("engine"),
        Bench::Nodes(size) => nodes::measure(size, common).await.context("nodes"),
        // Served before anything is measured.
        Bench::NodesController => anyhow::bail!("it is no benchmark of its own"),
        Bench::Ingest => ingest::measure(common).await.context("ingest"),
        Bench::Analyze => analyze::measure(common).await.context("analyze"),
        Bench::Ledger => ledger::measure(common).await.context("ledger"),
        Bench::Store => store::measure(common).await.context("store"),
        Bench::Series(size) => series::measure(size, common).context("series"),
        Bench::Scaling(question) => scaling::measure(&question, common).context("scaling"),
        Bench::Schedule(question) => schedule::measure(&question, common).context("schedule"),
    }
}
