//! Arithmetic over the scores of a whole vocabulary, which is done for each token of each answer.
//! It is written so that the compiler calculates several numbers side by side, and comes to the
//! same on every processor of a kind.

/// So many scores are added up by themselves; a draw looks into one such part.
const PART: usize = 1_024;
/// The highest of each so many scores tells which can be among the likeliest.
const FEW: usize = 64;
/// Numbers that are calculated side by side.
const LANES: usize = 16;
/// The weight of a lower exponent is nothing.
const NOTHING: f32 = -87.0;

/// How likely tokens are, but for a factor: `e` to the power of what their scores are above the
/// best one, over the temperature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'s> {
    scores: &'s [f32],
    best: f32,
    temperature: f32,
}

impl<'s> Weights<'s> {
    /// Of all these scores; none where no token is possible.
    pub(super) fn of(scores: &'s [f32], temperature: f32) -> Option<Self> {
        let best = highest(scores);
        (best > f32::NEG_INFINITY).then_some(Self { scores, best, temperature })
    }

    /// What they are of.
    pub(super) const fn scores(self) -> &'s [f32] {
        self.scores
    }

    /// That of a score.
    pub(super) fn at(self, score: f32) -> f32 {
        exp((score - self.best) / self.temperature)
    }

    /// The score that has a weight.
    #[expect(clippy::cast_possible_truncation, reason = "scores are of f32")]
    pub(super) fn score(self, weight: f64) -> f32 {
        (f64::from(self.best) + weight.ln() * f64::from(self.temperature)) as f32
    }

    /// All of them together.
    pub(super) fn sum(self) -> f64 {
        self.scores.chunks(PART).map(|part| self.part(part)).sum()
    }

    /// The place that a number from 0 up to 1 stands for; `parts` is room to work in.
    pub(super) fn draw(self, uniform: f64, parts: &mut Vec<f64>) -> Option<usize> {
        parts.clear();
        parts.extend(self.scores.chunks(PART).map(|part| self.part(part)));
        let mut left = uniform * parts.iter().sum::<f64>();
        // Rounding may leave a little over: that is for the last that can be drawn.
        let last = parts.iter().rposition(|sum| *sum > 0.0)?;
        let mut at = 0;
        while at < last && left >= parts[at] {
            left -= parts[at];
            at += 1;
        }
        let from = at * PART;
        let scores = self.scores.get(from..)?.iter().take(PART);
        let weights = scores.map(|score| f64::from(self.at(*score)));
        // Added up one by one they come to a little more or less.
        left *= weights.clone().sum::<f64>() / parts[at];
        let drawn = weights.clone().position(|weight| {
            left -= weight;
            left < 0.0
        });
        let last = || weights.clone().rposition(|weight| weight > 0.0);
        drawn.or_else(last).map(|place| from + place)
    }

    fn part(self, scores: &[f32]) -> f64 {
        let mut sums = [0.0_f32; LANES];
        let (chunks, rest) = scores.as_chunks::<LANES>();
        for chunk in chunks {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *sum += self.at(*score);
            }
        }
        let rest = rest.iter().map(|score| self.at(*score));
        f64::from(sums.into_iter().chain(rest).sum::<f32>())
    }
}

/// The highest score; minus infinity where there is none.
pub(super) fn highest(scores: &[f32]) -> f32 {
    let higher = |one: f32, other: f32| if other > one { other } else { one };
    let mut most = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for (most, score) in most.iter_mut().zip(chunk) {
            *most = higher(*most, *score);
        }
    }
    most.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, higher)
}

/// A score that at least so many reach, and not many more where they lie apart from each other.
pub(super) fn reached_by(scores: &[f32], count: usize) -> f32 {
    let mut most: Vec<f32> = scores.chunks(FEW).map(highest).collect();
    if count == 0 || count > most.len() {
        return f32::NEG_INFINITY;
    }
    *most.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one)).1
}

/// `e` to the power of a number that is not above 0; nothing where that is below `NOTHING`. The
/// series of Taylor around the next power of two, whose relative error is below 3e-7.
fn exp(power: f32) -> f32 {
    // Added to it, a number loses what is behind its point, and its last bits are the rest.
    const ROUND: f32 = 12_582_912.0;
    let twos = power.max(NOTHING) * std::f32::consts::LOG2_E;
    let rounded = twos + ROUND;
    let rest = (twos - (rounded - ROUND)) * std::f32::consts::LN_2;
    let series = rest * (1.0 / 720.0) + 1.0 / 120.0;
    let series = (series * rest + 1.0 / 24.0) * rest + 1.0 / 6.0;
    let series = ((series * rest + 0.5) * rest + 1.0) * rest + 1.0;
    let raised = f32::from_bits(series.to_bits().wrapping_add(rounded.to_bits() << 23));
    if power < NOTHING { 0.0 } else { raised }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_right_to_the_last_digits() {
        for step in 0..=870_000_u32 {
            let power = -(step as f32) * 1e-4;
            let (have, want) = (f64::from(exp(power)), f64::from(power).exp());
            // The power itself is rounded when it is split, by up to its last bit.
            let error = 3e-7 + f64::from(-power) * 1.2e-7;
            assert!((have / want - 1.0).abs() < error, "{power}: {have} for {want}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-87.5), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn a_draw_finds_its_place_in_a_large_vocabulary() {
        // Only these three can come, as often as 1 to 2 to 1.
        let mut scores = vec![f32::NEG_INFINITY; 5_000];
        for (place, score) in [(3, 0.0_f32), (2_047, 2.0_f32.ln()), (4_999, 0.0)] {
            scores[place] = score;
        }
        let weights = Weights::of(&scores, 1.0).unwrap();
        let mut parts = Vec::new();
        let mut draw = |uniform| weights.draw(uniform, &mut parts).unwrap();
        let drawn = [0.0, 0.24, 0.26, 0.74, 0.76, 0.999_999_999_999].map(&mut draw);
        assert_eq!(drawn, [3, 3, 2_047, 2_047, 4_999, 4_999]);
        assert!((weights.sum() - 2.0).abs() < 1e-6);
        assert!(Weights::of(&[f32::NEG_INFINITY; 40], 1.0).is_none());
        assert!(Weights::of(&[], 1.0).is_none());
    }

    #[test]
    fn the_likeliest_reach_the_bound() {
        let scores: Vec<f32> = (0..3_000).map(|at| ((at * 7_919) % 3_001) as f32).collect();
        let mut sorted = scores.clone();
        sorted.sort_unstable_by(|one, other| other.total_cmp(one));
        for count in [1, 2, 20, 47] {
            let bound = reached_by(&scores, count);
            assert!(bound <= sorted[count - 1]);
            assert!(scores.iter().filter(|score| **score >= bound).count() >= count);
        }
        assert_eq!(reached_by(&scores, 1), sorted[0]);
        assert_eq!(reached_by(&scores, 48), f32::NEG_INFINITY);
        assert_eq!(highest(&scores), sorted[0]);
    }
}
