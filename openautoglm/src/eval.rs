//! Speaks the scorers' protocol: one JSON line in, at most one JSON line out.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use oag_insight::{Session, Task};

use crate::options::EvalTask;

/// Answers lines until the input ends.
pub(crate) fn run(task: EvalTask) -> Result<ExitCode> {
    let mut session = Session::new(match task {
        EvalTask::Univariate => Task::Univariate,
        EvalTask::Load => Task::Load,
    });
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.context("standard input cannot be read")?;
        let answer = session.line(&line).with_context(|| format!("line {}", number + 1))?;
        if let Some(answer) = answer {
            writeln!(out, "{answer}").context("standard output is closed")?;
            out.flush().context("standard output is closed")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a document.
pub(crate) fn print(text: &str) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).context("standard output is closed")?;
    Ok(ExitCode::SUCCESS)
}
