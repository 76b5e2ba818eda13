//! Small arithmetic over measurements, and numbers that look random and are the same every time.

use std::f64::consts::TAU;

/// The value below which this share of the values lies; 0 without values.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of an index is an index"
    )]
    let at = (count(last) * share).ceil() as usize;
    values.get(at.min(last)).copied().unwrap_or_default()
}

/// A count as a number to divide with.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
pub(crate) const fn count(number: usize) -> f64 {
    number as f64
}

/// A generator with a seed.
#[derive(Debug, Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    /// Seeded; the same seed gives the same numbers.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Evenly between 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around 0 with a standard deviation of 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}

/// A day's wave between -1 and 1 with its top at `peak_h` o'clock.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a day fit")]
pub(crate) fn day_wave(at_ms: i64, peak_h: f64) -> f64 {
    let hour = at_ms.rem_euclid(86_400_000) as f64 / 3_600_000.0;
    (TAU * (hour - peak_h) / 24.0).cos()
}
