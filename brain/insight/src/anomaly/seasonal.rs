//! Distance of the recent course from the nearest of the last days at the same time of day.

use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;
/// Days compared with, so that every weekday finds its like.
const DAYS: usize = 7;
/// Days that must be known before a distance means anything.
const DAYS_MIN: usize = 3;
/// Most slots a day; a finer step shares slots.
const SLOTS_MAX: i64 = 288;
/// Fewest slots a day that still show a course.
const SLOTS_MIN: i64 = 8;
/// Slots by which a day may be early or late.
const SHIFT: usize = 3;
/// Memory of the course, in days, and its least length in points.
const COURSE_DAYS: f64 = 0.08;
const COURSE_POINTS_MIN: f64 = 3.0;
/// Memory of the smoothing that points get before they are compared.
const SMOOTH_POINTS: f64 = 3.0;
/// Marks a slot that has no value yet; NaN would not survive JSON.
const EMPTY: f32 = f32::MAX;

/// One week of smoothed values and a running distance from each day of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seasonal {
    slot_ms: i64,
    slots: usize,
    /// `DAYS + 1` days of slots, so that the oldest day is whole.
    ring: Vec<f32>,
    seen: u64,
    smooth: f64,
    course_gain: f64,
    /// Running distance per day back.
    distance: [Option<f64>; DAYS],
}

impl Seasonal {
    /// None when the step is too coarse to show the course of a day.
    pub(super) fn new(step_ms: i64) -> Option<Self> {
        let slot_ms = step_ms.max(DAY_MS / SLOTS_MAX);
        if DAY_MS / slot_ms < SLOTS_MIN {
            return None;
        }
        let slots = (DAY_MS / slot_ms) as usize;
        let points = COURSE_DAYS * DAY_MS as f64 / step_ms as f64;
        Some(Self {
            slot_ms,
            slots,
            ring: vec![EMPTY; slots * (DAYS + 1)],
            seen: 0,
            smooth: 0.0,
            course_gain: 1.0 / points.max(COURSE_POINTS_MIN),
            distance: [None; DAYS],
        })
    }

    /// Takes a point; gives the distance from the nearest day once enough days are known.
    pub(super) fn push(&mut self, ts_ms: i64, x: f64) -> Option<f64> {
        self.seen += 1;
        let gain = (1.0 - (-1.0 / SMOOTH_POINTS).exp()).max(1.0 / self.seen as f64);
        self.smooth += gain * (x - self.smooth);
        let slot = ts_ms.div_euclid(self.slot_ms).rem_euclid(self.ring.len() as i64) as usize;
        let mut known = 0;
        for (back, distance) in self.distance.iter_mut().enumerate() {
            let Some(now) = nearest(&self.ring, slot, (back + 1) * self.slots, self.smooth) else {
                continue;
            };
            known += 1;
            *distance = Some(distance.map_or(now, |d| d + self.course_gain * (now - d)));
        }
        if let Some(cell) = self.ring.get_mut(slot) {
            *cell = self.smooth as f32;
        }
        if known < DAYS_MIN {
            return None;
        }
        self.distance.iter().flatten().copied().min_by(f64::total_cmp)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<f32>()
    }
}

/// Distance of `y` from the nearest known value around `back` slots ago.
fn nearest(ring: &[f32], slot: usize, back: usize, y: f64) -> Option<f64> {
    let len = ring.len();
    let first = slot + 2 * len - back - SHIFT;
    (first..=first + 2 * SHIFT)
        .filter_map(|i| ring.get(i % len))
        .filter(|&&z| z != EMPTY)
        .map(|&z| (f64::from(z) - y).abs())
        .min_by(f64::total_cmp)
}
