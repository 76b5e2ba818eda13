//! What goes wrong in a simulation.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::trace::uniform;

/// How many workers fail, and how. Which and when is up to the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faults {
    /// Workers that crash once, and are back a minute later.
    pub crash: usize,
    /// Workers that work at a quarter of their speed from the start.
    pub slow: usize,
    /// Workers that join late.
    pub late: usize,
}

/// What is no list of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no fault: write crash=N, slow=N or late=N, parted by commas")]
pub struct UnknownFault(String);

impl FromStr for Faults {
    type Err = UnknownFault;

    /// `crash=2,slow=1,late=3`, each of them once at most.
    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let mut faults = Self::default();
        for part in text.split(',') {
            let wrong = || UnknownFault(part.chars().take(40).collect());
            let (name, number) = part.split_once('=').ok_or_else(wrong)?;
            let number = number.trim().parse().map_err(|_| wrong())?;
            match name.trim() {
                "crash" => faults.crash = number,
                "slow" => faults.slow = number,
                "late" => faults.late = number,
                _ => return Err(wrong()),
            }
        }
        Ok(faults)
    }
}

/// How much slower a slow worker is.
const SLOWER: f64 = 4.0;

/// The course of one worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fate {
    /// Its speed against the others'.
    pub(super) speed: f64,
    /// When it joins, as a share of the trace's duration; none: it is there from the start.
    pub(super) joins: Option<f64>,
    /// When it crashes, likewise.
    pub(super) crashes: Option<f64>,
}

impl Faults {
    /// Workers that fail in some way.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.crash.saturating_add(self.slow).saturating_add(self.late)
    }

    /// The fates of all workers. The first ones are struck; who is first means nothing.
    pub(super) fn fates(&self, nodes: usize, seed: u64) -> Vec<Fate> {
        let mut fates = vec![Fate { speed: 1.0, joins: None, crashes: None }; nodes];
        let ends = [self.crash, self.crash.saturating_add(self.slow), self.workers()];
        for (number, fate) in fates.iter_mut().enumerate() {
            let when = uniform(seed, number as u64, 1);
            match ends.iter().position(|end| number < *end) {
                Some(0) => fate.crashes = Some(0.1 + 0.8 * when),
                Some(1) => fate.speed = 1.0 / SLOWER,
                Some(_) => fate.joins = Some(0.1 + 0.4 * when),
                None => {}
            }
        }
        fates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_strike_as_many() {
        let faults: Faults = "crash=2, late=1".parse().unwrap();
        assert_eq!(faults, Faults { crash: 2, slow: 0, late: 1 });
        let fates = faults.fates(10, 7);
        assert_eq!(fates.iter().filter(|fate| fate.crashes.is_some()).count(), 2);
        assert_eq!(fates.iter().filter(|fate| fate.joins.is_some()).count(), 1);
        assert_eq!(fates, faults.fates(10, 7));
        assert_ne!(fates, faults.fates(10, 8));
        // More than there are workers strike them all.
        let all = Faults { crash: usize::MAX, slow: 1, late: 1 };
        assert!(all.fates(3, 7).iter().all(|fate| fate.crashes.is_some()));
    }

    #[test]
    fn what_is_no_fault_is_named() {
        for (text, shown) in [("fire=1", "fire=1"), ("crash", "crash"), ("slow=-1", "slow=-1")] {
            assert_eq!(text.parse::<Faults>(), Err(UnknownFault(shown.to_owned())));
        }
    }
}
