//! Reading recorded signals.

use oag_types::{Code, Labels, Problem, Sample, SeriesKey, Signal, Timestamp};
use serde::Deserialize;

use super::ReplayConfig;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: Timestamp,
    name: String,
    #[serde(default)]
    labels: Labels,
    value: Option<f64>,
}

/// Reads recorded signals, line by line: JSON objects `{"at","name","labels","value"}`, or CSV
/// `time,value` (a header is skipped) of the series `csv_key`. Times are RFC 3339 or numbers of
/// seconds, or of milliseconds from 10^11 on. Empty lines, lines that begin with `#` and values
/// that are null, empty or not finite are gaps, not records.
///
/// # Errors
/// When a line cannot be read (its number is named), or there are more records than allowed.
pub fn read_records<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    csv_key: Option<&SeriesKey>,
    config: &ReplayConfig,
) -> Result<Vec<Signal>, Problem> {
    let mut records = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: String| Problem::field(format!("records.line {}", index + 1), why);
        let record = if line.starts_with('{') {
            json(line).map_err(wrong)?
        } else {
            let header = index == 0 && line.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
            if header {
                continue;
            }
            csv(line, csv_key).map_err(wrong)?
        };
        let Some(record) = record else { continue };
        if records.len() >= config.records_max {
            let text = format!("more than {} records", config.records_max);
            return Err(Problem::new(Code::TOO_LARGE, text));
        }
        records.push(record);
    }
    Ok(records)
}

fn json(line: &str) -> Result<Option<Signal>, String> {
    let Line { at, name, labels, value } =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let value = value.filter(|value| value.is_finite());
    let key = SeriesKey { name, labels };
    Ok(value.map(|value| Signal { key, sample: Sample { at, value } }))
}

fn csv(line: &str, key: Option<&SeriesKey>) -> Result<Option<Signal>, String> {
    let key = key.ok_or("a CSV needs the name of its series")?;
    let (time, value) = line.split_once([',', ';', '\t']).ok_or("expected 'time,value'")?;
    let at = moment(time.trim().trim_matches('"'))?;
    let value = value.trim().trim_matches('"');
    if value.is_empty() || value.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    let value: f64 = value.parse().map_err(|_| format!("'{}' is no number", cut(value)))?;
    let signal = Signal { key: key.clone(), sample: Sample { at, value } };
    Ok(value.is_finite().then_some(signal))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(number) = text.parse::<f64>() {
        if !number.is_finite() {
            return Err(format!("'{}' is no time", cut(text)));
        }
        let millis = if number.abs() >= 1e11 { number } else { number * 1000.0 };
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates; then clamped")]
        let millis = millis.round() as i64;
        return Ok(Timestamp::from_millis(millis));
    }
    text.parse().map_err(|error: oag_types::TimeError| error.to_string())
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
