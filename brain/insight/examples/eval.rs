//! Runs one [`Session`] over stdin and stdout: `eval univariate|load`.

use std::error::Error;
use std::io::{BufRead, Write};

use oag_insight::{Session, Task};

fn main() -> Result<(), Box<dyn Error>> {
    let task = match std::env::args().nth(1).as_deref() {
        Some("univariate") => Task::Univariate,
        Some("load") => Task::Load,
        _ => return Err("usage: eval univariate|load".into()),
    };
    let mut session = Session::new(task);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        if let Some(answer) = session.line(&line?)? {
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
    }
    Ok(())
}
