//! Several ridge regressions over the same rows: one Gram matrix, one factorisation.

use serde::{Deserialize, Serialize};

use super::features;

/// Penalty, in rows: a regressor's own variance times this is added to the diagonal.
const PENALTY_ROWS: f64 = 30.0;
/// Memory in seasons, and its bounds in rows.
const MEMORY_SEASONS: f64 = 7.0;
const MEMORY_MIN: f64 = 2_000.0;
const MEMORY_MAX: f64 = 20_000.0;
/// Residuals are clipped at this many robust standard deviations before they teach.
const CLIP: f64 = 1.5;
/// Rows between two factorisations, once the model has settled.
const REFIT_ROWS: u64 = 64;

/// Exponentially forgetting ridge regression with `outputs` targets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ridge {
    width: usize,
    outputs: usize,
    /// Rows until the harmonics of the day may be believed; 0 without a season.
    season_rows: u64,
    forget: f64,
    rows: u64,
    weight: f64,
    /// Lower triangle, row by row.
    gram: Vec<f64>,
    /// `outputs` x `width`.
    moment: Vec<f64>,
    /// `outputs` x `width`; empty before the first fit.
    coef: Vec<f64>,
    /// Mean absolute residual per output.
    spread: Vec<f64>,
}

impl Ridge {
    pub(super) fn new(width: usize, outputs: usize, season: Option<usize>) -> Self {
        let memory =
            season.map_or(MEMORY_MAX, |s| MEMORY_SEASONS * s as f64).clamp(MEMORY_MIN, MEMORY_MAX);
        Self {
            width,
            outputs,
            season_rows: season.unwrap_or(0) as u64,
            forget: 1.0 - 1.0 / memory,
            rows: 0,
            weight: 0.0,
            gram: vec![0.0; width * (width + 1) / 2],
            moment: vec![0.0; width * outputs],
            coef: Vec::new(),
            spread: vec![0.0; outputs],
        }
    }

    /// Whether there is a fit to predict with.
    pub(super) fn is_ready(&self) -> bool {
        !self.coef.is_empty()
    }

    /// One prediction per output; empty before the first fit.
    pub(super) fn predict(&self, x: &[f32]) -> Vec<f64> {
        self.coef.chunks_exact(self.width).map(|c| dot(c, x)).collect()
    }

    /// Learns one row. A missing target teaches nothing: the model's own prediction stands in.
    /// Gives the residuals of the prediction made before learning, where there was one.
    pub(super) fn learn(&mut self, x: &[f32], targets: &[Option<f64>]) -> Option<Vec<Option<f64>>> {
        let predicted = self.predict(x);
        if predicted.is_empty() && targets.iter().any(Option::is_none) {
            return None;
        }
        self.rows += 1;
        self.weight = self.weight * self.forget + 1.0;
        let mut at = 0;
        for (i, &xi) in x.iter().enumerate() {
            let xi = f64::from(xi);
            for (g, &xj) in self.gram[at..=at + i].iter_mut().zip(x) {
                *g = *g * self.forget + xi * f64::from(xj);
            }
            at += i + 1;
        }
        let mut residuals = Vec::with_capacity(self.outputs);
        for (k, moment) in self.moment.chunks_exact_mut(self.width).enumerate() {
            let target = targets.get(k).copied().flatten();
            let (taught, residual) = match (predicted.get(k), target) {
                (Some(&p), Some(t)) => {
                    let spread = &mut self.spread[k];
                    let clip = CLIP * 1.4826 * *spread;
                    let e = t - p;
                    // The median tracker moves by steps: bounded, whatever the outlier.
                    let young = (10.0 / self.rows as f64).max(0.005);
                    *spread = if *spread == 0.0 {
                        e.abs()
                    } else {
                        *spread * (1.0 + young * (e.abs() - *spread).signum())
                    };
                    (p + if clip > 0.0 { e.clamp(-clip, clip) } else { e }, Some(e))
                }
                (None, Some(t)) => (t, None),
                (Some(&p), None) => (p, None),
                (None, None) => (0.0, None),
            };
            residuals.push(residual);
            for (m, &xi) in moment.iter_mut().zip(x) {
                *m = *m * self.forget + taught * f64::from(xi);
            }
        }
        self.refit_when_due();
        (!predicted.is_empty()).then_some(residuals)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let cells = self.gram.capacity()
            + self.moment.capacity()
            + self.coef.capacity()
            + self.spread.capacity();
        cells * size_of::<f64>()
    }

    fn refit_when_due(&mut self) {
        let first = 4 * self.width as u64;
        let every = (self.rows / 16).clamp(4, REFIT_ROWS);
        if self.rows >= first && self.rows.is_multiple_of(every) {
            self.refit();
        }
    }

    /// Solves the penalised normal equations; keeps the last fit when they cannot be solved.
    fn refit(&mut self) {
        let n = self.width;
        let harmonic_from =
            n.saturating_sub(features::harmonics((self.season_rows > 0).then_some(1.0)));
        let young = self.rows < self.season_rows;
        let mut l = self.gram.clone();
        for i in 0..n {
            let d = i * (i + 1) / 2 + i;
            let own = l[d] / self.weight;
            // Part of a day cannot tell a harmonic from a trend: hold them down until then.
            let rows = if young && i >= harmonic_from { 1e6 } else { PENALTY_ROWS };
            l[d] += rows * own + 1e-9;
        }
        if !cholesky(&mut l, n) {
            return;
        }
        let mut coef = self.moment.clone();
        for b in coef.chunks_exact_mut(n) {
            solve(&l, b);
        }
        if coef.iter().all(|c| c.is_finite()) {
            self.coef = coef;
        }
    }
}

fn dot(c: &[f64], x: &[f32]) -> f64 {
    c.iter().zip(x).map(|(c, &x)| c * f64::from(x)).sum()
}

/// Factorises a packed lower triangle in place; false when it is not positive definite.
fn cholesky(a: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        let ri = i * (i + 1) / 2;
        for j in 0..=i {
            let rj = j * (j + 1) / 2;
            let s: f64 = (0..j).map(|k| a[ri + k] * a[rj + k]).sum();
            let v = a[ri + j] - s;
            if i == j {
                if !(v.is_finite() && v > 0.0) {
                    return false;
                }
                a[ri + j] = v.sqrt();
            } else {
                a[ri + j] = v / a[rj + j];
            }
        }
    }
    true
}

/// Forward and back substitution with a packed lower triangle.
fn solve(l: &[f64], b: &mut [f64]) {
    let n = b.len();
    for i in 0..n {
        let ri = i * (i + 1) / 2;
        let s: f64 = (0..i).map(|k| l[ri + k] * b[k]).sum();
        b[i] = (b[i] - s) / l[ri + i];
    }
    for i in (0..n).rev() {
        let s: f64 = (i + 1..n).map(|k| l[k * (k + 1) / 2 + i] * b[k]).sum();
        b[i] = (b[i] - s) / l[i * (i + 1) / 2 + i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_law_is_found_despite_gaps_and_outliers() {
        let mut ridge = Ridge::new(3, 2, None);
        let mut seed = 1_u64;
        let mut noise = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as f64 / 8_388_608.0 - 1.0
        };
        for i in 0..5_000 {
            let x = [1.0, noise() as f32, noise() as f32];
            let y = 2.0 + 3.0 * f64::from(x[1]) - f64::from(x[2]);
            let wild = if i % 50 == 49 { 1e3 } else { 0.0 };
            let second = (i % 3 != 0 || !ridge.is_ready()).then_some(-y);
            ridge.learn(&x, &[Some(y + 0.1 * noise() + wild), second]);
        }
        let p = ridge.predict(&[1.0, 1.0, -1.0]);
        assert!((p[0] - 6.0).abs() < 0.3 && (p[1] + 6.0).abs() < 0.3, "{p:?}");
    }

    #[test]
    fn a_gram_without_rank_is_still_solved() {
        let mut ridge = Ridge::new(4, 1, Some(10));
        for _ in 0..200 {
            ridge.learn(&[1.0, 0.0, 0.0, 0.0], &[Some(5.0)]);
        }
        assert!(ridge.predict(&[1.0, 0.0, 0.0, 0.0]).iter().all(|p| p.is_finite()));
    }
}
