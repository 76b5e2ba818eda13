//! Bounds how often an address may fail to authenticate.
//!
//! Secrets have 256 random bits, so nobody guesses one; this keeps trying from costing anything.
//! Credentials that were good before still pass from a blocked address, so that one mistaken
//! client behind a shared address does not lock out the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oag_types::Digest;

const WINDOW: Duration = Duration::from_secs(60);
const ADDRESSES_MAX: usize = 8_192;
const GOOD_MAX: usize = 2_048;

/// Failed attempts by address, bounded in memory.
#[derive(Debug)]
pub(crate) struct Throttle {
    failures_max: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: HashMap<IpAddr, Failures>,
    good: HashMap<Digest, Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Duration,
    count: u32,
}

impl Throttle {
    pub(crate) fn new(failures_max: u32) -> Self {
        Self { failures_max, state: Mutex::default() }
    }

    /// Whether this credential may be tried, or for how many seconds not.
    pub(crate) fn admit(&self, from: IpAddr, presented: &str, now: Duration) -> Result<(), u32> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failures) = state.failures.get(&network(from)) else { return Ok(()) };
        let passed = now.saturating_sub(failures.since);
        if passed >= WINDOW || failures.count < self.failures_max {
            return Ok(());
        }
        if state.good.contains_key(&fingerprint(presented)) {
            return Ok(());
        }
        let left = (WINDOW - passed).as_secs() + 1;
        Err(u32::try_from(left).unwrap_or(60))
    }

    pub(crate) fn succeeded(&self, presented: &str, now: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = fingerprint(presented);
        if !state.good.contains_key(&fingerprint) && state.good.len() >= GOOD_MAX {
            let middle = middle(state.good.values().copied());
            state.good.retain(|_, at| *at > middle);
        }
        state.good.insert(fingerprint, now);
    }

    pub(crate) fn failed(&self, from: IpAddr, presented: &str, now: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.good.remove(&fingerprint(presented));
        let from = network(from);
        if !state.failures.contains_key(&from) && state.failures.len() >= ADDRESSES_MAX {
            state.failures.retain(|_, failures| now.saturating_sub(failures.since) < WINDOW);
            if state.failures.len() >= ADDRESSES_MAX {
                let middle = middle(state.failures.values().map(|failures| failures.since));
                state.failures.retain(|_, failures| failures.since > middle);
            }
        }
        let failures = state.failures.entry(from).or_insert(Failures { since: now, count: 0 });
        if now.saturating_sub(failures.since) >= WINDOW {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
    }
}

/// The moment that parts the older half from the newer one: dropping half at once keeps the work
/// for each entry small.
fn middle(moments: impl Iterator<Item = Duration>) -> Duration {
    let mut moments: Vec<Duration> = moments.collect();
    let at = moments.len() / 2;
    moments.sort_unstable();
    moments.get(at).copied().unwrap_or_default()
}

/// An IPv6 customer has a /64 and is counted as one.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        },
    }
}

/// Known credentials are kept as digests only.
fn fingerprint(presented: &str) -> Digest {
    Digest::of(presented.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_secs(1_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_blocked_address_waits_and_known_credentials_pass() {
        let throttle = Throttle::new(3);
        throttle.succeeded("good", T0);
        for _ in 0..3 {
            assert!(throttle.admit(ip("10.0.0.1"), "bad", T0).is_ok());
            throttle.failed(ip("10.0.0.1"), "bad", T0);
        }
        assert_eq!(throttle.admit(ip("10.0.0.1"), "bad", T0), Err(61));
        assert!(throttle.admit(ip("10.0.0.1"), "good", T0).is_ok());
        assert!(throttle.admit(ip("10.0.0.2"), "bad", T0).is_ok());
        assert!(throttle.admit(ip("10.0.0.1"), "bad", T0 + WINDOW).is_ok());
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let throttle = Throttle::new(1);
        throttle.failed(ip("2001:db8::1"), "bad", T0);
        assert!(throttle.admit(ip("2001:db8::2"), "bad", T0).is_err());
        assert!(throttle.admit(ip("2001:db8:0:1::2"), "bad", T0).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::new(1);
        for n in 0..20_000_u32 {
            throttle.failed(IpAddr::V4(n.into()), "bad", T0);
            throttle.succeeded(&n.to_string(), T0);
        }
        let state = throttle.state.lock().unwrap();
        assert!(state.failures.len() <= ADDRESSES_MAX);
        assert!(state.good.len() <= GOOD_MAX);
    }
}
