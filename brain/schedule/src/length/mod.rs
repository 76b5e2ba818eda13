//! How long an answer will be, learned from finished tasks as they come.
//!
//! Answers that have something in common share a cell: the model, the kind of request, then with
//! the prompt's length in coarse and finer steps, then with the tenant. Each level is shrunk
//! towards the coarser one before it, by how much it has seen (hierarchical shrinkage, after James
//! and Stein); each forgets what is old. The number of cells is fixed. The prompt's length is never
//! taken for the size of a task: it only says which kind of request it is.
//!
//! A task that was cut off (cancelled, pre-empted for good, at its token limit) says only that its
//! answer is longer than what was written: its observation is spread over the longer lengths as
//! the model expects them (redistribution to the right, Efron 1967).

mod cells;
mod histogram;

use serde::{Deserialize, Serialize};

pub use histogram::Distribution;

use cells::Cells;
use histogram::{BUCKETS, bucket, upper};

/// Cells of a predictor, unless told otherwise.
const CELLS: usize = 4_096;
/// Observations of the coarser level that a finer one starts with.
const PRIOR: f64 = 5.0;
/// Steps of the prompt's length, as shares: coarse, middle, fine.
const STEPS: [f64; 3] = [0.5, 0.1, 0.02];
/// Added to the prompt's length, so that very short ones do not part finely.
const OFFSET: f64 = 10.0;
/// Mean answer assumed before anything was seen, in tokens.
const FIRST_GUESS: f64 = 200.0;

/// What is known about a request when it arrives. Nothing else may be predicted from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The model that is asked.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// The most tokens the answer may have, where the request says.
    pub answer_tokens_max: Option<u32>,
    /// Where the request came in, or another name for its kind.
    pub route: Option<String>,
    /// Number of stop sequences.
    pub stops: u8,
    /// Whether tools are offered.
    pub tools: bool,
    /// Whether the answer must fit a schema.
    pub schema: bool,
}

/// How a task ended, for learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The answer came to its end, with this many tokens.
    Complete(u32),
    /// It was cut off after this many tokens: by its limit, by its caller, or by us.
    CutOff(u32),
}

/// What a [`Predictor`] expects of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Expected tokens of the answer, its limit respected.
    pub tokens: f64,
    distribution: Distribution,
    most: f64,
}

impl Prediction {
    /// The length below which this share (0 to 1) of such answers ends, in tokens.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        self.distribution.quantile(share).min(self.most)
    }

    /// Expected tokens still to come after `attained`; at least one.
    #[must_use]
    pub fn residual(&self, attained: f64) -> f64 {
        if attained <= 0.0 {
            return self.tokens;
        }
        self.distribution.residual(attained).min((self.most - attained).max(1.0))
    }
}

/// A streaming model of answer lengths; bounded memory, the same input gives the same output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Predictor {
    cells: Cells,
}

impl Default for Predictor {
    fn default() -> Self {
        Self::new(CELLS)
    }
}

impl Predictor {
    /// One that has seen nothing, with this many cells of about 250 bytes.
    #[must_use]
    pub fn new(cells: usize) -> Self {
        Self { cells: Cells::new(cells) }
    }

    /// What to expect of a request.
    #[must_use]
    pub fn predict(&self, facts: &Facts, tenant: &str) -> Prediction {
        let (mean, distribution) = self.expect(&keys(facts, tenant));
        let most = facts.answer_tokens_max.map_or(f64::INFINITY, |most| f64::from(most.max(1)));
        let cut = distribution.mean_up_to(most);
        let whole = distribution.mean_up_to(f64::INFINITY);
        // The mean is exact, the distribution is not: it only says what the limit takes away.
        let tokens = (mean * cut / whole.max(1e-9)).clamp(1.0, most);
        Prediction { tokens, distribution, most }
    }

    /// Learns how a request ended.
    pub fn learn(&mut self, facts: &Facts, tenant: &str, ending: Ending) {
        let keys = keys(facts, tenant);
        let (mean, spread) = match ending {
            Ending::Complete(tokens) => {
                let mut spread = [0.0; BUCKETS];
                spread[bucket(f64::from(tokens))] = 1.0;
                (f64::from(tokens), spread)
            }
            Ending::CutOff(tokens) => {
                let tokens = f64::from(tokens);
                let (_, expected) = self.expect(&keys);
                (tokens + expected.residual(tokens), beyond(&expected, tokens))
            }
        };
        self.cells.observe();
        for key in keys {
            self.cells.learn(key, mean, &spread);
        }
    }

    /// Bytes held, heap included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.cells.memory_bytes()
    }

    /// Mean and distribution for keys from coarse to fine.
    fn expect(&self, keys: &[u64]) -> (f64, Distribution) {
        let mut mean = FIRST_GUESS;
        let mut shares = *Distribution::of([0.0; BUCKETS]).shares();
        for cell in keys.iter().filter_map(|key| self.cells.get(*key)) {
            let all = cell.count() + PRIOR;
            mean = (cell.count() * cell.mean() + PRIOR * mean) / all;
            for (share, own) in shares.iter_mut().zip(cell.shares()) {
                *share = (own + PRIOR * *share) / all;
            }
        }
        (mean, Distribution::of(shares))
    }
}

/// One observation beyond `tokens`, as the distribution expects them.
fn beyond(expected: &Distribution, tokens: f64) -> [f64; BUCKETS] {
    let mut spread = *expected.shares();
    let from = bucket(tokens);
    for (at, share) in spread.iter_mut().enumerate() {
        if upper(at) <= tokens || at < from {
            *share = 0.0;
        }
    }
    let sum: f64 = spread.iter().sum();
    if sum <= 1e-9 {
        spread = [0.0; BUCKETS];
        spread[bucket(2.0 * tokens)] = 1.0;
        return spread;
    }
    spread.map(|share| share / sum)
}

/// The cells of a request, from coarse to fine.
fn keys(facts: &Facts, tenant: &str) -> [u64; 6] {
    let prompt = (f64::from(facts.prompt_tokens) + OFFSET).ln();
    // Positive and small.
    let step = |at: usize| (prompt / STEPS[at]) as u64;
    let model = hash(1, facts.model.as_bytes());
    let kind = [
        facts.route.as_ref().map_or(0, |route| hash(2, route.as_bytes())),
        facts.answer_tokens_max.map_or(0, |most| 1 + u64::from(most)),
        u64::from(facts.stops) << 2 | u64::from(facts.tools) << 1 | u64::from(facts.schema),
    ];
    let kind = kind.iter().fold(model, |all, part| mix(all, *part));
    let tenant = mix(kind, hash(3, tenant.as_bytes()));
    [
        mix(model, 11),
        mix(kind, 12),
        mix(mix(kind, 13), step(0)),
        mix(mix(kind, 14), step(1)),
        mix(mix(tenant, 15), step(1)),
        mix(mix(tenant, 16), step(2)),
    ]
}

/// FNV-1a, finished by [`mix`]: the same on every machine and in every run.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let step = |all: u64, byte: &u8| (all ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(seed, bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Joins two numbers to one that looks random (the finaliser of `SplitMix64`).
pub(crate) const fn mix(one: u64, other: u64) -> u64 {
    let mut all = one.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ other;
    all = (all ^ (all >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    all = (all ^ (all >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    all ^ (all >> 31)
}
