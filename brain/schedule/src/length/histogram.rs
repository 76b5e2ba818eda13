//! How long answers are, as shares of geometric buckets.

/// Buckets, each a quarter longer than the one before.
pub(super) const BUCKETS: usize = 44;
const FIRST: f64 = 8.0;
/// Buckets per doubling.
const PER_DOUBLING: f64 = 3.0;

/// The bucket of a length: all up to 8 tokens in the first, all beyond 130,000 in the last.
pub(super) fn bucket(tokens: f64) -> usize {
    if tokens <= FIRST {
        return 0;
    }
    // Saturating cast of a positive number.
    (((tokens / FIRST).log2() * PER_DOUBLING).ceil() as usize).min(BUCKETS - 1)
}

/// The longest length of a bucket.
pub(super) fn upper(bucket: usize) -> f64 {
    FIRST * (bucket as f64 / PER_DOUBLING).exp2()
}

fn lower(bucket: usize) -> f64 {
    if bucket == 0 { 0.0 } else { upper(bucket - 1) }
}

/// The distribution of an answer's length.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    shares: [f64; BUCKETS],
}

impl Distribution {
    /// Of shares that need not sum to one; without any, all lengths up to 1,000 tokens alike.
    pub(super) fn of(shares: [f64; BUCKETS]) -> Self {
        let sum: f64 = shares.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            return Self { shares: shares.map(|share| share / sum) };
        }
        let mut shares = [0.0; BUCKETS];
        for (at, share) in shares.iter_mut().enumerate().take(bucket(1_000.0)) {
            *share = (upper(at) - lower(at)) / 1_000.0;
        }
        Self::of(shares)
    }

    pub(super) const fn shares(&self) -> &[f64; BUCKETS] {
        &self.shares
    }

    /// The length below which this share (0 to 1) of answers ends, in tokens.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut left = share.clamp(0.0, 1.0);
        for (at, own) in self.shares.iter().enumerate() {
            if left <= *own && *own > 0.0 {
                return lower(at) + (upper(at) - lower(at)) * left / own;
            }
            left -= own;
        }
        upper(self.shares.iter().rposition(|own| *own > 0.0).unwrap_or(0))
    }

    /// Mean length when every answer is cut at `most` tokens.
    #[must_use]
    pub fn mean_up_to(&self, most: f64) -> f64 {
        let each = |(at, own): (usize, &f64)| own * mean_cut(at, most);
        self.shares.iter().enumerate().map(each).sum()
    }

    /// Mean tokens still to come of an answer that has `attained` tokens and is not complete;
    /// at least one.
    #[must_use]
    pub fn residual(&self, attained: f64) -> f64 {
        let (mut beyond, mut tokens) = (0.0, 0.0);
        for (at, own) in self.shares.iter().enumerate() {
            let (low, high) = (lower(at).max(attained), upper(at));
            if high > low {
                let part = own * (high - low) / (high - lower(at));
                beyond += part;
                tokens += part * (f64::midpoint(low, high) - attained);
            }
        }
        // Longer than everything seen: as long again as it was until now.
        if beyond > 1e-9 { (tokens / beyond).max(1.0) } else { attained.max(1.0) }
    }
}

/// Mean of the lengths of a bucket, each cut at `most`.
fn mean_cut(bucket: usize, most: f64) -> f64 {
    let (low, high) = (lower(bucket), upper(bucket));
    if most >= high {
        return f64::midpoint(low, high);
    }
    if most <= low {
        return most;
    }
    let below = (most - low) / (high - low);
    below * f64::midpoint(low, most) + (1.0 - below) * most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[f64]) -> Distribution {
        let mut shares = [0.0; BUCKETS];
        for length in lengths {
            shares[bucket(*length)] += 1.0;
        }
        Distribution::of(shares)
    }

    #[test]
    fn a_length_lies_in_its_bucket() {
        for tokens in 1..200_000 {
            let tokens = f64::from(tokens);
            let at = bucket(tokens);
            assert!(tokens <= upper(at) * (1.0 + 1e-12) || at == BUCKETS - 1, "{tokens}");
            assert!(tokens >= lower(at) * (1.0 - 1e-12), "{tokens}");
        }
    }

    #[test]
    fn quantiles_rise_and_hit_their_buckets() {
        let lengths: Vec<f64> = (0..100).map(|_| 90.0).chain((0..100).map(|_| 400.0)).collect();
        let seen = of(&lengths);
        assert!((80.0..=102.0).contains(&seen.quantile(0.3)), "{}", seen.quantile(0.3));
        assert!((320.0..=510.0).contains(&seen.quantile(0.9)));
        let all: Vec<f64> = (0..=20).map(|at| seen.quantile(f64::from(at) / 20.0)).collect();
        assert!(all.is_sorted(), "{all:?}");
    }

    #[test]
    fn a_cut_shortens_the_mean_and_nothing_else() {
        let seen = of(&[90.0, 400.0]);
        assert!((seen.mean_up_to(50.0) - 50.0).abs() < 1e-9);
        let whole = seen.mean_up_to(1e9);
        assert!((200.0..300.0).contains(&whole), "{whole}");
        assert!(seen.mean_up_to(200.0) < whole);
    }

    #[test]
    fn what_is_still_to_come_is_about_those_that_are_as_long() {
        let seen = of(&[90.0, 90.0, 90.0, 400.0]);
        let early = seen.residual(0.0);
        let late = seen.residual(120.0);
        assert!(early < 200.0 && (200.0..400.0).contains(&late), "{early} {late}");
        assert!((seen.residual(9_000.0) - 9_000.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_seen_is_still_a_distribution() {
        let none = Distribution::of([0.0; BUCKETS]);
        let sum: f64 = none.shares().iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!((300.0..700.0).contains(&none.mean_up_to(1e9)));
    }
}
