//! How rare a value of an unusualness measure is, given the measure's own past.
//!
//! The past is summed up by a high quantile, tracked by stochastic approximation (Robbins & Monro
//! 1951) on a log scale, and by the largest declustered peaks. The rarity is 1 / (1 + k), where k
//! counts how often the past has shown something as large: a peak of equal or larger size counts
//! one, smaller ones fall off as a power law (the peaks-over-threshold view of extremes, cf.
//! Siffer et al. 2017), old ones fade, and the quantile stands in while peaks are few.

use serde::{Deserialize, Serialize};

/// The quantile that separates the body from peaks.
const BODY: f64 = 0.985;
/// This many times the body quantile is half way to rare by itself.
const BODY_FACTOR: f64 = 1.6;
/// Peaks kept.
const PEAKS_MAX: usize = 20;
/// Points below the body quantile that end a peak.
const PEAK_GAP: u32 = 24;
/// Memory of a peak, in points.
const PEAK_POINTS: f64 = 16_000.0;
/// Power at which smaller peaks fall off.
const FALL_OFF: i32 = 16;
/// The smallest measure told from zero.
const TINY: f64 = 1e-200;

/// Turns values of one measure into rarities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rarity {
    body: Quantile,
    peaks: Vec<Peak>,
    /// Height of the peak under way; 0 outside peaks.
    open: f64,
    quiet: u32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Peak {
    height: f64,
    weight: f64,
}

impl Rarity {
    pub(super) fn new() -> Self {
        Self { body: Quantile::new(BODY), peaks: Vec::new(), open: 0.0, quiet: 0 }
    }

    /// Rarity (0..=1) of the value `s` >= 0 of the measure; values below `floor` are noise.
    pub(super) fn push(&mut self, s: f64, floor: f64) -> f64 {
        let s = s.max(TINY);
        let body = self.body.value().max(floor).max(TINY);
        let usual = BODY_FACTOR * body / s;
        let mut like_it = (usual * usual).min(1e30) + as_large(self.open, s);
        let fade = 1.0 - 1.0 / PEAK_POINTS;
        for peak in &mut self.peaks {
            like_it += peak.weight * as_large(peak.height, s);
            peak.weight *= fade;
        }
        self.body.push(s);
        self.follow_peak(s, body);
        1.0 / (1.0 + like_it)
    }

    /// The body quantile of the measure.
    pub(super) fn usual(&self) -> f64 {
        self.body.value()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.peaks.capacity() * size_of::<Peak>()
    }

    fn follow_peak(&mut self, s: f64, body: f64) {
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet > PEAK_GAP && self.open > 0.0 {
            self.close_peak();
        }
        if s > body {
            self.quiet = 0;
            self.open = self.open.max(s);
        }
    }

    /// Keeps the finished peak if it is worth more than the least one kept.
    fn close_peak(&mut self) {
        let peak = Peak { height: self.open, weight: 1.0 };
        self.open = 0.0;
        if self.peaks.len() < PEAKS_MAX {
            self.peaks.push(peak);
            return;
        }
        let worth = |p: &Peak| p.height * p.weight;
        let least = self.peaks.iter_mut().min_by(|a, b| worth(a).total_cmp(&worth(b)));
        if let Some(least) = least.filter(|l| worth(l) < peak.height) {
            *least = peak;
        }
    }
}

/// A running quantile of non-negative values, on a log scale.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Quantile {
    p: f64,
    seen: u64,
    log: f64,
}

impl Quantile {
    pub(super) fn new(p: f64) -> Self {
        Self { p, seen: 0, log: 0.0 }
    }

    /// The quantile; 0 before the first positive value.
    pub(super) fn value(&self) -> f64 {
        if self.seen == 0 { 0.0 } else { self.log.exp() }
    }

    pub(super) fn push(&mut self, s: f64) {
        if s <= TINY && self.seen == 0 {
            return;
        }
        let log = s.max(TINY).ln();
        if self.seen == 0 {
            self.log = log;
        }
        self.seen += 1;
        // Large steps at first; later about 1/3 of an octave per excess.
        let step = (4.0 / self.seen as f64).max(0.3);
        if log > self.log {
            self.log += (step * self.p).min(log - self.log);
        } else {
            self.log -= (step * (1.0 - self.p)).min(self.log - log);
        }
    }
}

/// How much a past height counts against a value: one when at least as large.
fn as_large(height: f64, s: f64) -> f64 {
    (height / s).min(1.0).powi(FALL_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small values with a peak of `height` every 100 points; the rarities of the peaks.
    fn peaks(heights: &[f64]) -> Vec<f64> {
        let mut rarity = Rarity::new();
        heights
            .iter()
            .map(|&h| {
                for i in 0..100 {
                    rarity.push(1.0 + f64::from(i % 7) / 7.0, 0.0);
                }
                rarity.push(h, 0.0)
            })
            .collect()
    }

    #[test]
    fn a_peak_is_rare_once_and_a_larger_one_again() {
        let r = peaks(&[20.0, 20.0, 20.0, 60.0]);
        assert!(r[0] > 0.9 && r[3] > 0.9, "{r:?}");
        assert!(r[1] < 0.55 && r[2] < r[1], "{r:?}");
    }

    #[test]
    fn smaller_peaks_hardly_count() {
        let r = peaks(&[10.0, 10.0, 10.0, 14.0]);
        assert!(r[3] > 0.9, "{r:?}");
    }

    #[test]
    fn the_quantile_settles_where_it_should() {
        let mut quantile = Quantile::new(0.9);
        for i in 0..50_000_u32 {
            quantile.push(f64::from(i.wrapping_mul(2_654_435_761) >> 16) / 65_536.0);
        }
        assert!((0.8..0.98).contains(&quantile.value()), "{}", quantile.value());
    }
}
