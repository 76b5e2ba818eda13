//! Quantiles of the forecast error, per step ahead, relative to recent volatility.

use serde::{Deserialize, Serialize};

/// Bins per step ahead; they are even on an inverse hyperbolic sine scale, so that the body is
/// resolved finely and the tails reach 27 volatilities.
const BINS: usize = 64;
const BINS_PER_UNIT: f64 = 8.0;
/// Weight of the prior, in residuals.
const PRIOR: f64 = 200.0;
/// Residuals after which all counts are halved.
const COUNT_MAX: f64 = 10_000.0;
/// Memory of the volatility, in steps: fast to follow bursts, slow to hold it up in a lull.
const FAST_STEPS: f64 = 30.0;
const SLOW_STEPS: f64 = 1_000.0;

/// Volatility and a histogram of scaled residuals per step ahead.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bands {
    seen: u64,
    fast: f64,
    slow: f64,
    /// `outputs` x `BINS`.
    counts: Vec<f32>,
}

impl Bands {
    pub(super) fn new(outputs: usize) -> Self {
        let mut counts = vec![0.0; outputs * BINS];
        // A logistic prior: tails heavier than normal until the series shows its own.
        for row in counts.chunks_exact_mut(BINS) {
            for (i, c) in row.iter_mut().enumerate() {
                let mass = logistic(edge(i + 1)) - logistic(edge(i));
                *c = (PRIOR * mass) as f32;
            }
        }
        Self { seen: 0, fast: 0.0, slow: 0.0, counts }
    }

    /// Current volatility, positive.
    pub(super) fn scale(&self) -> f64 {
        (0.5 * (self.fast + self.slow)).max(1e-6)
    }

    /// Learns the residuals of one row (first step ahead first), given the volatility that was
    /// known when the forecast was made.
    pub(super) fn learn(&mut self, residuals: &[Option<f64>], scale: f64) {
        if let Some(e) = residuals.first().copied().flatten() {
            self.seen += 1;
            let young = 1.0 / self.seen as f64;
            // One wild error may at most move the volatility as a 6-fold one would.
            let a = if self.seen > 10 { e.abs().min(6.0 * self.scale()) } else { e.abs() };
            self.fast += (1.0 / FAST_STEPS).max(young) * (a - self.fast);
            self.slow += (1.0 / SLOW_STEPS).max(young) * (a - self.slow);
        }
        // The volatility of the first rows is not yet known.
        if self.seen <= FAST_STEPS as u64 {
            return;
        }
        for (row, e) in self.counts.chunks_exact_mut(BINS).zip(residuals) {
            let Some(e) = e else { continue };
            if let Some(c) = row.get_mut(bin(e / scale)) {
                *c += 1.0;
            }
            if f64::from(row.iter().sum::<f32>()) > COUNT_MAX {
                row.iter_mut().for_each(|c| *c *= 0.5);
            }
        }
    }

    /// The `p` quantile (0..=1) of the scaled error of output `k`.
    pub(super) fn quantile(&self, k: usize, p: f64) -> f64 {
        let Some(row) = self.counts.get(k * BINS..(k + 1) * BINS) else { return 0.0 };
        let total: f64 = row.iter().map(|&c| f64::from(c)).sum();
        let mut left = p * total;
        for (i, &c) in row.iter().enumerate() {
            let c = f64::from(c);
            if left <= c && c > 0.0 {
                return edge(i) + (edge(i + 1) - edge(i)) * (left / c);
            }
            left -= c;
        }
        edge(BINS)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<f32>()
    }
}

/// Lower edge of a bin, in volatilities.
fn edge(i: usize) -> f64 {
    ((i as f64 - BINS as f64 / 2.0) / BINS_PER_UNIT).sinh()
}

fn bin(z: f64) -> usize {
    // The cast saturates, and takes NaN to 0.
    let i = (z.asinh() * BINS_PER_UNIT + BINS as f64 / 2.0).floor() as usize;
    i.min(BINS - 1)
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_residuals() {
        let mut bands = Bands::new(1);
        for i in 0..20_000 {
            // Even over -1..1: a mean magnitude, and so a volatility, of one half.
            let e = f64::from(i * 7_919 % 20_000) / 10_000.0 - 1.0;
            bands.learn(&[Some(e)], bands.scale());
        }
        for (p, expected) in [(0.05, -0.9), (0.5, 0.0), (0.9, 0.8)] {
            let q = bands.quantile(0, p) * bands.scale();
            assert!((q - expected).abs() < 0.1, "{p}: {q}");
        }
        assert!(bands.quantile(0, 0.0) <= bands.quantile(0, 1.0));
    }
}
