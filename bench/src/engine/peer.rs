//! What llama.cpp measures itself with: `llama-bench` where one answer is written, and
//! `llama-batched-bench` where several are. Both load the libraries that the engine loads.
//!
//! They say when a part begins or ends; what their process has used is read then. Their own rates
//! are of the clock alone.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::{Part, Question, Round};
use crate::machine::{Meter, Took};

/// llama.cpp's own programs, and what they run.
pub(super) struct Peer<'q> {
    bench: &'q Path,
    batched: PathBuf,
    question: &'q Question,
    file: &'q Path,
}

/// Where a program says how far it is.
enum Says {
    Output,
    Errors,
}

impl<'q> Peer<'q> {
    pub(super) fn new(bench: &'q Path, question: &'q Question, file: &'q Path) -> Self {
        Self { bench, batched: bench.with_file_name("llama-batched-bench"), question, file }
    }

    /// What prompts and answers take.
    pub(super) fn round(&self, batch: u32) -> anyhow::Result<Round> {
        if batch == 1 { self.alone() } else { self.together(batch) }
    }

    fn alone(&self) -> anyhow::Result<Round> {
        let Question { prompt, answer, .. } = self.question;
        let [prompt, answer] = [prompt, answer].map(ToString::to_string);
        // The first repetition warms up.
        let prefill = self.bench(&["-p", &prompt, "-n", "0", "-r", "2"], ": prompt run ")?;
        // Reading the prompt comes before it, and is no part of it.
        let written = ["-p", "0", "-n", &answer, "-d", &prompt, "-r", "1"];
        let decode = self.bench(&written, ": generation run ")?;
        let part = |tokens: u32, took| Part { tokens: f64::from(tokens), took };
        Ok(Round {
            prefill: part(self.question.prompt, prefill),
            decode: part(self.question.answer, decode),
        })
    }

    /// The last repetition of a run of `llama-bench`: from the line that says that it begins to the
    /// one with its result.
    fn bench(&self, what: &[&str], begins: &str) -> anyhow::Result<Took> {
        let mut command = Command::new(self.bench);
        command.args(["--no-warmup", "--progress", "-o", "none", "-oe", "jsonl"]).args(what);
        self.common(&mut command);
        let marks =
            marks(command, &Says::Errors, |line| line.contains(begins) || line.starts_with('{'))?;
        let [.., began, ended] = &*marks else { anyhow::bail!("llama-bench did not say enough") };
        Ok(ended.since(*began))
    }

    fn together(&self, batch: u32) -> anyhow::Result<Round> {
        let Question { answer, .. } = self.question;
        let prompt = self.question.prompt_of(batch);
        let memory = batch * (prompt + answer);
        let mut command = Command::new(&self.batched);
        command.args(["--output-format", "jsonl", "-npp", &prompt.to_string()]);
        command.args(["-ntg", &format!("1,1,{answer}"), "-npl", &batch.to_string()]);
        command.args(["-c", &memory.to_string(), "-tb", &self.question.threads().to_string()]);
        command.arg(if self.question.apart { "--no-kv-unified" } else { "--kv-unified" });
        self.common(&mut command);
        let marks = marks(command, &Says::Output, |line| line.starts_with('{'))?;
        let [warm, short, long] = &*marks else {
            anyhow::bail!("llama-batched-bench did not say what was expected")
        };
        // Each reads the prompts; the second writes one token of each answer, the third all.
        let prefill = short.since(*warm);
        let whole = long.since(*short);
        let decode = whole.since(prefill);
        Ok(Round {
            prefill: Part { tokens: f64::from(batch * prompt), took: prefill },
            decode: Part { tokens: f64::from(batch * (answer - 1)), took: decode },
        })
    }

    /// The settings that the engine has.
    fn common(&self, command: &mut Command) {
        let step = self.question.step.to_string();
        command.arg("-m").arg(self.file);
        command.args(["-t", &self.question.threads().to_string(), "-b", &step, "-ub", &step]);
        command.args(["-ctk", "f16", "-ctv", "f16", "-fa", "auto"]);
    }
}

/// What a program had used each time it said something of note.
fn marks(
    mut command: Command,
    says: &Says,
    of_note: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<Took>> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null());
    match says {
        Says::Output => command.stdout(Stdio::piped()).stderr(Stdio::null()),
        Says::Errors => command.stdout(Stdio::null()).stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| name.clone())?;
    let meter = Meter::of(child.id());
    let said: Option<Box<dyn Read>> = match says {
        Says::Output => child.stdout.take().map(|said| Box::new(said) as Box<dyn Read>),
        Says::Errors => child.stderr.take().map(|said| Box::new(said) as Box<dyn Read>),
    };
    let (mut marks, mut last) = (Vec::new(), String::new());
    for line in BufReader::new(said.context("no pipe")?).lines() {
        let line = line?;
        if of_note(&line) {
            marks.push(meter.read()?);
        }
        last = line;
    }
    let status = child.wait()?;
    ensure!(status.success(), "{name} ended ({status}), after it said: {last}");
    Ok(marks)
}
