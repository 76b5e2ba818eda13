//! Which token comes next: a function of the scores, the tokens before, the seed and the place in
//! the answer, and of nothing else, so that an answer can be gone on with anywhere.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use oag_serve::{EngineError, Sampling, TokenLogprob};

use super::weigh::{Weights, highest, reached_by};

/// So many of the likeliest tokens are sorted at first; more only when they do not suffice.
const SORTED_FIRST: usize = 512;

/// Sums are rounded by less than this share.
const ROUNDING: f64 = 1e-6;

/// A score and its place among all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    at: usize,
    score: f32,
}

/// Room to work in, kept from one token to the next.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) paid: Vec<f32>,
    pub(super) parts: Vec<f64>,
    pub(super) pool: Vec<Candidate>,
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

    /// The scores, less what tokens pay for being in the answer already.
    pub(super) fn paid<'s>(&self, scores: &'s [f32], into: &'s mut Vec<f32>) -> &'s [f32] {
        if self.counts.is_empty() {
            return scores;
        }
        into.clear();
        into.extend_from_slice(scores);
        for (token, count) in &self.counts {
            let score = usize::try_from(*token).ok().and_then(|at| into.get_mut(at));
            if let Some(score) = score {
                #[expect(clippy::cast_precision_loss, reason = "answers are shorter than 2^24")]
                let paid = self.presence + self.frequency * *count as f32;
                *score -= paid;
            }
        }
        into
    }

    /// Which of the scores is drawn at a place of the answer; none when none is possible.
    pub(super) fn pick(
        &self,
        scores: &[f32],
        place: u64,
        parts: &mut Vec<f64>,
        pool: &mut Vec<Candidate>,
    ) -> Option<usize> {
        if self.temperature == 0.0 || self.top_k == 1 {
            let best = highest(scores);
            let possible = best > f32::NEG_INFINITY;
            return scores.iter().position(|score| possible && *score == best);
        }
        let weights = Weights::of(scores, self.temperature)?;
        let uniform = uniform(self.seed, place);
        let top_k = Some(self.top_k).filter(|top_k| (1..scores.len()).contains(top_k));
        if top_k.is_none() && self.top_p >= 1.0 {
            return weights.draw(uniform, parts);
        }
        let open = self.likeliest(weights, top_k, pool);
        let weight = |one: &Candidate| f64::from(weights.at(one.score));
        let mut left = uniform * open.iter().map(weight).sum::<f64>();
        let drawn = open.iter().find(|one| {
            left -= weight(one);
            left < 0.0
        });
        // Rounding may leave a little over.
        let last = || open.iter().rev().find(|last| weight(last) > 0.0);
        drawn.or_else(last).map(|one| one.at)
    }

    /// The scores that may be drawn.
    fn likeliest<'p>(
        &self,
        weights: Weights<'_>,
        top_k: Option<usize>,
        pool: &'p mut Vec<Candidate>,
    ) -> &'p [Candidate] {
        let scores = weights.scores();
        let all = if top_k.is_none() { weights.sum() } else { 0.0 };
        let bound = top_k.map_or_else(
            || {
                // What is lighter is, all of it together, less than may be left out.
                #[expect(clippy::cast_precision_loss, reason = "vocabularies are below 2^53")]
                let each = (1.0 - f64::from(self.top_p)) * all / scores.len() as f64;
                weights.score(each * (1.0 - ROUNDING)) - f32::EPSILON
            },
            |top_k| reached_by(scores, top_k),
        );
        pool.clear();
        let heavy = scores.iter().enumerate().filter(|(_, score)| **score >= bound);
        pool.extend(heavy.map(|(at, score)| Candidate { at, score: *score }));
        if let Some(top_k) = top_k
            && top_k < pool.len()
        {
            pool.select_nth_unstable_by(top_k, likelier);
            pool.truncate(top_k);
        }
        if self.top_p >= 1.0 {
            return pool;
        }
        let weight = |one: &Candidate| f64::from(weights.at(one.score));
        let all = if top_k.is_some() { pool.iter().map(weight).sum() } else { all };
        let enough = f64::from(self.top_p) * all * (1.0 - ROUNDING);
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

/// Likelier ones first, equals by their place.
fn likelier(one: &Candidate, other: &Candidate) -> Ordering {
    other.score.total_cmp(&one.score).then(one.at.cmp(&other.at))
}

/// The logarithm of a token's probability, and the likeliest tokens with theirs.
pub(super) fn logprob(
    scores: &[f32],
    token: i32,
    top: usize,
    text: impl Fn(i32) -> String,
) -> TokenLogprob {
    let weights = Weights::of(scores, 1.0);
    let (best, total) = weights.map_or((0.0, 1.0), |all| (all.score(1.0), all.sum()));
    #[expect(clippy::cast_possible_truncation, reason = "digits nobody reads")]
    let of = |score: f32| (f64::from(score - best) - total.ln()).max(-1e4) as f32;
    let mut order: Vec<Candidate> = Vec::new();
    if top > 0 {
        let bound = reached_by(scores, top);
        let high = scores.iter().enumerate().filter(|(_, score)| **score >= bound);
        order.extend(high.map(|(at, score)| Candidate { at, score: *score }));
        order.sort_unstable_by(likelier);
        order.truncate(top);
    }
    let score = usize::try_from(token).ok().and_then(|at| scores.get(at).copied());
    let shown = |one: &Candidate| (text(i32::try_from(one.at).unwrap_or(-1)), of(one.score));
    TokenLogprob {
        token: text(token),
        logprob: of(score.unwrap_or(f32::NEG_INFINITY)),
        top: order.iter().map(shown).collect(),
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

    fn drawn(sampling: Sampling, scores: &[f32], times: u64) -> HashMap<usize, u64> {
        let draw = Draw::new(sampling).unwrap();
        let (mut parts, mut pool, mut counts) = (Vec::new(), Vec::new(), HashMap::new());
        for place in 0..times {
            let drawn = draw.pick(scores, place, &mut parts, &mut pool).unwrap();
            *counts.entry(drawn).or_default() += 1;
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
    fn the_likeliest_of_many_are_the_ones_that_sorting_finds() {
        // Every score is there once, in no order.
        let scores: Vec<f32> = (0..5_000).map(|at| ((at * 3_571) % 5_003) as f32 / 300.0).collect();
        let mut sorted: Vec<usize> = (0..scores.len()).collect();
        sorted.sort_unstable_by(|one, other| scores[*other].total_cmp(&scores[*one]));
        let all: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
        for (top_k, top_p) in [(7, 1.0), (60, 0.8), (0, 0.5), (0, 0.99)] {
            let seeded = Sampling { seed: Some(3), top_p: Some(top_p), ..Sampling::default() };
            let draw = Draw::new(Sampling { top_k: Some(top_k), ..seeded }).unwrap();
            let mut pool = Vec::new();
            let weights = Weights::of(&scores, 1.0).unwrap();
            let some = (top_k > 0).then_some(top_k as usize);
            let mut have: Vec<usize> =
                draw.likeliest(weights, some, &mut pool).iter().map(|one| one.at).collect();
            let first = &sorted[..some.unwrap_or(sorted.len())];
            let whole = some.map_or(all, |_| first.iter().map(|at| weight(&scores, *at)).sum());
            let mut sum = 0.0;
            let count = first.iter().take_while(|at| {
                let before = sum;
                sum += weight(&scores, **at);
                before < f64::from(top_p) * whole * (1.0 - 1e-6)
            });
            let mut want: Vec<usize> = count.copied().collect();
            want.sort_unstable();
            have.sort_unstable();
            assert_eq!(have, want, "{top_k} {top_p}");
        }
    }

    fn weight(scores: &[f32], at: usize) -> f64 {
        f64::from(scores[at]).exp()
    }

    #[test]
    fn penalties_are_paid_by_what_was_said() {
        let sampling = Sampling {
            temperature: Some(0.0),
            frequency_penalty: Some(0.6),
            ..Sampling::default()
        };
        let mut draw = Draw::new(sampling).unwrap();
        let (mut room, mut said) = (Room::default(), Vec::new());
        for place in 0..5 {
            let scores = draw.paid(&[1.0, 0.0], &mut room.paid);
            let token = draw.pick(scores, place, &mut room.parts, &mut room.pool).unwrap();
            draw.count(i32::try_from(token).unwrap());
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
