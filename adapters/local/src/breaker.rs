//! The circuit breaker of a service, shared by its requests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use oag_guard::{Breaker, BreakerConfig, BreakerState, Token};
use oag_types::Timestamp;

/// What a request holds that the breaker let through.
#[derive(Debug)]
pub(crate) struct Pass {
    epoch: u64,
    token: Token,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    /// Opened by hand: the person and the reason are in the ledger, not here.
    tripped: bool,
    /// Grows when the breaker is replaced by a fresh one.
    epoch: u64,
}

/// A breaker behind a lock, with the switch for opening it by hand.
#[derive(Debug)]
pub(crate) struct ServiceBreaker {
    inner: Mutex<Inner>,
}

/// Seconds a client is told to wait while a person decides.
const TRIPPED_RETRY_S: u64 = 30;

impl ServiceBreaker {
    pub(crate) fn new(config: BreakerConfig, tripped: bool) -> Self {
        let inner = Inner { breaker: Breaker::new(config), tripped, epoch: 0 };
        Self { inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn configure(&self, config: BreakerConfig) {
        self.lock().breaker.configure(config);
    }

    /// Lets a request through, or says after how many seconds to try again.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Pass, u64> {
        let mut inner = self.lock();
        if inner.tripped {
            return Err(TRIPPED_RETRY_S);
        }
        let admission = inner.breaker.try_acquire(now);
        match admission.token {
            Some(token) => Ok(Pass { epoch: inner.epoch, token }),
            None => Err(wait_s(admission.retry_at, now)),
        }
    }

    /// Whether a request would be refused, without taking the turn of a probe.
    pub(crate) fn refusal(&self, now: Timestamp) -> Option<u64> {
        let inner = self.lock();
        if inner.tripped {
            return Some(TRIPPED_RETRY_S);
        }
        if inner.breaker.state() != BreakerState::Open {
            return None;
        }
        let probe_at = inner.breaker.snapshot(now).next_probe_at;
        probe_at.filter(|at| now < *at).map(|at| wait_s(Some(at), now))
    }

    /// Counts the outcome of a request that was let through.
    pub(crate) fn record(&self, now: Timestamp, success: bool, pass: Pass) {
        let mut inner = self.lock();
        if inner.epoch != pass.epoch {
            return;
        }
        if let Some(event) = inner.breaker.record(now, success, pass.token) {
            tracing::info!(transition = ?event.transition, "breaker changed");
        }
    }

    /// Opens it until it is reset, or closes it with counts at zero.
    pub(crate) fn set(&self, tripped: bool) {
        let mut inner = self.lock();
        inner.tripped = tripped;
        if !tripped {
            inner.breaker = Breaker::new(*inner.breaker.config());
            inner.epoch += 1;
        }
    }

    /// `closed`, `open` or `half_open`.
    pub(crate) fn state(&self) -> &'static str {
        let inner = self.lock();
        match inner.breaker.state() {
            _ if inner.tripped => "open",
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }

    /// The state and the counts, for people.
    pub(crate) fn describe(&self, now: Timestamp) -> String {
        let state = self.state();
        let inner = self.lock();
        let seen = inner.breaker.snapshot(now);
        let by_hand = if inner.tripped { ", tripped by hand" } else { "" };
        let window_s = seen.config.rolling_window_ms / 1_000;
        format!(
            "{state}{by_hand}; {} of {} requests failed in the last {window_s} s",
            seen.failures, seen.requests
        )
    }
}

fn wait_s(until: Option<Timestamp>, now: Timestamp) -> u64 {
    let wait_ms = until.map_or(1_000, |until| until.millis_since(now)).max(1);
    u64::try_from(wait_ms).unwrap_or(1).div_ceil(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tripped_by_hand_it_stays_open_until_reset() {
        let at = Timestamp::from_millis;
        let breaker = ServiceBreaker::new(BreakerConfig::default(), false);
        let late = breaker.admit(at(0)).unwrap();
        breaker.set(true);
        assert!(breaker.admit(at(1_000_000)).is_err());
        assert_eq!(breaker.state(), "open");
        breaker.set(false);
        breaker.record(at(1_000_001), false, late);
        assert!(breaker.describe(at(1_000_001)).contains("0 of 0"), "late results do not count");
        assert!(breaker.admit(at(1_000_000)).is_ok());
    }
}
