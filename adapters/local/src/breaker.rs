//! The circuit breaker of a service, shared by its requests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use oag_guard::{Breaker, BreakerConfig, BreakerState, Token};
use oag_pilot::{Happened, Happening};
use oag_types::{ServiceName, Tenant, Timestamp};
use tokio::sync::broadcast;

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

/// Tells whoever listens what happens to the breaker of one service.
#[derive(Debug)]
pub(crate) struct Teller {
    tenant: Tenant,
    service: ServiceName,
    reports: broadcast::Sender<Happening>,
}

impl Teller {
    pub(crate) fn new(
        tenant: &Tenant,
        service: &ServiceName,
        reports: &broadcast::Sender<Happening>,
    ) -> Self {
        Self { tenant: tenant.clone(), service: service.clone(), reports: reports.clone() }
    }

    fn tell(&self, at: Timestamp, from: &str, to: &str, snapshot: String) {
        tracing::info!(service = %self.service, from, to, snapshot, "breaker changed");
        let (from, to) = (from.to_owned(), to.to_owned());
        let what = Happened::Breaker { from, to, snapshot };
        let (tenant, service) = (self.tenant.clone(), self.service.clone());
        // Nobody listens: then nobody wants to know.
        let _ = self.reports.send(Happening { tenant, service, at, what });
    }
}

/// A breaker behind a lock, with the switch for opening it by hand. Every change of its state is
/// told, in order.
#[derive(Debug)]
pub(crate) struct ServiceBreaker {
    inner: Mutex<Inner>,
    teller: Teller,
}

/// Seconds a client is told to wait while a person decides.
const TRIPPED_RETRY_S: u64 = 30;

impl Inner {
    fn state(&self) -> &'static str {
        match self.breaker.state() {
            _ if self.tripped => "open",
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }

    fn describe(&self, now: Timestamp) -> String {
        let seen = self.breaker.snapshot(now);
        let by_hand = if self.tripped { ", tripped by hand" } else { "" };
        let window_s = seen.config.rolling_window_ms / 1_000;
        format!(
            "{}{by_hand}; {} of {} requests failed in the last {window_s} s",
            self.state(),
            seen.failures,
            seen.requests
        )
    }
}

impl ServiceBreaker {
    pub(crate) fn new(config: BreakerConfig, tripped: bool, teller: Teller) -> Self {
        let inner = Inner { breaker: Breaker::new(config), tripped, epoch: 0 };
        Self { inner: Mutex::new(inner), teller }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it and tells when its state is another afterwards, before anybody else can change
    /// it again.
    fn change<T>(&self, now: Timestamp, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let before = inner.state();
        let result = change(&mut inner);
        let after = inner.state();
        if before != after {
            self.teller.tell(now, before, after, inner.describe(now));
        }
        result
    }

    pub(crate) fn configure(&self, now: Timestamp, config: BreakerConfig) {
        self.change(now, |inner| inner.breaker.configure(config));
    }

    /// Lets a request through, or says after how many seconds to try again.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Pass, u64> {
        self.change(now, |inner| {
            if inner.tripped {
                return Err(TRIPPED_RETRY_S);
            }
            let admission = inner.breaker.try_acquire(now);
            match admission.token {
                Some(token) => Ok(Pass { epoch: inner.epoch, token }),
                None => Err(wait_s(admission.retry_at, now)),
            }
        })
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
        self.change(now, |inner| {
            if inner.epoch == pass.epoch {
                let _ = inner.breaker.record(now, success, pass.token);
            }
        });
    }

    /// Opens it until it is reset, or closes it with counts at zero.
    pub(crate) fn set(&self, now: Timestamp, tripped: bool) {
        self.change(now, |inner| {
            inner.tripped = tripped;
            if !tripped {
                inner.breaker = Breaker::new(*inner.breaker.config());
                inner.epoch += 1;
            }
        });
    }

    /// `closed`, `open` or `half_open`.
    pub(crate) fn state(&self) -> &'static str {
        self.lock().state()
    }

    /// The state and the counts, for people.
    pub(crate) fn describe(&self, now: Timestamp) -> String {
        self.lock().describe(now)
    }
}

fn wait_s(until: Option<Timestamp>, now: Timestamp) -> u64 {
    let wait_ms = until.map_or(1_000, |until| until.millis_since(now)).max(1);
    u64::try_from(wait_ms).unwrap_or(1).div_ceil(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(config: BreakerConfig) -> (ServiceBreaker, broadcast::Receiver<Happening>) {
        let (reports, told) = broadcast::channel(16);
        let teller = Teller::new(&Tenant::default_tenant(), &"shop".parse().unwrap(), &reports);
        (ServiceBreaker::new(config, false, teller), told)
    }

    fn told(reports: &mut broadcast::Receiver<Happening>) -> Vec<String> {
        let next = || reports.try_recv().ok();
        let text = |happening: Happening| {
            let Happened::Breaker { from, to, snapshot } = happening.what;
            format!("{from} > {to}: {snapshot}")
        };
        std::iter::from_fn(next).map(text).collect()
    }

    #[test]
    fn every_change_is_told_once_in_order() {
        let at = Timestamp::from_millis;
        let config = BreakerConfig {
            request_volume_threshold: 2,
            sleep_window_ms: 100,
            ..BreakerConfig::default()
        };
        let (breaker, mut reports) = breaker(config);
        for _ in 0..2 {
            let pass = breaker.admit(at(0)).unwrap();
            breaker.record(at(0), false, pass);
        }
        assert!(breaker.admit(at(50)).is_err());
        let probe = breaker.admit(at(100)).unwrap();
        breaker.record(at(101), true, probe);
        breaker.set(at(102), true);
        breaker.set(at(103), true);
        breaker.set(at(104), false);
        assert_eq!(
            told(&mut reports),
            [
                "closed > open: open; 2 of 2 requests failed in the last 10 s",
                "open > half_open: half_open; 2 of 2 requests failed in the last 10 s",
                "half_open > closed: closed; 0 of 0 requests failed in the last 10 s",
                "closed > open: open, tripped by hand; 0 of 0 requests failed in the last 10 s",
                "open > closed: closed; 0 of 0 requests failed in the last 10 s",
            ]
        );
    }

    #[test]
    fn tripped_by_hand_it_stays_open_until_reset() {
        let at = Timestamp::from_millis;
        let (breaker, _reports) = breaker(BreakerConfig::default());
        let late = breaker.admit(at(0)).unwrap();
        breaker.set(at(0), true);
        assert!(breaker.admit(at(1_000_000)).is_err());
        assert_eq!(breaker.state(), "open");
        breaker.set(at(1_000_000), false);
        breaker.record(at(1_000_001), false, late);
        assert!(breaker.describe(at(1_000_001)).contains("0 of 0"), "late results do not count");
        assert!(breaker.admit(at(1_000_000)).is_ok());
    }
}
