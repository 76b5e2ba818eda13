//! Time as the scheduler counts it: microseconds on one monotonic clock, which the caller reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in microseconds since a start that the caller chose. All moments given to one
/// scheduler count from the same start; they never run backwards by more than is worth nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Moment(u64);

impl Moment {
    /// The start.
    pub const START: Self = Self(0);

    /// The moment this many microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment this many seconds after the start; what is no number or negative is the start.
    #[must_use]
    pub fn from_secs(seconds: f64) -> Self {
        // The cast saturates, and makes zero of what is no number.
        Self((seconds * 1e6).round() as u64)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Seconds since the start.
    #[must_use]
    pub fn secs(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This moment and some time.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(micros(time)))
    }

    /// Time from `earlier` to this moment; none when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Durations as whole milliseconds, for settings.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// A duration in whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A duration of this many seconds; what is no number or negative is none, and a thousand years
/// are the most.
pub(crate) fn seconds(seconds: f64) -> Duration {
    const MOST_S: f64 = 3.2e10;
    Duration::from_secs_f64(if seconds > 0.0 { seconds.min(MOST_S) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_seconds_are_no_panic() {
        for odd in [f64::NAN, -1.0, f64::INFINITY, f64::MAX] {
            assert!(seconds(odd) <= Duration::from_secs(32_000_000_000));
            assert!(Moment::from_secs(odd) >= Moment::START);
        }
        let end = Moment::from_micros(u64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Moment::START.since(end), Duration::ZERO);
    }
}
