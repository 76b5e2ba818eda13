//! What is seen while it runs: redrawn in place on a terminal, otherwise a line now and then.

use super::sizes::Policy;
use crate::Terminal;
use crate::value::cut;

/// Steps between two lines where nothing can be redrawn.
const LINE_EVERY: usize = 20;
const COLUMNS: usize = 100;
const BAR: usize = 40;

/// One policy at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowNow {
    pub(super) policy: Policy,
    pub(super) wanted: u32,
    pub(super) ready: u32,
    /// Over the last ten steps.
    pub(super) p99_ms: Option<f64>,
    pub(super) overloaded_share: f64,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    /// Steps done, warm-up included, and how many there are.
    pub(super) step: usize,
    pub(super) steps: usize,
    pub(super) warmup: usize,
    /// Requests per second in the step.
    pub(super) offered: f64,
    /// Highest value of the loop's forecast.
    pub(super) forecast_peak: Option<f64>,
    pub(super) rows: Vec<RowNow>,
    /// The loop's last action and its reason.
    pub(super) last: Option<(String, String)>,
}

/// The screen.
pub(super) struct Screen<'a> {
    terminal: &'a Terminal,
    drawn: usize,
    told: Option<usize>,
}

impl<'a> Screen<'a> {
    pub(super) const fn new(terminal: &'a Terminal) -> Self {
        Self { terminal, drawn: 0, told: None }
    }

    /// Shows a moment.
    pub(super) fn show(&mut self, frame: &Frame) {
        if self.terminal.moves() {
            let lines = lines(frame);
            let back = if self.drawn > 0 {
                format!("\u{1b}[{}F\u{1b}[J", self.drawn)
            } else {
                String::new()
            };
            self.terminal.say(&format!("{back}{}", lines.join("\n")));
            self.drawn = lines.len();
        } else if self.told.is_none_or(|told| frame.step >= told + LINE_EVERY) {
            self.terminal.say(&line(frame));
            self.told = Some(frame.step);
        }
    }
}

fn lines(frame: &Frame) -> Vec<String> {
    let mut lines = vec![
        bar(frame),
        format!("load {:.0}/s now, forecast peak {}", frame.offered, peak(frame)),
        format!(
            "{:<12} {:>7} {:>7} {:>10} {:>11}",
            "policy", "wanted", "ready", "p99", "overloaded"
        ),
    ];
    for row in &frame.rows {
        let p99 = row.p99_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
        lines.push(format!(
            "{:<12} {:>7} {:>7} {p99:>10} {:>9.1} %",
            row.policy.label(),
            row.wanted,
            row.ready,
            row.overloaded_share * 100.0
        ));
    }
    if let Some((what, why)) = &frame.last {
        lines.push(format!("last  {what}"));
        lines.push(format!("why   {why}"));
    }
    lines.iter().map(|line| cut(line, COLUMNS)).collect()
}

fn line(frame: &Frame) -> String {
    let rows = frame.rows.iter().map(|row| {
        let p99 = row.p99_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}ms"));
        format!("{} {}/{} {p99}", row.policy.label(), row.ready, row.wanted)
    });
    let rows: Vec<String> = rows.collect();
    format!(
        "{} load {:.0}/s, forecast peak {}; ready/wanted p99: {}",
        place(frame),
        frame.offered,
        peak(frame),
        rows.join(", ")
    )
}

fn place(frame: &Frame) -> String {
    match frame.step.checked_sub(frame.warmup) {
        None => "warm-up".to_owned(),
        Some(step) => format!("minute {step} of {}", frame.steps.saturating_sub(frame.warmup)),
    }
}

fn peak(frame: &Frame) -> String {
    frame.forecast_peak.map_or_else(|| "not known".to_owned(), |peak| format!("{peak:.0}/s"))
}

fn bar(frame: &Frame) -> String {
    let full = (frame.step * BAR / frame.steps.max(1)).min(BAR);
    format!("[{}{}] {}", "#".repeat(full), "-".repeat(BAR - full), place(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(step: usize) -> Frame {
        let row = RowNow {
            policy: Policy::Loop,
            wanted: 5,
            ready: 4,
            p99_ms: Some(312.4),
            overloaded_share: 0.021,
        };
        Frame {
            step,
            steps: 210,
            warmup: 10,
            offered: 171.6,
            forecast_peak: Some(203.2),
            rows: vec![row],
            last: Some(("scale demo-loop to 5 replicas (from 4)".into(), "x".repeat(300))),
        }
    }

    #[test]
    fn a_moment_fits_a_terminal() {
        let lines = lines(&frame(110));
        assert_eq!(lines[0], format!("[{}{}] minute 100 of 200", "#".repeat(20), "-".repeat(20)));
        assert_eq!(lines[1], "load 172/s now, forecast peak 203/s");
        assert_eq!(lines[3], "loop               5       4     312 ms       2.1 %");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS));
    }

    #[test]
    fn without_a_terminal_there_is_a_line_now_and_then() {
        assert_eq!(
            line(&frame(5)),
            "warm-up load 172/s, forecast peak 203/s; ready/wanted p99: loop 4/5 312ms"
        );
    }
}
