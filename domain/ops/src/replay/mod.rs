//! Recorded signals run against policies.

mod types;

use oag_types::{Problem, SeriesKey, Service, Signal};

pub use types::{Difference, NamedPolicy, PolicyOutcome, ReplayConfig, ReplayPoint, ReplayReport};

/// Replays.
///
/// # Errors
/// When there is nothing to replay.
pub fn replay(
    _records: impl IntoIterator<Item = Signal>,
    _services: &[Service],
    _policies: &[NamedPolicy],
    _config: &ReplayConfig,
) -> Result<ReplayReport, Problem> {
    Err(Problem::field("records", "not yet"))
}

/// Reads records.
///
/// # Errors
/// When a line is no record: the problem names it.
pub fn read_records<'a>(
    _lines: impl IntoIterator<Item = &'a str>,
    _csv_key: Option<&SeriesKey>,
    _config: &ReplayConfig,
) -> Result<Vec<Signal>, Problem> {
    Err(Problem::field("records", "not yet"))
}
