//! Streaming anomaly score of one series.
//!
//! Four unusualness measures are taken per point: the distance from the recent level, the distance
//! from a long level, the distance of a short mean from the recent level (a shift rather than a
//! spike), and the distance of the last hours' course from the nearest of the last seven days at
//! the same time of day (a nearest-neighbour discord in the sense of Keogh et al. 2005, restricted
//! to seasonal neighbours). Each measure is
//! turned into a rarity by its own past peaks (`rarity`), so that one threshold suits every
//! series; the rarities are joined by a power mean, near their maximum. After a high score the
//! same event is not reported again unless it becomes clearly worse.
//!
//! Windows are counted in points, not in time: a series is watched at the pace it is sampled.

mod rarity;
mod seasonal;

use serde::{Deserialize, Serialize};

use rarity::{Quantile, Rarity};
use seasonal::Seasonal;

/// Memories in points: of the two levels, of the short mean, and of the expectation behind the
/// band.
const LEVEL_POINTS: f64 = 150.0;
const LONG_POINTS: f64 = 1_000.0;
const SHORT_POINTS: f64 = 6.0;
const BAND_POINTS: f64 = 6.0;
/// Points before the first score: a level needs half its memory to settle.
const WARM_POINTS: u64 = 100;
/// Exponent of the power mean over the measures.
const JOIN: i32 = 8;
/// The measures move together; those that repeat the first weigh less, so that it need not be
/// drowned out by their noise.
const LONG_WEIGHT: f64 = 0.8;
const SHORT_WEIGHT: f64 = 0.8;
const SEASON_WEIGHT: f64 = 0.9;
/// Errors below this share of the usual level distance are rounding, not signal.
const FLOOR: f64 = 0.2;
/// Joined rarity from which a point is an event.
const EVENT: f64 = 0.32;
/// Points after an event during which it must become clearly worse to count again.
const HOLD_POINTS: u32 = 120;
/// Clearly worse: this far from the event's rarity towards certainty.
const WORSE: f64 = 0.4;
/// Factor on what does not.
const HELD: f64 = 0.3;
/// Largest magnitude taken; seasonal memory is kept in single precision.
const VALUE_MAX: f64 = 1e30;

/// How a [`Detector`] sees its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorConfig {
    /// Expected distance between two points, in milliseconds (at least 1).
    pub step_ms: i64,
    /// Score (0..=1) from which a point alerts.
    pub alert_score: f64,
}

impl DetectorConfig {
    /// The defaults for a series with this step (milliseconds).
    pub fn for_step(step_ms: i64) -> Self {
        Self { step_ms: step_ms.max(1), alert_score: 0.5 }
    }
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self::for_step(60_000)
    }
}

/// What a [`Detector`] says about one point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How rare the point is in its series, 0..=1; comparable across series, 0.5 is an event.
    pub score: f64,
    /// Whether an operator should look now.
    pub alert: bool,
    /// Expected value, in the unit of the series; none while warming up.
    pub mean: Option<f64>,
    /// Lower edge of the 3-sigma band.
    pub lo: Option<f64>,
    /// Upper edge of the 3-sigma band.
    pub hi: Option<f64>,
}

/// Streaming detector of one series; bounded memory, about a microsecond per point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detector {
    cfg: DetectorConfig,
    seen: u64,
    level: f64,
    long: f64,
    short: f64,
    expected: f64,
    error: Quantile,
    seasonal: Option<Seasonal>,
    by_level: Rarity,
    by_long: Rarity,
    by_short: Rarity,
    by_season: Rarity,
    /// Rarity of the last event, and points since.
    event: f64,
    event_age: u32,
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(cfg: DetectorConfig) -> Self {
        let cfg = DetectorConfig { step_ms: cfg.step_ms.max(1), ..cfg };
        Self {
            seen: 0,
            level: 0.0,
            long: 0.0,
            short: 0.0,
            expected: 0.0,
            error: Quantile::new(0.9973),
            seasonal: Seasonal::new(cfg.step_ms),
            by_level: Rarity::new(),
            by_long: Rarity::new(),
            by_short: Rarity::new(),
            by_season: Rarity::new(),
            event: 0.0,
            event_age: HOLD_POINTS,
            cfg,
        }
    }

    /// Takes one point (`None` or a non-finite value is a gap) and scores it. A gap scores 0 and
    /// is given the band. Points are taken in the order they come, whatever their times.
    pub fn update(&mut self, ts_ms: i64, value: Option<f64>) -> Score {
        let Some(x) = value.filter(|v| v.is_finite()).map(|v| v.clamp(-VALUE_MAX, VALUE_MAX))
        else {
            return self.answer(0.0);
        };
        if self.seen == 0 {
            (self.level, self.long, self.short, self.expected) = (x, x, x, x);
        }
        let rarity = self.rarity(ts_ms, x);
        let out = self.answer(squash(rarity));
        self.seen += 1;
        self.error.push((x - self.expected).abs());
        self.level += gain(LEVEL_POINTS, self.seen) * (x - self.level);
        self.long += gain(LONG_POINTS, self.seen) * (x - self.long);
        self.expected += gain(BAND_POINTS, self.seen) * (x - self.expected);
        out
    }

    /// Bytes held by this detector, heap included.
    pub fn memory_bytes(&self) -> usize {
        let rarities = [&self.by_level, &self.by_long, &self.by_short, &self.by_season];
        size_of::<Self>()
            + self.seasonal.as_ref().map_or(0, Seasonal::heap_bytes)
            + rarities.iter().map(|r| r.heap_bytes()).sum::<usize>()
    }

    /// Joined rarity of a value, before it enters the level.
    fn rarity(&mut self, ts_ms: i64, x: f64) -> f64 {
        let level_distance = (x - self.level).abs();
        // What a double can resolve around the level.
        let by_level = self.by_level.push(level_distance, 1e-9 * self.level.abs());
        let floor = FLOOR * self.by_level.usual();
        self.short += gain(SHORT_POINTS, self.seen + 1) * (x - self.short);
        let mut joined = Joined::default();
        joined.add(by_level);
        joined.add(LONG_WEIGHT * self.by_long.push((x - self.long).abs(), floor));
        joined.add(SHORT_WEIGHT * self.by_short.push((self.short - self.level).abs(), floor));
        if let Some(course) = self.seasonal.as_mut().and_then(|s| s.push(ts_ms, x)) {
            joined.add(SEASON_WEIGHT * self.by_season.push(course, floor));
        }
        if self.seen < WARM_POINTS { 0.0 } else { self.hold(joined.mean()) }
    }

    /// Lets an event through once: later points of it only when clearly worse.
    fn hold(&mut self, rarity: f64) -> f64 {
        self.event_age = self.event_age.saturating_add(1);
        let held =
            self.event_age < HOLD_POINTS && rarity <= self.event + WORSE * (1.0 - self.event);
        if held {
            return HELD * rarity;
        }
        if rarity > EVENT {
            self.event = rarity;
            self.event_age = 0;
        }
        rarity
    }

    fn answer(&self, score: f64) -> Score {
        let warm = self.seen >= WARM_POINTS;
        let width = self.error.value();
        let band = |sign: f64| warm.then_some(self.expected + sign * width);
        Score {
            score,
            alert: warm && score >= self.cfg.alert_score,
            mean: band(0.0),
            lo: band(-1.0),
            hi: band(1.0),
        }
    }
}

/// Power mean of rarities.
#[derive(Default)]
struct Joined {
    sum: f64,
    parts: f64,
}

impl Joined {
    fn add(&mut self, rarity: f64) {
        self.sum += rarity.powi(JOIN);
        self.parts += 1.0;
    }

    fn mean(&self) -> f64 {
        (self.sum / self.parts.max(1.0)).powf(1.0 / f64::from(JOIN))
    }
}

/// Stretches rarities so that an event lies at one half; order is kept.
fn squash(rarity: f64) -> f64 {
    let square = rarity * rarity;
    (square / (square + EVENT * EVENT)).clamp(0.0, 1.0)
}

/// Weight of a new point in an exponential mean, which is a plain mean while it is young.
fn gain(points: f64, seen: u64) -> f64 {
    (1.0 - (-1.0 / points).exp()).max(1.0 / seen.max(1) as f64)
}
