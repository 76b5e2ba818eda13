//! How fast the engine for GGUF files is, beside what llama.cpp measures itself with on the same
//! file: tokens for each second of processor time, and for each second of the clock.
//!
//! The two take turns, each in processes of their own that are begun anew, and the same is read of
//! both: what the system says a process has used, when a part begins and when it ends. So loading
//! is in no figure. The ratios compare processor time, which other work on the machine changes
//! least.

mod peer;
mod reading;
mod subject;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::Common;
use crate::figures::{Noise, count, percentile};
use crate::machine::{Stopwatch, Took};
use crate::report::{Goal, Report};
use peer::Peer;
use subject::Subject;

/// What each token may cost more than in llama.cpp's own measurement.
const RATIO_MIN: f64 = 0.97;

/// Which models, and how much they read and write.
#[derive(Debug, Clone, Args)]
pub(crate) struct Question {
    /// The GGUF file; several may be named.
    #[arg(long, required = true, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Threads that calculate; all of this machine when left out. What threads use that wait for
    /// each other counts as processor time: with one, there is no such thing.
    #[arg(long)]
    threads: Option<u32>,
    /// Tokens of the prompts that are read at once, together.
    #[arg(long, default_value_t = 512)]
    prompt: u32,
    /// Tokens of each answer.
    #[arg(long, default_value_t = 128)]
    answer: u32,
    /// How many answers are written at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8])]
    batch: Vec<u32>,
    /// Tokens that are read in one step.
    #[arg(long, default_value_t = 256)]
    step: u32,
    /// The temperature of the draws; 0 takes the likeliest token.
    #[arg(long, default_value_t = 1.0)]
    temperature: f32,
    /// llama.cpp's `llama-bench`, with `llama-batched-bench` beside it (`scripts/llama-tools.sh`).
    #[arg(long, value_name = "PATH")]
    llama_bench: Option<PathBuf>,
    /// Has `llama-batched-bench` keep each answer's memory apart, as it does by itself; else it is
    /// one, as the engine's is.
    #[arg(long)]
    apart: bool,
    /// How often the two take turns.
    #[arg(long, default_value_t = 5)]
    pairs: u32,
}

impl Question {
    /// Scaled down, where it runs only to show that it does.
    fn sized(mut self, quick: bool) -> Self {
        if quick {
            // Fewer tokens of a tiny model are there before anybody looks.
            (self.prompt, self.answer, self.pairs) = (64, 96, 1);
        }
        self.threads.get_or_insert_with(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            u32::try_from(cores).unwrap_or(1)
        });
        self
    }

    fn threads(&self) -> u32 {
        self.threads.unwrap_or(1)
    }

    /// Tokens of each prompt where so many are read at once.
    fn prompt_of(&self, batch: u32) -> u32 {
        (self.prompt / batch).max(1)
    }
}

/// What a round used, part by part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    /// Reading the prompts.
    prefill: Part,
    /// Writing the answers.
    decode: Part,
}

/// Tokens, and what they took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    tokens: f64,
    took: Took,
}

impl Part {
    /// Tokens for each second of processor time.
    fn per_cpu_s(self) -> f64 {
        rate(self.tokens, self.took.cpu_s)
    }

    /// Tokens for each second.
    fn per_s(self) -> f64 {
        rate(self.tokens, self.took.wall_s)
    }
}

/// Measures it.
pub(crate) async fn measure(question: Question, common: &Common) -> anyhow::Result<Report> {
    ensure!(
        cfg!(feature = "llama"),
        "this build has no engine: `cargo run --release -p oag-bench --features llama -- engine`"
    );
    let question = question.sized(common.quick);
    ensure!(question.batch.iter().all(|batch| (1..=64).contains(batch)), "--batch: 1 to 64");
    ensure!(question.prompt > 0 && question.answer > 1 && question.pairs > 0, "nothing to measure");
    let setting = format!(
        "{} threads, prompts of {} tokens together, answers of {}, steps of {}, temperature {}, \
         memory in F16, flash attention where llama.cpp chooses it, {} pairs",
        question.threads(),
        question.prompt,
        question.answer,
        question.step,
        question.temperature,
        question.pairs,
    );
    let mut report = Report::new("engine", setting);
    let memory = reading::measure(question.threads(), common.quick);
    report.row("plain reading of memory", memory.per_s() / 1e9, "GB/s");
    report.row("plain reading of memory, a thread", memory.per_cpu_s() / 1e9, "GB/s");
    for file in &question.model {
        let name = file.file_stem().context("--model names no file")?.to_string_lossy();
        for batch in &question.batch {
            let rounds = rounds(&question, file, *batch).await?;
            rows(&mut report, &format!("{name}, batch {batch}"), &rounds);
            if *batch == 1 {
                let bytes = count(usize::try_from(file.metadata()?.len())?);
                share(&mut report, &name, bytes, &rounds.ours, memory);
            }
        }
        first_tokens(&mut report, &name, &question, file).await?;
    }
    Ok(report)
}

/// The rounds of both, in pairs.
#[derive(Default)]
struct Rounds {
    ours: Vec<Round>,
    theirs: Vec<Round>,
    /// What this process itself used for each token that was written, in seconds.
    own: Vec<f64>,
}

async fn rounds(question: &Question, file: &Path, batch: u32) -> anyhow::Result<Rounds> {
    let peer = question.llama_bench.as_deref().map(|bench| Peer::new(bench, question, file));
    let mut rounds = Rounds::default();
    for pair in 0..question.pairs {
        // Who begins changes: what grows slowly on the machine is in both alike.
        if let Some(peer) = &peer
            && pair % 2 == 1
        {
            rounds.theirs.push(peer.round(batch)?);
        }
        let mut noise = Noise::new(u64::from(pair) << 8 | u64::from(batch));
        let subject = Subject::start(question, file, batch).await?;
        subject.warm(&mut noise).await?;
        let prompts = subject.prompts(&mut noise, batch, question.prompt_of(batch)).await?;
        let own = Stopwatch::start();
        let round = subject.round(prompts, question.answer).await?;
        rounds.own.push(own.took().cpu_s / (round.decode.tokens + f64::from(batch)));
        rounds.ours.push(round);
        subject.end().await?;
        if let Some(peer) = &peer
            && pair % 2 == 0
        {
            rounds.theirs.push(peer.round(batch)?);
        }
    }
    Ok(rounds)
}

fn rows(report: &mut Report, name: &str, rounds: &Rounds) {
    for (part, of) in [("prefill", prefill as fn(&Round) -> Part), ("decode", decode)] {
        for (who, rounds) in [("engine", &rounds.ours), ("llama.cpp", &rounds.theirs)] {
            if rounds.is_empty() {
                continue;
            }
            let cpu = median(rounds.iter().map(|round| of(round).per_cpu_s()));
            let wall = median(rounds.iter().map(|round| of(round).per_s()));
            report.row(format!("{name}, {part}, {who}"), cpu, "tokens/s of processor time");
            report.row(format!("{name}, {part}, {who}, wall"), wall, "tokens/s");
        }
        if !rounds.theirs.is_empty() {
            let pairs = rounds.ours.iter().zip(&rounds.theirs);
            let ratios =
                pairs.map(|(ours, theirs)| rate(of(ours).per_cpu_s(), of(theirs).per_cpu_s()));
            let ratio = median(ratios);
            report.promise(format!("{name}, {part}, ratio"), ratio, "", Goal::AtLeast(RATIO_MIN));
        }
    }
    let own = median(rounds.own.iter().map(|seconds| seconds * 1e6));
    report.row(format!("{name}, who asks, a token"), own, "µs of processor time");
}

const fn prefill(round: &Round) -> Part {
    round.prefill
}

const fn decode(round: &Round) -> Part {
    round.decode
}

/// Each token reads every weight once: how much that is of what as much processor time reads of the
/// memory. The file's size stands for the weights, which fits where the embedding is the output as
/// well.
fn share(report: &mut Report, name: &str, bytes: f64, rounds: &[Round], memory: Part) {
    let reads = bytes * median(rounds.iter().map(|round| round.decode.per_cpu_s()));
    let share = 100.0 * rate(reads, memory.per_cpu_s());
    report.row(format!("{name}, batch 1, decode, of reading memory"), share, "%");
}

/// How long it is until the first token, where the prompt is new, where it was read before, and
/// where only its last eighth is new.
async fn first_tokens(
    report: &mut Report,
    name: &str,
    question: &Question,
    file: &Path,
) -> anyhow::Result<()> {
    let mut took: [Vec<Part>; 3] = Default::default();
    let mut noise = Noise::new(7);
    let subject = Subject::start(question, file, 1).await?;
    subject.warm(&mut noise).await?;
    for _ in 0..question.pairs {
        let last = (question.prompt / 8).max(1);
        let shared = subject.prompt(&mut noise, question.prompt.saturating_sub(last)).await?;
        let one = format!("{shared}{}", subject.prompt(&mut noise, last).await?);
        let other = format!("{shared}{}", subject.prompt(&mut noise, last).await?);
        for (took, text) in took.iter_mut().zip([one.clone(), one, other]) {
            took.push(subject.round(vec![text], 1).await?.prefill);
        }
    }
    subject.end().await?;
    for (what, took) in ["new", "the same again", "another end"].into_iter().zip(took) {
        let name = format!("{name}, first token, {} tokens, {what}", question.prompt);
        let part = |of: fn(&Part) -> f64| 1e3 * median(took.iter().map(of));
        report.row(format!("{name}, processor"), part(|part| part.took.cpu_s), "ms");
        report.row(format!("{name}, wall"), part(|part| part.took.wall_s), "ms");
        let read = median(took.iter().map(|part| part.tokens));
        report.row(format!("{name}, read"), read, "tokens");
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(&mut values.collect::<Vec<_>>(), 0.5)
}

/// So much for each; nothing where there was nothing to measure.
fn rate(much: f64, each: f64) -> f64 {
    if each > 0.0 { much / each } else { 0.0 }
}
