//! What a sample must look like to be taken in.

use oag_types::{Code, Problem, SeriesKey, Timestamp};

use super::HubConfig;

const NAME_BYTES_MAX: usize = 200;
const LABELS_MAX: usize = 20;
const LABEL_NAME_BYTES_MAX: usize = 100;
const LABEL_VALUE_BYTES_MAX: usize = 500;

/// Checks name and labels.
pub(super) fn check_key(key: &SeriesKey) -> Result<(), Problem> {
    if key.name.len() > NAME_BYTES_MAX || !is_name(&key.name) {
        let text = format!(
            "use 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, '_', ':' and '.', not starting with a digit or '.'"
        );
        return Err(Problem::field("name", text));
    }
    if key.labels.len() > LABELS_MAX {
        let text = format!("{} labels; at most {LABELS_MAX}", key.labels.len());
        return Err(Problem::field("labels", text));
    }
    for (name, value) in &key.labels {
        if name.len() > LABEL_NAME_BYTES_MAX || !is_name(name) {
            let text = format!(
                "a label name has 1 to {LABEL_NAME_BYTES_MAX} of a-z, A-Z, 0-9, '_', ':' and '.'"
            );
            return Err(Problem::field("labels", text));
        }
        if value.len() > LABEL_VALUE_BYTES_MAX {
            let text =
                format!("the value has {} bytes; at most {LABEL_VALUE_BYTES_MAX}", value.len());
            return Err(Problem::field(format!("labels.{name}"), text));
        }
    }
    Ok(())
}

/// Where a moment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Fine,
    Future,
    Past,
}

pub(super) fn check_moment(config: &HubConfig, now: Timestamp, at: Timestamp) -> Moment {
    let ahead = at.millis_since(now);
    if ahead > config.future_max_ms {
        Moment::Future
    } else if ahead < config.past_max_ms.saturating_neg() {
        Moment::Past
    } else {
        Moment::Fine
    }
}

pub(super) fn out_of_range(config: &HubConfig, at: Timestamp, moment: Moment) -> Problem {
    let text = match moment {
        Moment::Future => {
            format!("{at} lies more than {} s in the future", config.future_max_ms / 1000)
        }
        _ => format!("{at} lies more than {} days in the past", config.past_max_ms / 86_400_000),
    };
    Problem::field("at", text)
}

pub(super) fn too_many(limit: usize) -> Problem {
    let text = format!(
        "the limit of {limit} series is reached; drop labels that take many values, or raise \
         ops.hub.series_max"
    );
    Problem::new(Code::TOO_MANY_SERIES, text)
}

fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':'))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'.'))
}
