//! When requests are sent: a Poisson process whose rate is that of the recorded minute, from a
//! seeded generator, so that a run can be repeated.

/// SplitMix64: small, seeded, and good enough for gaps between requests.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Above 0, at most 1.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// One moment for each request, in microseconds from the first step, in order.
pub(super) fn arrivals(rates: &[f64], step_ms: i64, seed: u64) -> Vec<u64> {
    let step_s = step_ms as f64 / 1_000.0;
    let mut dice = Dice(seed);
    let mut moments = Vec::new();
    for (step, rate) in rates.iter().enumerate() {
        if *rate <= 0.0 {
            continue;
        }
        let begin = step as f64 * step_s;
        // The process forgets: beginning anew at each step changes nothing about it.
        let mut within = -dice.share().ln() / rate;
        while within < step_s {
            moments.push(((begin + within) * 1e6) as u64);
            within -= dice.share().ln() / rate;
        }
    }
    moments
}

/// Requests per second of each step as they would have been counted, had they come like this.
pub(super) fn drawn(rates: &[f64], step_ms: i64, seed: u64) -> Vec<f64> {
    offered(&arrivals(rates, step_ms, seed), rates.len(), step_ms)
}

/// The step a moment lies in.
pub(super) fn step_of(micros: u64, step_ms: i64) -> usize {
    (micros / (step_ms.max(1) as u64 * 1_000)) as usize
}

/// Requests per second that are offered in each step.
pub(super) fn offered(moments: &[u64], steps: usize, step_ms: i64) -> Vec<f64> {
    let mut counts = vec![0_u32; steps];
    for moment in moments {
        if let Some(count) = counts.get_mut(step_of(*moment, step_ms)) {
            *count += 1;
        }
    }
    let step_s = step_ms as f64 / 1_000.0;
    counts.into_iter().map(|count| f64::from(count) / step_s).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_requests_and_another_gives_others() {
        let rates = [50.0, 100.0, 0.0, 20.0];
        assert_eq!(arrivals(&rates, 1_000, 7), arrivals(&rates, 1_000, 7));
        assert_ne!(arrivals(&rates, 1_000, 7), arrivals(&rates, 1_000, 8));
    }

    #[test]
    fn moments_are_in_order_within_their_steps_and_none_without_rate() {
        let rates = [50.0, 100.0, 0.0, 20.0];
        let moments = arrivals(&rates, 500, 7);
        assert!(moments.is_sorted());
        assert!(moments.iter().all(|moment| step_of(*moment, 500) < rates.len()));
        let offered = offered(&moments, rates.len(), 500);
        assert_eq!(offered[2], 0.0);
        let total: f64 = offered.iter().map(|rate| rate * 0.5).sum();
        assert_eq!(total.round() as usize, moments.len());
    }

    #[test]
    fn counts_have_the_mean_and_the_spread_of_a_poisson_process() {
        let moments = arrivals(&vec![80.0; 2_000], 1_000, 1998);
        let counts = offered(&moments, 2_000, 1_000);
        let mean = counts.iter().sum::<f64>() / 2_000.0;
        let spread = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 2_000.0;
        assert!((mean - 80.0).abs() < 1.0, "{mean}");
        assert!((spread / mean - 1.0).abs() < 0.1, "{spread}");
    }
}
