//! `simulate`: how would this fleet have served these requests? The product's own scheduler, under
//! a simulated clock; nothing is executed or sent.

mod page;

use std::path::PathBuf;

use clap::Args;
use oag_schedule::balance::BalanceKind;
use oag_schedule::policy::PolicyKind;
use oag_schedule::queue::QueueConfig;
use oag_schedule::simulate::{Faults, Outcome, Point, Setup, Summary, Trace, run as simulate};
use oag_schedule::{Config, Rates};
use serde::Serialize;

use super::input;
use crate::Terminal;
use crate::args::Output;
use crate::exit::{Exit, Trouble};
use crate::table;

/// A small trace is repeated until a fleet has so many seconds to do.
const LEAST_S: f64 = 300.0;
/// Requests of one run.
const REQUESTS_MAX: usize = 20_000_000;
/// Points of the curve of waits.
const SHARES: usize = 100;

/// Recorded requests and a fleet.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Recorded requests: CSV with the columns TIMESTAMP,ContextTokens,GeneratedTokens; `-` reads
    /// standard input.
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// Workers.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    nodes: u32,
    /// Requests each worker works on at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    slots: u32,
    /// Policies to compare: fcfs, sjf, priority, mlfq, balanced (the default of the product).
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_values = ["fcfs", "balanced"])]
    policy: Vec<PolicyKind>,
    /// Shows shortest-first with the true lengths of answers as well, which nobody knows.
    #[arg(long)]
    oracle: bool,
    /// How a worker is chosen: round_robin, least_connections, address_hash, latency_aware, best.
    #[arg(long, value_name = "NAME", default_value = "best")]
    balance: BalanceKind,
    /// Work that comes, as a share of what the workers can do; the recorded times are stretched to
    /// it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = load)]
    load: f64,
    /// What goes wrong: crash=N (away for a minute), slow=N (a quarter of the speed), late=N (join
    /// later), parted by commas.
    #[arg(long, value_name = "LIST", default_value = "crash=0")]
    faults: Faults,
    /// Copies of every request, each at a moment of its own; when left out, as many as keep the
    /// fleet busy for five minutes.
    #[arg(long, value_name = "NUMBER")]
    copies: Option<usize>,
    /// Requests that may wait; more are refused.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    queue: usize,
    /// Prompt tokens a worker reads per second.
    #[arg(long, value_name = "RATE", default_value_t = Rates::default().prefill_per_s, value_parser = rate)]
    prefill: f64,
    /// Answer tokens a worker writes per second, for each request.
    #[arg(long, value_name = "RATE", default_value_t = Rates::default().decode_per_s, value_parser = rate)]
    decode: f64,
    /// Seed of the copies and of what goes wrong, and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a page with charts to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

fn load(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(load) if (0.01..=10.0).contains(&load) => Ok(load),
        _ => Err("a load is a number from 0.01 to 10".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("a rate is a number from 0.001 to 1000000000".to_owned()),
    }
}

/// What was simulated, and what came of it.
#[derive(Debug, Serialize)]
struct Comparison {
    trace: String,
    requests: usize,
    copies: usize,
    /// Time over which they come.
    arrivals_s: f64,
    nodes: u32,
    slots: u32,
    load: f64,
    balance: BalanceKind,
    queue: usize,
    faults: Faults,
    seed: u64,
    policies: Vec<Played>,
}

/// One policy's part.
#[derive(Debug, Serialize)]
struct Played {
    policy: String,
    #[serde(flatten)]
    summary: Summary,
    refused: usize,
    given_up: usize,
    /// Requests that lost their worker and were begun again.
    losses: usize,
    yields: usize,
    ended_s: f64,
    /// Mean wait of the first policy over its own.
    mean_wait_gain: f64,
    course: Vec<Point>,
    /// Waits in seconds below which 0 %, 1 %, … of the requests lie.
    waits_s: Vec<f64>,
}

impl Played {
    fn new(policy: String, outcome: &Outcome, first_mean_s: Option<f64>) -> Self {
        let (summary, waits) = outcome.figures();
        let last = waits.len().saturating_sub(1);
        let at = |share: usize| waits.get(last * share / SHARES).copied().unwrap_or_default();
        let own = summary.wait_mean_s.max(1e-9);
        Self {
            policy,
            refused: outcome.refused,
            given_up: outcome.given_up,
            losses: outcome.losses,
            yields: outcome.yields,
            ended_s: outcome.ended_s,
            mean_wait_gain: first_mean_s.map_or(1.0, |first| first.max(1e-9) / own),
            course: outcome.course.clone(),
            waits_s: (0..=SHARES).map(at).collect(),
            summary,
        }
    }
}

pub(crate) async fn run(args: SimulateArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let text = input::text(&args.trace, terminal).await?;
    let trace = Trace::parse(&text).map_err(|error| {
        Trouble::usage(format!("{}: {error}", args.trace.display()))
            .hint("docs/scheduling.md says what a trace is")
    })?;
    drop(text);
    let (trace, copies) = sized(trace, &args)?;
    let report = args.report.clone();
    let format = args.output.format;
    let work = tokio::task::spawn_blocking(move || compare(&trace, copies, &args));
    let comparison = work.await?;
    if let Some(file) = &report {
        std::fs::write(file, page::page(&comparison)).map_err(|error| {
            Trouble::usage(format!("{} cannot be written: {error}", file.display()))
        })?;
        terminal.say(&format!("report: {}", file.display()));
    }
    let document = serde_json::to_value(&comparison)?;
    let names = || {
        let names = comparison.policies.iter().map(|played| played.policy.as_str());
        names.collect::<Vec<_>>().join("\n")
    };
    table::show(terminal, format, &document, names, || in_text(&comparison))?;
    Ok(Exit::Done)
}

/// The trace repeated and stretched for the fleet, and how often it was repeated.
fn sized(trace: Trace, args: &SimulateArgs) -> Result<(Trace, usize), Trouble> {
    if args.faults.workers() > args.nodes as usize {
        return Err(Trouble::usage("there are more faults than workers"));
    }
    let slots = args.nodes as usize * args.slots as usize;
    let rates = rates(args);
    let able_s = LEAST_S * args.load * slots as f64;
    // Positive; the cast saturates.
    let enough = (able_s / trace.work_s(&rates).max(1e-6)).ceil() as usize;
    let copies = args.copies.unwrap_or(enough).max(1);
    let requests = trace.arrivals().len().saturating_mul(copies);
    if requests > REQUESTS_MAX {
        let text = format!("{requests} requests are more than {REQUESTS_MAX} in one run");
        return Err(Trouble::usage(text).hint("ask for less with --copies"));
    }
    Ok((trace.copies(copies, args.seed).at_load(args.load, slots, &rates), copies))
}

const fn rates(args: &SimulateArgs) -> Rates {
    Rates { prefill_per_s: args.prefill, decode_per_s: args.decode }
}

/// Every policy on the same requests and faults.
fn compare(trace: &Trace, copies: usize, args: &SimulateArgs) -> Comparison {
    let named = |kind: &PolicyKind| (kind.name().to_owned(), kind.clone(), false);
    let oracle = args.oracle.then(|| ("sjf, oracle".to_owned(), PolicyKind::Sjf, true));
    let mut policies: Vec<Played> = Vec::new();
    for (name, kind, oracle) in args.policy.iter().map(named).chain(oracle) {
        let mut queue = QueueConfig::of(kind);
        queue.bounds.tasks_max = args.queue;
        let config = Config { queue, balance: args.balance, ..Config::default() };
        let mut setup = Setup::new(args.nodes as usize, config);
        (setup.slots, setup.rates, setup.oracle) = (args.slots, rates(args), oracle);
        (setup.faults, setup.seed) = (args.faults, args.seed);
        let (outcome, _) = simulate(trace, &setup);
        let first = policies.first().map(|first| first.summary.wait_mean_s);
        policies.push(Played::new(name, &outcome, first));
    }
    Comparison {
        trace: args.trace.display().to_string(),
        requests: trace.arrivals().len(),
        copies,
        arrivals_s: trace.duration_s(),
        nodes: args.nodes,
        slots: args.slots,
        load: args.load,
        balance: args.balance,
        queue: args.queue,
        faults: args.faults,
        seed: args.seed,
        policies,
    }
}

/// What a table says of each policy.
const TITLES: [&str; 9] = [
    "policy",
    "mean wait",
    "better by",
    "p99 wait",
    "longest wait",
    "mean response",
    "served",
    "refused",
    "begun again",
];

/// What stands under them.
fn cells(played: &Played) -> [String; TITLES.len()] {
    let Played { policy, summary, mean_wait_gain, refused, given_up, losses, .. } = played;
    [
        policy.clone(),
        seconds(summary.wait_mean_s),
        format!("{mean_wait_gain:.2}x"),
        seconds(summary.wait_p99_s),
        seconds(summary.wait_max_s),
        seconds(summary.response_mean_s),
        summary.tasks.to_string(),
        (refused + given_up).to_string(),
        losses.to_string(),
    ]
}

fn in_text(comparison: &Comparison) -> String {
    let rows = comparison.policies.iter().map(|played| cells(played).to_vec()).collect();
    format!("{}\n\n{}", in_a_line(comparison), table::table(TITLES.to_vec(), rows))
}

/// What was simulated, for people.
fn in_a_line(comparison: &Comparison) -> String {
    let Comparison { requests, copies, arrivals_s, nodes, slots, load, balance, seed, .. } =
        comparison;
    let Faults { crash, slow, late } = comparison.faults;
    let copied = if *copies > 1 { format!(" ({copies} of each)") } else { String::new() };
    let faults = match comparison.faults.workers() {
        0 => "no faults".to_owned(),
        _ => format!("{crash} crash, {slow} slow, {late} late"),
    };
    format!(
        "{requests} requests{copied} within {arrivals_s:.0} s, {nodes} workers of {slots} slots, \
         load {load}, {}, {faults}, seed {seed}",
        balance.name()
    )
}

/// Three digits that matter.
fn seconds(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0} s"),
        _ if value >= 10.0 => format!("{value:.1} s"),
        _ if value >= 1.0 => format!("{value:.2} s"),
        _ => format!("{:.0} ms", value * 1e3),
    }
}
