//! Turns sums since the start into rates.

use std::collections::HashMap;

use oag_types::{SeriesKey, Timestamp};

/// The last value of every counter of one source. Holds only those of the last scrape, so that
/// it is no larger than the largest scrape allowed.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    last: HashMap<SeriesKey, (Timestamp, f64)>,
}

impl Rates {
    /// The rates per second since the last time, of those seen then too. A counter that went down
    /// began anew: what it counts now was counted since.
    pub(crate) fn advance(
        &mut self,
        counters: Vec<(SeriesKey, Timestamp, f64)>,
    ) -> Vec<(SeriesKey, Timestamp, f64)> {
        let before = std::mem::take(&mut self.last);
        let mut rates = Vec::new();
        for (key, at, value) in counters {
            if let Some((was_at, was)) = before.get(&key)
                && let Some(rate) = rate(*was_at, *was, at, value)
            {
                rates.push((key.clone(), at, rate));
            }
            self.last.insert(key, (at, value));
        }
        rates
    }
}

/// Per second; nothing when no time has passed.
#[expect(clippy::cast_precision_loss, reason = "milliseconds between scrapes are few")]
pub(crate) fn rate(was_at: Timestamp, was: f64, at: Timestamp, value: f64) -> Option<f64> {
    let passed_ms = at.millis_since(was_at);
    let grown = if value < was { value } else { value - was };
    let rate = grown * 1_000.0 / passed_ms as f64;
    (passed_ms > 0 && rate.is_finite()).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_counter_becomes_a_rate_and_may_begin_anew() {
        let mut rates = Rates::default();
        let key = SeriesKey::new("a_total");
        let mut step = |ms, value| {
            let found = rates.advance(vec![(key.clone(), at(ms), value)]);
            found.first().map(|(_, _, rate)| *rate)
        };
        assert_eq!(step(0, 100.0), None);
        assert_eq!(step(2_000, 110.0), Some(5.0));
        assert_eq!(step(4_000, 6.0), Some(3.0), "a restart: six since");
        assert_eq!(step(4_000, 7.0), None, "no time has passed");
    }

    #[test]
    fn what_is_no_longer_seen_is_forgotten() {
        let mut rates = Rates::default();
        rates.advance(vec![(SeriesKey::new("a"), at(0), 1.0)]);
        rates.advance(vec![]);
        assert!(rates.last.is_empty());
    }
}
