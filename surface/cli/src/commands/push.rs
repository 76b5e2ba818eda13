//! `push`: signals from a file, in batches.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::input;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output};
use crate::exit::{Exit, Trouble};
use crate::table;
use crate::value::Read;

const BATCH_LINES: usize = 2_000;
const BATCH_BYTES: usize = 1024 * 1024;
const REFUSALS_SHOWN: usize = 10;

/// Which signals.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Signals, one JSON object per line ({"name", "labels", "at", "value"}), or CSV with a header:
    /// the columns time and value, name unless --metric is given, and labels in further columns.
    /// `-` reads standard input.
    file: PathBuf,
    /// The metric of a CSV without a column name.
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// A label for every line of a CSV; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::plan::pair)]
    label: Vec<(String, String)>,
    /// The same as --label service=NAME.
    #[arg(long)]
    service: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// What became of all batches.
#[derive(Debug, Default)]
struct Totals {
    sums: BTreeMap<&'static str, u64>,
    refused: Vec<Value>,
}

const SUMS: [&str; 5] = ["accepted", "duplicates", "late", "rejected", "new_series"];

pub(crate) async fn run(args: PushArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let text = input::text(&args.file, terminal).await?;
    let lines = lines(&args, &text)?;
    if lines.is_empty() {
        let text = format!("there are no signals in {}", args.file.display());
        return Err(Trouble::usage(text).into());
    }
    let api = Api::new(&args.connection)?;
    let bar = progress(terminal, lines.len());
    let mut totals = Totals::default();
    for batch in batches(&lines) {
        send(&api, &lines, batch, &mut totals).await?;
        bar.set_position(totals.count());
    }
    bar.finish_and_clear();
    show(&args, &totals, terminal)
}

async fn send(
    api: &Api,
    lines: &[(usize, String)],
    batch: std::ops::Range<usize>,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    let part = lines.get(batch.clone()).unwrap_or_default();
    let mut body = String::new();
    for (_, line) in part {
        body.push_str(line);
        body.push('\n');
    }
    let first = part.first().map_or(0, |(number, _)| *number);
    let sent = api.post_lines(&["api", "v1", "signals"], body).await;
    let taken = sent.map_err(|error| {
        let before = totals.count();
        if before == 0 {
            return error;
        }
        error.context(format!("the signals from line {first} on were not sent; {before} were"))
    })?;
    for name in SUMS {
        *totals.sums.entry(name).or_default() +=
            taken.at(&format!("/{name}")).as_u64().unwrap_or(0);
    }
    for mut refusal in taken.list("/errors").iter().cloned() {
        // Places are counted from the start of the batch; people count the lines of the file.
        let index = refusal.at("/index").as_u64().and_then(|at| usize::try_from(at).ok());
        let line = index.and_then(|at| part.get(at)).map_or(first, |(number, _)| *number);
        if let Some(members) = refusal.as_object_mut() {
            members.remove("index");
            members.insert("line".to_owned(), json!(line));
        }
        totals.refused.push(refusal);
    }
    Ok(())
}

impl Totals {
    fn of(&self, name: &str) -> u64 {
        self.sums.get(name).copied().unwrap_or(0)
    }

    fn count(&self) -> u64 {
        self.of("accepted") + self.of("duplicates") + self.of("late") + self.of("rejected")
    }
}

fn show(args: &PushArgs, totals: &Totals, terminal: &Terminal) -> anyhow::Result<Exit> {
    let document = json!({
        "accepted": totals.of("accepted"),
        "duplicates": totals.of("duplicates"),
        "late": totals.of("late"),
        "rejected": totals.of("rejected"),
        "new_series": totals.of("new_series"),
        "errors": totals.refused,
    });
    table::show(terminal, args.output.format, &document, String::new, || {
        let part = |name: &str| format!("{} {}", totals.of(name), name.replace('_', " "));
        SUMS.map(part).join(", ")
    })?;
    if totals.of("rejected") == 0 {
        return Ok(Exit::Done);
    }
    for refusal in totals.refused.iter().take(REFUSALS_SHOWN) {
        let field = refusal.at("/field").as_str().map(|f| format!("{f}: ")).unwrap_or_default();
        let (line, message) = (refusal.text("/line"), refusal.str("/message"));
        terminal.say(&format!("line {line}: {field}{message}"));
    }
    if totals.refused.len() > REFUSALS_SHOWN {
        terminal.hint("-o json lists every refusal");
    }
    Ok(Exit::Failed)
}

/// Lines of JSON with their numbers in the file.
fn lines(args: &PushArgs, text: &str) -> anyhow::Result<Vec<(usize, String)>> {
    let filled = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let mut filled =
        filled.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
    match filled.peek() {
        Some((_, first)) if !first.starts_with('{') => csv(args, filled),
        _ => Ok(filled.map(|(number, line)| (number, line.to_owned())).collect()),
    }
}

fn csv<'a>(
    args: &PushArgs,
    mut lines: impl Iterator<Item = (usize, &'a str)>,
) -> anyhow::Result<Vec<(usize, String)>> {
    let wrong = |number: usize, why: String| Trouble::usage(format!("line {number}: {why}"));
    let Some((number, header)) = lines.next() else { return Ok(Vec::new()) };
    let columns = split(header).map_err(|why| wrong(number, why))?;
    let place = |names: &[&str]| columns.iter().position(|column| names.contains(&column.as_str()));
    let (time, value) = (place(&["time", "at", "timestamp"]), place(&["value"]));
    let name = place(&["name", "metric"]);
    let (Some(time), Some(value)) = (time, value) else {
        let text = "the first line of a CSV names its columns; time and value are needed";
        return Err(wrong(number, text.to_owned()).into());
    };
    if name.is_none() && args.metric.is_none() {
        let text = "there is no column name".to_owned();
        return Err(wrong(number, text).hint("say which metric it is with --metric").into());
    }
    let mut fixed: BTreeMap<String, String> = args.label.iter().cloned().collect();
    fixed.extend(args.service.clone().map(|service| ("service".to_owned(), service)));
    let mut found = Vec::new();
    for (number, line) in lines {
        let cells = split(line).map_err(|why| wrong(number, why))?;
        if cells.len() != columns.len() {
            let text = format!("{} columns, the header has {}", cells.len(), columns.len());
            return Err(wrong(number, text).into());
        }
        let cell = |at: usize| cells.get(at).map(String::as_str).unwrap_or_default();
        // An empty value is a gap.
        if cell(value).is_empty() {
            continue;
        }
        let number_of = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite());
        let Some(amount) = number_of(cell(value)) else {
            return Err(wrong(number, format!("'{}' is no number", cell(value))).into());
        };
        let mut labels = fixed.clone();
        for (at, column) in columns.iter().enumerate() {
            if at != time && at != value && Some(at) != name && !cell(at).is_empty() {
                labels.insert(column.clone(), cell(at).to_owned());
            }
        }
        let metric = name.map(cell).or(args.metric.as_deref()).unwrap_or_default();
        let at = moment(cell(time));
        let signal = json!({ "name": metric, "labels": labels, "at": at, "value": amount });
        found.push((number, signal.to_string()));
    }
    Ok(found)
}

/// Numbers are seconds, or milliseconds from 10^11 on; the rest is left to the server.
fn moment(text: &str) -> Value {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => {
            let millis = if number.abs() >= 1e11 { number } else { number * 1_000.0 };
            #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
            let millis = millis.round() as i64;
            json!(millis)
        }
        _ => json!(text),
    }
}

/// Cells of a line, with quotes as RFC 4180 has them.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(cell) = cells.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    Ok(cells.into_iter().map(|cell| cell.trim().to_owned()).collect())
}

fn batches(lines: &[(usize, String)]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, (_, line)) in lines.iter().enumerate() {
        bytes += line.len() + 1;
        if at + 1 - start >= BATCH_LINES || bytes >= BATCH_BYTES || at + 1 == lines.len() {
            found.push(start..at + 1);
            start = at + 1;
            bytes = 0;
        }
    }
    found
}

fn progress(terminal: &Terminal, lines: usize) -> ProgressBar {
    if !terminal.moves() {
        return ProgressBar::hidden();
    }
    let length = u64::try_from(lines).unwrap_or(u64::MAX);
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(Some(length), target);
    match ProgressStyle::with_template("{pos}/{len} signals {wide_bar} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_be_quoted() {
        let cells = split(r#"a, "b,""c""" ,,订单"#).unwrap();
        assert_eq!(cells, ["a", "b,\"c\"", "", "订单"]);
        assert!(split("\"a").is_err());
    }

    #[test]
    fn batches_cover_every_line_once() {
        let line = |at: usize| (at, "x".repeat(1_000));
        let lines: Vec<_> = (0..5_001).map(line).collect();
        let found = batches(&lines);
        assert_eq!(found.iter().map(ExactSizeIterator::len).sum::<usize>(), 5_001);
        assert!(found.iter().all(|batch| batch.len() <= BATCH_LINES));
        assert!(found.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(batches(&[]).is_empty());
    }

    #[test]
    fn times_are_seconds_or_milliseconds() {
        assert_eq!(moment("1795000000"), json!(1_795_000_000_000_i64));
        assert_eq!(moment("1795000000123"), json!(1_795_000_000_123_i64));
        assert_eq!(moment("2026-11-21T08:00:00Z"), json!("2026-11-21T08:00:00Z"));
    }
}
