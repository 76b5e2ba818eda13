//! What was measured, as a table for people or as JSON.

use std::io::Write;

use serde::Serialize;

use crate::machine::Machine;

/// Everything one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// Where.
    pub(crate) machine: Machine,
    /// Whether it was scaled down.
    pub(crate) quick: bool,
    /// What.
    pub(crate) reports: Vec<Report>,
}

/// What one benchmark measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The subcommand.
    pub(crate) bench: &'static str,
    /// How it was set up, in a line.
    pub(crate) setting: String,
    /// The figures.
    pub(crate) rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
    /// Whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
}

/// The promise a figure is held against.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Report {
    /// Nothing measured yet.
    pub(crate) const fn new(bench: &'static str, setting: String) -> Self {
        Self { bench, setting, rows: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn row(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.rows.push(Row { what: what.into(), value, unit, goal: None, met: None });
    }

    /// Adds a figure that is promised.
    pub(crate) fn promise(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Goal,
    ) {
        let met = match goal {
            Goal::AtMost(most) => value <= most,
            Goal::AtLeast(least) => value >= least,
        };
        self.rows.push(Row { what: what.into(), value, unit, goal: Some(goal), met: Some(met) });
    }
}

impl Run {
    /// Writes it as tables.
    ///
    /// # Errors
    /// When the output is closed.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.machine)?;
        if self.machine.profile == "debug" || self.quick {
            writeln!(out, "a debug build or a quick run: these figures are not the product's")?;
        }
        for report in &self.reports {
            writeln!(out, "\n{}: {}", report.bench, report.setting)?;
            let width = report.rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
            for row in &report.rows {
                let (what, value) = (&row.what, shown(row.value));
                write!(out, "  {what:<width$}  {value:>10} {:<10}", row.unit)?;
                let (sign, bound) = match row.goal {
                    Some(Goal::AtMost(bound)) => ("<=", bound),
                    Some(Goal::AtLeast(bound)) => (">=", bound),
                    None => {
                        writeln!(out)?;
                        continue;
                    }
                };
                let met = if row.met == Some(true) { "met" } else { "MISSED" };
                writeln!(out, "  goal {sign} {}: {met}", shown(bound))?;
            }
        }
        Ok(())
    }
}

/// Three or four digits that matter; large numbers whole, with separators.
fn shown(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        return grouped(&format!("{value:.0}"));
    }
    let places = match size {
        _ if value.fract() == 0.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size >= 0.01 => 4,
        _ => 6,
    };
    format!("{value:.places$}")
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digit != '-' && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
