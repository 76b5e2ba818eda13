//! Keeps a process with the model: starts it, listens to it, and starts it again when it ends.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oag_runtime::ShutdownHandle;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::desk::Desk;
use crate::frames::{self, Loaded, Order, Report};

/// Most bytes of a line that a process writes.
const LINE_BYTES_MAX: usize = 4096;
/// A process that lived this long starts with the shortest pause again.
const HEALTHY: Duration = Duration::from_secs(60);
/// How long a process that said its last word may take to end.
const ENDING: Duration = Duration::from_secs(2);
/// How long its last lines may take to come.
const LAST_LINES: Duration = Duration::from_millis(200);
/// How often the drain looks whether answers are still under way.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Runs until the engine is dropped, or the process drains and nothing is under way.
pub(super) async fn keep(
    desk: Arc<Desk>,
    mut gone: watch::Receiver<()>,
    shutdown: ShutdownHandle,
) -> Result<(), std::convert::Infallible> {
    let shortest = Duration::from_millis(desk.config.restart_ms);
    let longest = Duration::from_millis(desk.config.restart_max_ms).max(shortest);
    let mut pause = shortest;
    loop {
        let began = Instant::now();
        let why = tokio::select! {
            why = run(&desk) => why,
            // The other side only ever goes away.
            _ = gone.changed() => break,
            () = drained(&desk, &shutdown) => break,
        };
        tracing::warn!(model = desk.config.model, why, "the engine's process is gone");
        desk.close(&why);
        if began.elapsed() > HEALTHY {
            pause = shortest;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = gone.changed() => break,
            () = shutdown.draining() => break,
        }
        pause = (pause * 2).min(longest);
        desk.restarts.fetch_add(1, Ordering::Relaxed);
    }
    desk.close("it was stopped");
    Ok(())
}

async fn drained(desk: &Desk, shutdown: &ShutdownHandle) {
    shutdown.draining().await;
    while desk.under_way() > 0 {
        tokio::time::sleep(DRAIN_STEP).await;
    }
}

/// One process from its start to its end; why it ended.
async fn run(desk: &Desk) -> String {
    match start(desk) {
        Err(error) => format!("its process cannot be started: {error}"),
        Ok(mut child) => {
            let mut last = String::new();
            if let Err(words) = serve(desk, &mut child, &mut last).await {
                return words;
            }
            let said = if last.is_empty() { last } else { format!(", after it said: {last}") };
            match tokio::time::timeout(ENDING, child.wait()).await {
                Ok(Ok(status)) => format!("its process ended ({status}){said}"),
                _ => format!("its process fell silent{said}"),
            }
        }
    }
}

fn start(desk: &Desk) -> std::io::Result<Child> {
    let program = match &desk.config.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?,
    };
    Command::new(program)
        .arg(frames::SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What the terminal sends to the parent is the parent's to handle.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Talks to the process until it ends; its own words where it said why.
async fn serve(desk: &Desk, child: &mut Child, last: &mut String) -> Result<(), String> {
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("its process has no pipes".to_owned());
    };
    let process = child.id();
    let load = Order::Load(Box::new(desk.config.clone()));
    let mut output = BufReader::new(output);
    let listen = async {
        // One that ended already is told apart by what it wrote and how it ended.
        let _ = write(&mut input, &load).await;
        let patience = Duration::from_millis(desk.config.load_ms);
        let loaded = tokio::time::timeout(patience, first(&mut output)).await;
        let loaded = match loaded {
            Ok(loaded) => loaded?,
            Err(_) => return Err(format!("loading took more than {} s", patience.as_secs_f64())),
        };
        let Some(loaded) = loaded else { return Ok(()) };
        tracing::info!(model = desk.config.model, about = loaded.about, "model loaded");
        // Each request has room for itself and for the order that cancels it.
        let (sender, orders) = mpsc::channel(2 * desk.config.requests_max() + 2);
        desk.open(loaded, sender, process);
        tokio::select! {
            heard = hear(desk, &mut output) => heard,
            told = pass_on(orders, &mut input) => told,
        }
    };
    let log = log(&desk.config.model, errors, last);
    tokio::pin!(listen, log);
    tokio::select! {
        result = &mut listen => {
            // Why it ended may still be on its way.
            let _ = tokio::time::timeout(LAST_LINES, &mut log).await;
            result
        }
        () = &mut log => listen.await,
    }
}

/// Waits until the model is loaded; none when the process ended without a word.
async fn first(output: &mut BufReader<ChildStdout>) -> Result<Option<Loaded>, String> {
    match frames::next(output).await {
        Ok(Some(Report::Ready(loaded))) => Ok(Some(loaded)),
        Ok(Some(Report::Failed { why })) => Err(why),
        Ok(None) => Ok(None),
        Ok(Some(_)) => Err("its process did not say what it is".to_owned()),
        Err(error) => Err(format!("its process said something else: {error}")),
    }
}

async fn hear(desk: &Desk, output: &mut BufReader<ChildStdout>) -> Result<(), String> {
    loop {
        match frames::next(output).await {
            Ok(Some(Report::Failed { why })) => return Err(why),
            Ok(Some(report)) => desk.take(report),
            Ok(None) => return Ok(()),
            Err(error) => return Err(format!("its process cannot be understood: {error}")),
        }
    }
}

async fn pass_on(mut orders: mpsc::Receiver<Order>, input: &mut ChildStdin) -> Result<(), String> {
    while let Some(order) = orders.recv().await {
        if write(input, &order).await.is_err() {
            // It ended; how, is told by whoever listens to it.
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

async fn write(input: &mut ChildStdin, order: &Order) -> std::io::Result<()> {
    input.write_all(&frames::pack(order)?).await?;
    input.flush().await
}

/// Passes on what the process writes for people, and keeps its last line.
async fn log(model: &str, errors: ChildStderr, last: &mut String) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        let (used, whole) = match errors.fill_buf().await {
            Ok(bytes) if !bytes.is_empty() => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let used = end.map_or(bytes.len(), |end| end + 1);
                let room = LINE_BYTES_MAX.saturating_sub(line.len());
                line.extend_from_slice(&bytes[..end.unwrap_or(used).min(room)]);
                (used, end.is_some())
            }
            _ => return,
        };
        errors.consume(used);
        if whole {
            let text = String::from_utf8_lossy(&line);
            match text.split_once(' ') {
                Some(("DEBUG" | "INFO", text)) => tracing::debug!(model, "{text}"),
                Some(("WARN" | "ERROR", text)) => tracing::warn!(model, "{text}"),
                _ => tracing::warn!(model, "{text}"),
            }
            *last = text.into_owned();
            line.clear();
        }
    }
}
