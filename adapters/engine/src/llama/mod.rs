//! The process that runs a model: one thread reads orders, one prepares them, one calculates, one
//! writes what comes of it. It ends with its parent, whatever it is doing.

mod chat;
mod draw;
mod embed;
mod forced;
mod job;
mod log;
mod memory;
mod model;
mod outlet;
#[cfg(test)]
mod outlet_tests;
mod piece;
mod quote;
mod scan;
mod shape;
mod tools;
mod weigh;
mod work;

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use oag_serve::{EngineError, Event, Generation};
use rustix::process::{Signal, getpid, kill_process};

use crate::frames::{self, Ask, Order, Report, Told};
use model::Model;
use work::{Task, Work};

/// Reports that wait to be written.
const REPORTS_MAX: usize = 1_024;

/// Runs until the parent ends.
pub(crate) fn run() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let _ = writeln!(std::io::stderr(), "ERROR {info}");
        std::process::abort();
    }));
    let Ok(output) = take_stdout() else { return ExitCode::FAILURE };
    // When memory runs out, this process is the one to end: it comes back.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    log::listen();
    let (orders_in, orders) = sync_channel(REPORTS_MAX);
    let (reports, reports_out) = sync_channel(REPORTS_MAX);
    std::thread::spawn(move || read(&orders_in));
    let writer = std::thread::spawn(move || write(output, &reports_out));
    if let Err(why) = serve(&orders, &reports) {
        let _ = reports.send(Report::Failed { why });
    }
    drop(reports);
    let _ = writer.join();
    ExitCode::FAILURE
}

/// What foreign code prints must not get between the frames.
fn take_stdout() -> std::io::Result<File> {
    let output = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(output))
}

fn read(orders: &SyncSender<Order>) {
    let mut input = std::io::stdin().lock();
    while let Ok(Some(order)) = frames::next_blocking(&mut input) {
        if orders.send(order).is_err() {
            return;
        }
    }
    // The parent is gone; calculating may go on for minutes.
    let _ = kill_process(getpid(), Signal::KILL);
}

fn write(mut output: File, reports: &Receiver<Report>) {
    for report in reports {
        let Ok(bytes) = frames::pack(&report) else { continue };
        if output.write_all(&bytes).is_err() {
            // The parent is gone, which the reader will see.
            return;
        }
    }
}

fn serve(orders: &Receiver<Order>, reports: &SyncSender<Report>) -> Result<(), String> {
    let Ok(Order::Load(config)) = orders.recv() else {
        return Err("the first order must be to load a model".to_owned());
    };
    let model = Model::load(*config)?;
    let context = model.context()?;
    let gone = |_| "nobody listens".to_owned();
    reports.send(Report::Ready(model.loaded())).map_err(gone)?;
    let (tasks, tasks_out) = sync_channel(REPORTS_MAX);
    std::thread::scope(|scope| {
        // The calculating thread ends when this one has nothing more for it.
        let tasks = tasks;
        let work = Work::new(&model, context, reports.clone());
        let broken = reports.clone();
        scope.spawn(move || {
            if let Err(why) = work.run(&tasks_out) {
                // The parent ends this process then.
                let _ = broken.send(Report::Failed { why });
            }
        });
        for order in orders {
            let task = match order {
                Order::Load(_) => continue,
                Order::Cancel { id } => Some(Task::Cancel(id)),
                Order::Ask { id, ask } => match prepare(&model, id, ask, reports) {
                    Ok(task) => task,
                    Err(error) => {
                        reports.send(Report::Error { id, error }).map_err(gone)?;
                        None
                    }
                },
            };
            if let Some(task) = task {
                tasks.send(task).map_err(|_| "nothing can be calculated".to_owned())?;
            }
        }
        Ok(())
    })
}

/// Does what takes no calculating, and prepares the rest.
fn prepare(
    model: &Model,
    id: u64,
    ask: Ask,
    reports: &SyncSender<Report>,
) -> Result<Option<Task>, EngineError> {
    let gone = |_| EngineError::Unavailable("nobody listens".to_owned());
    let tell = |told| reports.send(Report::Told { id, told }).map_err(gone).map(|()| None);
    match ask {
        Ask::Generate(asked) => begin(model, id, &asked, reports),
        Ask::Embed(texts) => Ok(Some(Task::Embed(id, tokens_of(model, &texts)?))),
        Ask::Tokenize(text) => {
            let tokens = model.tokens(&text, false);
            tell(Told::Tokens(tokens.iter().filter_map(|token| token.0.try_into().ok()).collect()))
        }
        Ask::Detokenize(tokens) => {
            let mut text = Vec::new();
            for token in tokens {
                let Some(known) = model.token(token) else {
                    return Err(EngineError::refused("tokens", format!("{token} is none")));
                };
                text.extend(model.text(known));
            }
            tell(Told::Text(String::from_utf8_lossy(&text).into_owned()))
        }
    }
}

fn begin(
    model: &Model,
    id: u64,
    asked: &Generation,
    reports: &SyncSender<Report>,
) -> Result<Option<Task>, EngineError> {
    let (piece, ending) = job::piece(model, id, asked)?;
    let Some(ending) = ending else { return Ok(Some(Task::Begin(Box::new(piece)))) };
    let report = Report::Event { id, event: Event::End(ending) };
    let gone = |_| EngineError::Unavailable("nobody listens".to_owned());
    reports.send(report).map_err(gone).map(|()| None)
}

fn tokens_of(model: &Model, texts: &[String]) -> Result<Vec<Vec<i32>>, EngineError> {
    let most = embed::TEXT_TOKENS_MAX.min(model.window);
    let tokens = |text: &String| {
        let tokens: Vec<i32> = model.tokens(text, true).iter().map(|token| token.0).collect();
        let fits = !tokens.is_empty() && u32::try_from(tokens.len()).is_ok_and(|len| len <= most);
        let problem = || format!("each text must have 1 to {most} tokens, not {}", tokens.len());
        if fits { Ok(tokens) } else { Err(EngineError::refused("input", problem())) }
    };
    texts.iter().map(tokens).collect()
}
