//! Tables without lines, and the other forms of lists.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};
use serde_json::Value;

use crate::Terminal;
use crate::args::Format;

/// Rows of text under titles. Keeps its widths when rows come one by one.
#[derive(Debug)]
pub(crate) struct Rows {
    titles: Vec<&'static str>,
    widths: Vec<u16>,
    begun: bool,
}

impl Rows {
    pub(crate) fn new(titles: Vec<&'static str>) -> Self {
        Self { widths: vec![0; titles.len()], titles, begun: false }
    }

    /// The rows as text; with titles the first time.
    pub(crate) fn render(&mut self, rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        if !self.begun {
            table.set_header(self.titles.iter().map(|title| title.to_uppercase()));
        }
        self.begun = true;
        for row in rows {
            table.add_row(row.into_iter().map(|cell| one_line(&cell)));
        }
        let found = table.column_max_content_widths();
        for (at, width) in self.widths.iter_mut().enumerate() {
            *width = found.get(at).copied().unwrap_or(0).max(*width);
            if let Some(column) = table.column_mut(at) {
                column.set_padding((0, 2));
                let least = Width::Fixed(width.saturating_add(2));
                column.set_constraint(ColumnConstraint::LowerBoundary(least));
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// A table at once.
pub(crate) fn table(titles: Vec<&'static str>, rows: Vec<Vec<String>>) -> String {
    Rows::new(titles).render(rows)
}

fn one_line(cell: &str) -> String {
    if cell.contains(['\n', '\r', '\t']) {
        cell.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        cell.to_owned()
    }
}

/// A document in the form that was asked for; the texts are made only when they are wanted.
pub(crate) fn show(
    terminal: &Terminal,
    format: Format,
    document: &Value,
    name: impl FnOnce() -> String,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    terminal.data(&match format {
        Format::Json => json(document)?,
        Format::Yaml => yaml(document)?,
        Format::Name => name(),
        Format::Table | Format::Wide => text(),
    })
}

/// A document as JSON for programs and people.
pub(crate) fn json(document: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(document)?)
}

/// A document as YAML.
pub(crate) fn yaml(document: &Value) -> anyhow::Result<String> {
    Ok(serde_yaml_ng::to_string(document)?)
}
