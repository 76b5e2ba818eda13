//! Who waits how long under each policy, on a real recording (`bench/data/NOTICE`), and what a
//! decision costs. But for that cost nothing is timed: the figures are the same on every machine.
//!
//! The first half of the recording is what constants were chosen on and what the predictor learned
//! from; the second half is judged. The predictor is given what is known when a request comes: the
//! model and the tokens of the prompt, since that is all this recording has.

mod decisions;

use anyhow::Context as _;
use clap::Args;
use oag_schedule::length::{Ending, Facts, Predictor};
use oag_schedule::policy::{Balanced, MlfqConfig, PolicyKind};
use oag_schedule::queue::{Patience, QueueConfig};
use oag_schedule::simulate::{Setup, Summary, Trace, run};
use oag_schedule::{Config, Rates};

use crate::Common;
use crate::report::{Goal, Report};

const RECORDING: &str = include_str!("../../data/azure_llm_2023_conv.csv");
/// Rows of a quick run.
const QUICK_ROWS: usize = 1_500;
/// The load at which the default is judged, and what is promised there of the second half.
const GATE_LOAD: f64 = 0.9;
const MEAN_GAIN: f64 = 1.35;
const MAX_RATIO: f64 = 1.35;

/// What is simulated.
#[derive(Debug, Clone, Args)]
pub(crate) struct Question {
    /// Slots of the worker at which all policies are compared.
    #[arg(long, default_value_t = 8)]
    slots: u32,
    /// Loads, as shares of what the slots can do.
    #[arg(long, value_delimiter = ',', default_values_t = [0.7, 0.9, 1.0])]
    load: Vec<f64>,
    /// Tries other patience on the first half as well, as the default was chosen.
    #[arg(long)]
    choose: bool,
}

impl Default for Question {
    fn default() -> Self {
        Self { slots: 8, load: vec![0.7, 0.9, 1.0], choose: false }
    }
}

/// A part of the recording, with what was learned before it.
struct Part {
    name: &'static str,
    trace: Trace,
    predictor: Predictor,
}

/// A policy under a name.
struct Contender {
    name: String,
    queue: QueueConfig,
    oracle: bool,
}

impl Contender {
    fn new(name: impl Into<String>, queue: QueueConfig) -> Self {
        Self { name: name.into(), queue, oracle: false }
    }
}

/// Simulates, and measures decisions.
pub(crate) fn measure(question: &Question, common: &Common) -> anyhow::Result<Report> {
    let parts = parts(common.quick)?;
    let rates = Rates::default();
    let setting = format!(
        "{} requests in each half; {} prompt tokens/s and {} answer tokens/s a sequence",
        parts.iter().map(|part| part.trace.arrivals().len()).max().unwrap_or_default(),
        rates.prefill_per_s,
        rates.decode_per_s,
    );
    let mut report = Report::new("schedule", setting);
    for part in &parts {
        for load in &question.load {
            policies(&mut report, part, *load, question.slots);
        }
        gate(&mut report, part, common.quick);
        frontier(&mut report, part, question.slots, common.quick);
    }
    if question.choose {
        choose(&mut report, &parts);
    }
    decisions::measure(&mut report, &parts, common.quick)?;
    Ok(report)
}

fn parts(quick: bool) -> anyhow::Result<Vec<Part>> {
    let rows = if quick { QUICK_ROWS } else { usize::MAX };
    let text: Vec<&str> = RECORDING.lines().take(rows.saturating_add(1)).collect();
    let whole = Trace::parse(&text.join("\n")).context("the recording")?;
    let (first, second) = whole.halves().context("the recording's halves")?;
    let mut taught = Predictor::default();
    for arrival in first.arrivals() {
        let facts = facts(arrival.prompt);
        taught.learn(&facts, "default", Ending::Complete(arrival.answer));
    }
    Ok(vec![
        Part { name: "first half", trace: first, predictor: Predictor::default() },
        Part { name: "second half", trace: second, predictor: taught },
    ])
}

/// What is known of a request when it comes.
fn facts(prompt_tokens: u32) -> Facts {
    Facts { model: "model".to_owned(), prompt_tokens, ..Facts::default() }
}

/// Waits of a part on one worker. Nothing is refused: what is compared is the order.
fn waits(part: &Part, load: f64, slots: u32, contender: &Contender) -> Summary {
    let mut queue = contender.queue.clone();
    queue.bounds.tasks_max = usize::MAX;
    queue.bounds.tokens_max = u64::MAX;
    let mut setup = Setup::new(1, Config { queue, ..Config::default() });
    setup.slots = slots;
    setup.predictor = part.predictor.clone();
    setup.oracle = contender.oracle;
    let trace = part.trace.at_load(load, slots as usize, &setup.rates);
    run(&trace, &setup).0.summary()
}

fn contenders() -> Vec<Contender> {
    let of = |name: &str, kind| Contender::new(name, QueueConfig::of(kind));
    let mlfq = |entry| PolicyKind::Mlfq(MlfqConfig { entry, ..MlfqConfig::default() });
    let oracle = |contender: Contender| Contender { oracle: true, ..contender };
    vec![
        of("fcfs", PolicyKind::Fcfs),
        of("sjf", PolicyKind::Sjf),
        of("priority", PolicyKind::Priority(Default::default())),
        of("mlfq", mlfq(0)),
        of("mlfq, entry at level 2", mlfq(1)),
        of("default", PolicyKind::default()),
        oracle(of("sjf, oracle", PolicyKind::Sjf)),
        oracle(of("default, oracle", PolicyKind::default())),
    ]
}

fn policies(report: &mut Report, part: &Part, load: f64, slots: u32) {
    for contender in contenders() {
        let found = waits(part, load, slots, &contender);
        let name = |what: &str| format!("{}, load {load}, {}: {what}", part.name, contender.name);
        report.row(name("mean wait"), found.wait_mean_s, "s");
        report.row(name("p99 wait"), found.wait_p99_s, "s");
        report.row(name("maximum wait"), found.wait_max_s, "s");
    }
}

/// The default against the order of arrival, on small and large workers.
fn gate(report: &mut Report, part: &Part, quick: bool) {
    let fcfs = Contender::new("fcfs", QueueConfig::of(PolicyKind::Fcfs));
    let default = Contender::new("default", QueueConfig::default());
    for slots in if quick { vec![8] } else { vec![1, 8, 32] } {
        let base = waits(part, GATE_LOAD, slots, &fcfs);
        let own = waits(part, GATE_LOAD, slots, &default);
        let name = |what: &str| format!("{}, {slots} slots: {what}", part.name);
        let gain = base.wait_mean_s / own.wait_mean_s.max(1e-9);
        let longest = own.wait_max_s / base.wait_max_s.max(1e-9);
        if part.name == "second half" {
            report.promise(name("mean wait better by"), gain, "x", Goal::AtLeast(MEAN_GAIN));
            report.promise(name("maximum wait"), longest, "x fcfs", Goal::AtMost(MAX_RATIO));
        } else {
            report.row(name("mean wait better by"), gain, "x");
            report.row(name("maximum wait"), longest, "x fcfs");
        }
    }
}

/// Mean gain against the maximum, over the share of dispatches that go to the oldest from the first
/// moment on, and over patience.
fn frontier(report: &mut Report, part: &Part, slots: u32, quick: bool) {
    let base =
        waits(part, GATE_LOAD, slots, &Contender::new("fcfs", QueueConfig::of(PolicyKind::Fcfs)));
    let mut points: Vec<Contender> = [u32::MAX, 16, 8, 4, 3, 2, 1]
        .into_iter()
        .map(|every| {
            let share = if every == u32::MAX { 0.0 } else { 100.0 / f64::from(every) };
            let kind = PolicyKind::Balanced(Balanced { oldest_every: every, always: true });
            Contender::new(format!("oldest always {share:.0} %"), QueueConfig::of(kind))
        })
        .collect();
    points.extend([0.5, 0.75, 1.0, 1.25, 1.5, 2.0].map(|times| {
        let every = Balanced::default().oldest_every;
        Contender::new(format!("patience times {times}"), patient(times, times, every))
    }));
    for point in points.into_iter().take(if quick { 3 } else { usize::MAX }) {
        let found = waits(part, GATE_LOAD, slots, &point);
        let name = |what: &str| format!("{}, frontier, {}: {what}", part.name, point.name);
        let gain = base.wait_mean_s / found.wait_mean_s.max(1e-9);
        report.row(name("mean wait better by"), gain, "x");
        let longest = found.wait_max_s / base.wait_max_s.max(1e-9);
        report.row(name("maximum wait"), longest, "x fcfs");
    }
}

/// The default with its patience times these.
fn patient(longest: f64, mean: f64, oldest_every: u32) -> QueueConfig {
    let usual = Patience::default();
    let patience = Patience { longest: longest * usual.longest, mean: mean * usual.mean, ..usual };
    let kind = PolicyKind::Balanced(Balanced { oldest_every, always: false });
    QueueConfig { patience, ..QueueConfig::of(kind) }
}

/// The worst gain and the worst maximum over sizes of workers, on the first half alone.
fn choose(report: &mut Report, parts: &[Part]) {
    let Some(part) = parts.first() else { return };
    let fcfs = Contender::new("fcfs", QueueConfig::of(PolicyKind::Fcfs));
    let sizes = [1, 8, 32];
    for load in [GATE_LOAD, 1.0] {
        let base = sizes.map(|slots| waits(part, load, slots, &fcfs));
        for (longest, mean, every) in tried() {
            let own = Contender::new("", patient(longest, mean, every));
            let found = sizes.map(|slots| waits(part, load, slots, &own));
            let pairs = || base.iter().zip(&found);
            let gain = pairs().map(|(fcfs, own)| fcfs.wait_mean_s / own.wait_mean_s);
            let most = pairs().map(|(fcfs, own)| own.wait_max_s / fcfs.wait_max_s);
            let usual = Patience::default();
            let (longest, mean) = (longest * usual.longest, mean * usual.mean);
            let name = |what: &str| {
                format!(
                    "first half, load {load}, longest {longest} mean {mean} every {every}: {what}"
                )
            };
            report.row(name("worst gain"), gain.fold(f64::MAX, f64::min), "x");
            report.row(name("worst maximum"), most.fold(0.0, f64::max), "x fcfs");
        }
    }
}

/// Patience and turns that were compared: parts of the usual patience, and every how many
/// dispatches is one of the oldest.
fn tried() -> impl Iterator<Item = (f64, f64, u32)> {
    let longest = [10.0, 11.0, 12.0, 13.0].map(|tenths| tenths / 12.0);
    let patience = longest.into_iter().flat_map(|a| [0.67, 1.0, 1.33].map(|b| (a, b)));
    patience.flat_map(|(a, b)| [1, 2, 3, 4].map(|every| (a, b, every)))
}
