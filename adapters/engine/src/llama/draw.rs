//! Which token comes next: a function of the scores, the tokens before, the seed and the place in
//! the answer, and of nothing else, so that an answer can be gone on with anywhere.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use oag_serve::{EngineError, Sampling, TokenLogprob};

/// So many of the likeliest tokens are sorted at first; more only when they do not suffice.
const SORTED_FIRST: usize = 512;

/// A token and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: i32,
    pub(super) score: f32,
}

/// How the tokens of one answer are drawn.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    presence: f32,
    frequency: f32,
    seed: u64,
    /// How often each token is in the answer.
    counts: HashMap<i32, u32>,
}

impl Draw {
    /// As a request wants it. Without a seed, one is taken at random.
    pub(super) fn new(sampling: Sampling) -> Result<Self, EngineError> {
        let temperature = sampling.temperature.unwrap_or(1.0);
        if !(0.0..=10.0).contains(&temperature) {
            return Err(EngineError::refused("temperature", "must be between 0 and 10"));
        }
        let top_p = sampling.top_p.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(EngineError::refused("top_p", "must be above 0 and at most 1"));
        }
        let penalty = |field, value: Option<f32>| {
            let value = value.unwrap_or(0.0);
            let fits = (-2.0..=2.0).contains(&value);
            fits.then_some(value)
                .ok_or_else(|| EngineError::refused(field, "must be between -2 and 2"))
        };
        Ok(Self {
            temperature,
            // None and 0 both mean all of them.
            top_k: sampling.top_k.and_then(|k| usize::try_from(k).ok()).unwrap_or(0),
            top_p,
            presence: penalty("presence_penalty", sampling.presence_penalty)?,
            frequency: penalty("frequency_penalty", sampling.frequency_penalty)?,
            seed: sampling.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish()),
            counts: HashMap::new(),
        })
    }

    /// A token is in the answer from now on.
    pub(super) fn count(&mut self, token: i32) {
        if self.presence != 0.0 || self.frequency != 0.0 {
            *self.counts.entry(token).or_default() += 1;
        }
    }

    /// The candidates with their scores, less what they pay for being in the answer already.
    pub(super) fn candidates(&self, scores: &[f32], into: &mut Vec<Candidate>) {
        into.clear();
        into.extend((0..).zip(scores).map(|(token, score)| Candidate { token, score: *score }));
        for (token, count) in &self.counts {
            let at = usize::try_from(*token).ok().and_then(|at| into.get_mut(at));
            if let Some(candidate) = at {
                #[expect(clippy::cast_precision_loss, reason = "answers are shorter than 2^24")]
                let paid = self.presence + self.frequency * *count as f32;
                candidate.score -= paid;
            }
        }
    }

    /// The token at a place of the answer; none when no candidate is possible. The order of the
    /// candidates is changed.
    pub(super) fn pick(&self, candidates: &mut [Candidate], place: u64) -> Option<i32> {
        if self.temperature == 0.0 || self.top_k == 1 {
            let best = candidates.iter().min_by(|one, other| likelier(one, other))?;
            return (best.score > f32::NEG_INFINITY).then_some(best.token);
        }
        let best = candidates.iter().map(|one| one.score).fold(f32::NEG_INFINITY, f32::max);
        if best == f32::NEG_INFINITY {
            return None;
        }
        let temperature = self.temperature;
        let weight = |one: &Candidate| f64::from((one.score - best) / temperature).exp();
        let open = self.likeliest(candidates, weight);
        let total: f64 = open.iter().map(weight).sum();
        let mut left = uniform(self.seed, place) * total;
        for candidate in open {
            left -= weight(candidate);
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        // Rounding may leave a little over.
        open.iter().rev().find(|last| weight(last) > 0.0).map(|last| last.token)
    }

    /// The candidates that may be drawn.
    fn likeliest<'a>(
        &self,
        candidates: &'a mut [Candidate],
        weight: impl Fn(&Candidate) -> f64,
    ) -> &'a [Candidate] {
        let pool = if self.top_k > 0 && self.top_k < candidates.len() {
            candidates.select_nth_unstable_by(self.top_k, likelier);
            &mut candidates[..self.top_k]
        } else {
            candidates
        };
        if self.top_p >= 1.0 {
            return pool;
        }
        let enough = f64::from(self.top_p) * pool.iter().map(&weight).sum::<f64>();
        for sorted in [SORTED_FIRST.min(pool.len()), pool.len()] {
            if sorted < pool.len() {
                pool.select_nth_unstable_by(sorted, likelier);
            }
            pool[..sorted].sort_unstable_by(likelier);
            let mut sum = 0.0;
            let last = pool[..sorted].iter().position(|one| {
                sum += weight(one);
                sum >= enough
            });
            if let Some(last) = last {
                return &pool[..=last];
            }
        }
        pool
    }
}

/// Likelier tokens first, equals by number.
fn likelier(one: &Candidate, other: &Candidate) -> Ordering {
    other.score.total_cmp(&one.score).then(one.token.cmp(&other.token))
}

/// The logarithm of a token's probability, and the likeliest tokens with theirs.
pub(super) fn logprob(
    scores: &[f32],
    token: i32,
    top: usize,
    text: impl Fn(i32) -> String,
) -> TokenLogprob {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = scores.iter().map(|score| f64::from(score - best).exp()).sum();
    #[expect(clippy::cast_possible_truncation, reason = "digits nobody reads")]
    let of = |score: f32| (f64::from(score - best) - total.ln()).max(-1e4) as f32;
    let mut order: Vec<Candidate> = Vec::new();
    if top > 0 {
        order.extend((0..).zip(scores).map(|(token, score)| Candidate { token, score: *score }));
        if top < order.len() {
            order.select_nth_unstable_by(top, likelier);
            order.truncate(top);
        }
        order.sort_unstable_by(likelier);
    }
    let score = usize::try_from(token).ok().and_then(|at| scores.get(at).copied());
    TokenLogprob {
        token: text(token),
        logprob: of(score.unwrap_or(f32::NEG_INFINITY)),
        top: order.iter().map(|one| (text(one.token), of(one.score))).collect(),
    }
}

/// A number from 0 up to but not 1 for a place in the answer under a seed.
fn uniform(seed: u64, place: u64) -> f64 {
    let bits = mix(mix(seed) ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let share = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

/// The last steps of splitmix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sampling: Sampling, scores: &[f32], times: u64) -> HashMap<i32, u64> {
        let draw = Draw::new(sampling).unwrap();
        let (mut candidates, mut counts) = (Vec::new(), HashMap::new());
        for place in 0..times {
            draw.candidates(scores, &mut candidates);
            *counts.entry(draw.pick(&mut candidates, place).unwrap()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        // Probabilities 1/2, 1/4, 1/8, 1/8.
        let scores = [4.0_f32, 2.0, 1.0, 1.0].map(f32::ln);
        let seeded = Sampling { seed: Some(7), ..Sampling::default() };
        let all = drawn(seeded, &scores, 80_000);
        for (token, share) in [(0, 0.5), (1, 0.25), (2, 0.125), (3, 0.125)] {
            let came = all[&token] as f64 / 80_000.0;
            assert!((came - share).abs() < 0.01, "{token}: {came}");
        }
        let cold = drawn(Sampling { temperature: Some(0.5), ..seeded }, &scores, 80_000);
        // Squares: 16, 4, 1, 1 of 22.
        assert!((cold[&0] as f64 / 80_000.0 - 16.0 / 22.0).abs() < 0.01);
        let nucleus = drawn(Sampling { top_p: Some(0.75), ..seeded }, &scores, 1_000);
        assert_eq!(nucleus.len(), 2);
        let three = Sampling { top_k: Some(3), top_p: Some(0.99), ..seeded };
        assert_eq!(drawn(three, &scores, 1_000).len(), 3);
        let greedy = drawn(Sampling { temperature: Some(0.0), ..seeded }, &scores, 10);
        assert_eq!(greedy, HashMap::from([(0, 10)]));
    }

    #[test]
    fn a_flat_start_is_sorted_as_far_as_needed() {
        let scores = vec![0.0_f32; 2_000];
        let half = Sampling { top_p: Some(0.5), seed: Some(1), ..Sampling::default() };
        let came = drawn(half, &scores, 300);
        assert!(came.keys().all(|token| *token < 1_000), "only the first half, by number");
        assert!(came.keys().any(|token| *token > 800));
    }

    #[test]
    fn penalties_are_paid_by_what_was_said() {
        let sampling = Sampling {
            temperature: Some(0.0),
            frequency_penalty: Some(0.6),
            ..Sampling::default()
        };
        let mut draw = Draw::new(sampling).unwrap();
        let (mut candidates, mut said) = (Vec::new(), Vec::new());
        for place in 0..5 {
            draw.candidates(&[1.0, 0.0], &mut candidates);
            let token = draw.pick(&mut candidates, place).unwrap();
            draw.count(token);
            said.push(token);
        }
        assert_eq!(said, [0, 0, 1, 0, 1]);
    }

    #[test]
    fn probabilities_are_told_with_the_likeliest_beside() {
        let told =
            logprob(&[4.0_f32.ln(), 0.0, 2.0_f32.ln(), 0.0], 1, 2, |token| token.to_string());
        assert!((told.logprob - 0.125_f32.ln()).abs() < 1e-6);
        let names: Vec<&str> = told.top.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["0", "2"]);
        assert!((told.top[0].1 - 0.5_f32.ln()).abs() < 1e-6);
    }
}
