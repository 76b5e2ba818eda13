//! Reads the text expositions of Prometheus (0.0.4) and OpenMetrics (1.0).

use std::collections::HashMap;

use oag_types::{Labels, Timestamp};

use crate::ParseError;
use crate::labels::Cursor;

/// Which text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    Prometheus,
    /// OpenMetrics text, version 1.0: times in seconds, and an end mark.
    OpenMetrics,
}

impl Format {
    /// By the content type of an answer; Prometheus text when it says nothing.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            return Self::OpenMetrics;
        }
        Self::Prometheus
    }
}

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A present value.
    Gauge,
    /// A sum since the start, also the buckets, sums and counts of histograms and summaries.
    Counter,
    /// When something was created; no measurement.
    Created,
}

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The value; may be infinite or no number.
    pub value: f64,
    /// When it was measured, if it says so.
    pub at: Option<Timestamp>,
    /// What it means.
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Counter,
    /// Histograms and summaries.
    Distribution,
    GaugeHistogram,
    Other,
}

/// Reads every value of a text.
///
/// # Errors
/// At the first line that is no exposition, when an OpenMetrics text has no end mark, or when
/// there are more than `points_max` values.
pub fn parse(text: &str, format: Format, points_max: usize) -> Result<Vec<Point>, ParseError> {
    let mut families: HashMap<&str, Family> = HashMap::new();
    let mut points = Vec::new();
    let mut ended = false;
    let mut last = 0;
    for (place, line) in text.lines().enumerate() {
        last = place + 1;
        let failed = |reason| ParseError { line: place + 1, reason };
        if ended {
            return Err(failed("there is text after the end mark"));
        }
        let line = line.trim_matches([' ', '\t', '\r']);
        if let Some(comment) = line.strip_prefix('#') {
            ended = format == Format::OpenMetrics && comment.trim() == "EOF";
            read_type(comment, &mut families).map_err(failed)?;
        } else if !line.is_empty() {
            if points.len() >= points_max {
                return Err(failed("there are more values than allowed"));
            }
            points.push(read_point(line, format, &families).map_err(failed)?);
        }
    }
    if format == Format::OpenMetrics && !ended {
        return Err(ParseError { line: last.max(1), reason: "the end mark '# EOF' is missing" });
    }
    Ok(points)
}

/// Takes in a TYPE line; HELP, UNIT and comments say nothing that is needed.
fn read_type<'a>(
    comment: &'a str,
    families: &mut HashMap<&'a str, Family>,
) -> Result<(), &'static str> {
    let mut words = comment.split_ascii_whitespace();
    if !comment.starts_with([' ', '\t']) || words.next() != Some("TYPE") {
        return Ok(());
    }
    let (Some(name), Some(kind), None) = (words.next(), words.next(), words.next()) else {
        return Err("a TYPE line has a name and a type");
    };
    let family = match kind {
        "counter" => Family::Counter,
        "histogram" | "summary" => Family::Distribution,
        "gaugehistogram" => Family::GaugeHistogram,
        "gauge" | "untyped" | "unknown" | "info" | "stateset" => Family::Other,
        _ => return Err("a TYPE line names a type that does not exist"),
    };
    families.insert(name.trim_matches('"'), family);
    Ok(())
}

fn read_point(
    line: &str,
    format: Format,
    families: &HashMap<&str, Family>,
) -> Result<Point, &'static str> {
    let mut cursor = Cursor::new(line);
    let name = cursor.name(true).to_owned();
    cursor.skip_blanks();
    let (quoted, labels) = cursor.labels()?;
    let name = match (name.is_empty(), quoted) {
        (false, None) => name,
        (true, Some(quoted)) => quoted,
        (false, Some(_)) => return Err("a metric has two names"),
        (true, None) => return Err("a line begins with a metric's name"),
    };
    cursor.skip_blanks();
    let value = read_value(cursor.word())?;
    cursor.skip_blanks();
    // What follows a number sign is an example of a trace.
    let at = match cursor.rest() {
        rest if rest.is_empty() || rest.starts_with('#') => None,
        _ => Some(read_time(cursor.word(), format)?),
    };
    cursor.skip_blanks();
    if !cursor.rest().is_empty() && !cursor.rest().starts_with('#') {
        return Err("there is text after the value");
    }
    let kind = kind_of(&name, families);
    Ok(Point { name, labels, value, at, kind })
}

fn read_value(word: &str) -> Result<f64, &'static str> {
    // Rust reads `infinity` too, which is no harm; an empty word or `_` it refuses.
    word.parse().map_err(|_| "a value is not a number")
}

#[expect(clippy::cast_possible_truncation, reason = "a time out of range is clamped")]
fn read_time(word: &str, format: Format) -> Result<Timestamp, &'static str> {
    let wrong = "a time is not a number";
    let millis = match format {
        Format::Prometheus => word.parse::<i64>().map_err(|_| wrong)?,
        Format::OpenMetrics => {
            let seconds: f64 = word.parse().map_err(|_| wrong)?;
            if !seconds.is_finite() {
                return Err(wrong);
            }
            (seconds * 1_000.0).round() as i64
        }
    };
    Ok(Timestamp::from_millis(millis))
}

/// The type of the family a series belongs to: by its own name, or without a suffix.
fn kind_of(name: &str, families: &HashMap<&str, Family>) -> Kind {
    match families.get(name) {
        Some(Family::Counter) => return Kind::Counter,
        // A summary's quantiles have the name of the family.
        Some(_) => return Kind::Gauge,
        None => {}
    }
    for suffix in ["_total", "_bucket", "_count", "_sum", "_created"] {
        let Some(family) = name.strip_suffix(suffix).and_then(|name| families.get(name)) else {
            continue;
        };
        return match (family, suffix) {
            (Family::Counter | Family::Distribution, "_created") => Kind::Created,
            (Family::Counter, "_total") => Kind::Counter,
            (Family::Distribution, "_bucket" | "_count" | "_sum") => Kind::Counter,
            _ => Kind::Gauge,
        };
    }
    Kind::Gauge
}
