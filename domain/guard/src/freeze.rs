//! Freezes: times in which nothing, or nothing of a kind, is changed.

use oag_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{GuardError, Selector};

/// A time in which the selected actions are denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeWindow {
    /// A name for people, unique among the freezes.
    pub name: String,
    /// From this moment on.
    pub from: Timestamp,
    /// Until before this moment.
    pub to: Timestamp,
    /// Which actions; all when left out.
    #[serde(default)]
    pub selector: Selector,
    /// Why, shown to those who are stopped.
    pub reason: String,
    /// Only at these times of the day or week, between `from` and `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Recurrence>,
}

/// A time of the day, on some days of the week, at a fixed distance from UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrence {
    /// On these days; every day when left out. A window over midnight belongs to the day it
    /// starts on.
    #[serde(default)]
    pub days: Vec<Weekday>,
    /// Minute of the day it starts at, 0 to 1439.
    pub start_minute: u32,
    /// Minute of the day it ends before, 0 to 1440; at or before the start, it is the next day's.
    pub end_minute: u32,
    /// Minutes the local clock is ahead of UTC: 480 for China, -300 for New York in winter.
    #[serde(default)]
    pub utc_offset_minutes: i32,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 1_440;
/// The first day of the Unix epoch was a Thursday.
const FROM_EPOCH: [Weekday; 7] = [
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
];

impl FreezeWindow {
    /// Whether it holds at this moment.
    #[must_use]
    pub fn active_at(&self, now: Timestamp) -> bool {
        let within = self.from <= now && now < self.to;
        within && self.repeat.as_ref().is_none_or(|repeat| repeat.active_at(now))
    }

    pub(crate) fn validate(&self, at: &str) -> Result<(), GuardError> {
        if self.name.trim().is_empty() {
            return Err(GuardError::invalid(format!("{at}.name"), "must not be empty"));
        }
        if self.from >= self.to {
            return Err(GuardError::invalid(format!("{at}.to"), "must be later than from"));
        }
        if let Some(repeat) = &self.repeat {
            repeat.validate(&format!("{at}.repeat"))?;
        }
        self.selector.validate(&format!("{at}.selector"))
    }
}

impl Recurrence {
    /// Whether the time of the day and the day of the week fit.
    #[must_use]
    pub fn active_at(&self, now: Timestamp) -> bool {
        let minute = now.as_millis().div_euclid(MINUTE_MS) + i64::from(self.utc_offset_minutes);
        let (day, minute) = (minute.div_euclid(DAY_MINUTES), minute.rem_euclid(DAY_MINUTES));
        let (start, end) = (i64::from(self.start_minute), i64::from(self.end_minute));
        if start < end {
            return start <= minute && minute < end && self.on(day);
        }
        (start <= minute && self.on(day)) || (minute < end && self.on(day - 1))
    }

    fn on(&self, day: i64) -> bool {
        let index = usize::try_from(day.rem_euclid(7)).unwrap_or(0);
        self.days.is_empty() || self.days.contains(&FROM_EPOCH[index])
    }

    fn validate(&self, at: &str) -> Result<(), GuardError> {
        if self.start_minute >= 1_440 {
            let problem = "must be a minute of the day, 0 to 1439";
            return Err(GuardError::invalid(format!("{at}.start_minute"), problem));
        }
        if self.end_minute > 1_440 {
            let problem = "must be a minute of the day, 0 to 1440";
            return Err(GuardError::invalid(format!("{at}.end_minute"), problem));
        }
        if self.utc_offset_minutes.unsigned_abs() > 1_080 {
            let problem = "must be within 18 hours of UTC, -1080 to 1080";
            return Err(GuardError::invalid(format!("{at}.utc_offset_minutes"), problem));
        }
        Ok(())
    }
}
