//! Recorded requests: when they came, and how long prompt and answer were.

use crate::length::mix;
use crate::task::Rates;
use crate::time::Moment;

/// Columns a trace must have, in this order.
pub const COLUMNS: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";
/// Longest prompt or answer that is taken for one.
const TOKENS_MAX: u32 = 10_000_000;
/// How far copies of a request are moved apart, in seconds to each side.
const SPREAD_S: f64 = 10.0;

/// One recorded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// When it came, from the first one on.
    pub at: Moment,
    /// Tokens of its prompt.
    pub prompt: u32,
    /// Tokens of its answer: what really came, not known on arrival.
    pub answer: u32,
}

/// Recorded requests in the order in which they came. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    arrivals: Vec<Arrival>,
}

/// What is wrong with the text of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The first line does not name the columns.
    #[error("line 1 must be '{COLUMNS}', not '{0}'")]
    Header(String),
    /// A line is not a request.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// There are too few requests to speak of load.
    #[error("{0} requests are too few: at least two, not all at the same moment")]
    TooFew(usize),
}

impl Trace {
    /// Reads the text of a file: a line with [`COLUMNS`], then a line for each request. The time is
    /// `2023-11-16 18:15:46.6805900` (with a `T` and a zone too, as long as all are alike) or plain
    /// seconds. Lines need not be in order.
    ///
    /// # Errors
    /// When a line cannot be read, with its number; when there are fewer than two requests.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let header = lines.next().map_or("", |(_, line)| line.trim());
        let plain: String = header.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
        if !plain.eq_ignore_ascii_case(COLUMNS) {
            return Err(TraceError::Header(header.chars().take(80).collect()));
        }
        let mut found = Vec::new();
        for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let request = request(line.trim());
            found.push(request.map_err(|problem| TraceError::Line { line: at + 1, problem })?);
        }
        Self::of(found)
    }

    /// Of moments in seconds, prompts and answers, in any order.
    ///
    /// # Errors
    /// When there are fewer than two, or all at the same moment.
    pub fn of(mut requests: Vec<(f64, u32, u32)>) -> Result<Self, TraceError> {
        requests.sort_by(|one, other| one.0.total_cmp(&other.0));
        let first = requests.first().map_or(0.0, |(at, ..)| *at);
        let arrival = |(at, prompt, answer): &(f64, u32, u32)| Arrival {
            at: Moment::from_secs(at - first),
            prompt: *prompt,
            answer: *answer,
        };
        let arrivals: Vec<Arrival> = requests.iter().map(arrival).collect();
        match arrivals.last() {
            Some(last) if last.at > Moment::START => Ok(Self { arrivals }),
            _ => Err(TraceError::TooFew(arrivals.len())),
        }
    }

    /// The requests, the first at the start.
    #[must_use]
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// Time from the first to the last, in seconds; more than none.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        self.arrivals.last().map_or(0.0, |last| last.at.secs()).max(1e-6)
    }

    /// Slot time all of it takes, in seconds.
    #[must_use]
    pub fn work_s(&self, rates: &Rates) -> f64 {
        let work = |a: &Arrival| rates.work(f64::from(a.prompt), f64::from(a.answer));
        self.arrivals.iter().map(|arrival| work(arrival).as_secs_f64()).sum()
    }

    /// Its first and its second half, by number of requests; each begins at the start.
    ///
    /// # Errors
    /// When a half would be too short to be a trace.
    pub fn halves(&self) -> Result<(Self, Self), TraceError> {
        let (first, second) = self.arrivals.split_at(self.arrivals.len() / 2);
        let half = |part: &[Arrival]| {
            Self::of(part.iter().map(|a| (a.at.secs(), a.prompt, a.answer)).collect())
        };
        Ok((half(first)?, half(second)?))
    }

    /// With its arrivals moved apart or together by one factor, so that the work it brings is this
    /// share of what so many slots can do while it lasts.
    #[must_use]
    pub fn at_load(&self, load: f64, slots: usize, rates: &Rates) -> Self {
        let able_s = slots.max(1) as f64 * load.max(1e-6) * self.duration_s();
        let factor = self.work_s(rates) / able_s;
        let moved = |a: &Arrival| Arrival { at: Moment::from_secs(a.at.secs() * factor), ..*a };
        Self { arrivals: self.arrivals.iter().map(moved).collect() }
    }

    /// So many copies of every request, each moved a little by the seed, so that a small trace
    /// keeps a large fleet busy in the same course.
    #[must_use]
    pub fn copies(&self, copies: usize, seed: u64) -> Self {
        if copies <= 1 {
            return self.clone();
        }
        let last = self.duration_s();
        let mut arrivals = Vec::with_capacity(self.arrivals.len() * copies);
        for (number, arrival) in self.arrivals.iter().enumerate() {
            for copy in 0..copies {
                let by = SPREAD_S * (2.0 * uniform(seed, number as u64, copy as u64) - 1.0);
                let at = if copy == 0 { arrival.at.secs() } else { arrival.at.secs() + by };
                arrivals.push(Arrival { at: Moment::from_secs(at.clamp(0.0, last)), ..*arrival });
            }
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        Self { arrivals }
    }
}

/// Evenly between 0 and 1, the same for the same numbers.
pub(super) fn uniform(seed: u64, number: u64, part: u64) -> f64 {
    (mix(mix(seed, number), part) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Seconds, prompt and answer of a line.
fn request(line: &str) -> Result<(f64, u32, u32), String> {
    let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
    let [time, prompt, answer] = fields.as_slice() else {
        return Err(format!("{} fields where 3 were expected", fields.len()));
    };
    let tokens = |text: &str, name: &str| match text.parse::<u32>() {
        Ok(tokens) if tokens <= TOKENS_MAX => Ok(tokens),
        _ => {
            let shown: String = text.chars().take(40).collect();
            Err(format!("{name} '{shown}' is not a whole number up to {TOKENS_MAX}"))
        }
    };
    let at = seconds(time).ok_or_else(|| {
        let shown: String = time.chars().take(40).collect();
        format!("TIMESTAMP '{shown}' is no time such as 2023-11-16 18:15:46.68 or 12.5")
    })?;
    Ok((at, tokens(prompt, "ContextTokens")?, tokens(answer, "GeneratedTokens")?))
}

/// A time in seconds from some start: plain, or a date with a time of day.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(plain) = text.parse::<f64>() {
        return (plain.is_finite() && plain.abs() < 1e12).then_some(plain);
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let time = time.split(['Z', '+']).next()?;
    let mut days = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (days.next()?.ok()?, days.next()?.ok()?, days.next()?.ok()?);
    let mut clock = time.splitn(3, ':');
    let (hour, minute): (u32, u32) = (clock.next()?.parse().ok()?, clock.next()?.parse().ok()?);
    let second: f64 = clock.next()?.parse().ok()?;
    let sound = (1..=9_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && (0.0..61.0).contains(&second);
    let whole = days_since(year, month, day) * 86_400 + i64::from(hour * 3_600 + minute * 60);
    sound.then_some(whole as f64 + second)
}

/// Days of the Gregorian calendar since 1970-01-01 (H. Hinnant's `days_from_civil`).
const fn days_since(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
