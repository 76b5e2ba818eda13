//! Time as the product stores and shows it: milliseconds since the Unix epoch, UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 with milliseconds;
/// read from that, or from an integer of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// Why a text or number is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a time: expected RFC 3339 such as 2026-11-21T08:00:00Z, or milliseconds")]
pub struct TimeError {
    /// The text that was given, cut at 64 characters.
    pub text: String,
}

/// Years 0001 to 9999, the range RFC 3339 can write.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_207_200_000;

impl Timestamp {
    /// From milliseconds since the epoch; values outside the years 1 to 9999 are clamped.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(*RANGE_MS.start(), *RANGE_MS.end()))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment moved by `millis` (negative: earlier), clamped to the range.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        write!(f, "{time:.3}")
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let wrong = |_| TimeError { text: text.chars().take(64).collect() };
        let time: jiff::Timestamp = text.parse().map_err(wrong)?;
        Ok(Self::from_millis(time.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Millis(i64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Millis(millis) => Ok(Self::from_millis(millis)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_text() {
        let time = Timestamp::from_millis(1_795_000_000_123);
        assert_eq!(time.to_string(), "2026-11-18T11:06:40.123Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(serde_json::from_str::<Timestamp>("1795000000123").unwrap(), time);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert!("tomorrow".parse::<Timestamp>().is_err());
        assert!("2026-13-01T00:00:00Z".parse::<Timestamp>().is_err());
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus_millis(i64::MAX), end);
        assert!(end.to_string().starts_with("9999"));
    }
}
