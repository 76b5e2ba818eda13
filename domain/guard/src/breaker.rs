//! Circuit breakers: stop calling what fails, probe carefully, and close again.

use oag_types::{PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::BreakerConfig;
use crate::window::RollingWindow;

/// Whether requests pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They pass.
    Closed,
    /// They are refused.
    Open,
    /// A few pass as probes.
    HalfOpen,
}

/// The right to make one request, to be handed back once with its result. A result from before
/// the last change of state does not count.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    generation: u64,
    probe: bool,
}

impl Token {
    /// Whether the request is a probe of a half-open breaker.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The answer to a request for a request.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Admission {
    /// The right to go ahead, or nothing.
    pub token: Option<Token>,
    /// When it makes sense to ask again; nothing while tripped by hand.
    pub retry_at: Option<Timestamp>,
    /// What changed, for the ledger.
    pub event: Option<BreakerEvent>,
}

/// A change of a breaker, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerEvent {
    /// When.
    pub at: Timestamp,
    /// What changed.
    pub transition: Transition,
}

/// What changed in a breaker, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// Too many requests failed.
    Opened {
        /// Requests in the window.
        requests: u32,
        /// Of those, the failed ones.
        failures: u32,
    },
    /// The sleep window is over; probes pass.
    HalfOpened,
    /// A probe failed.
    Reopened,
    /// Enough probes succeeded.
    Closed,
    /// Tripped by hand.
    Tripped {
        /// By whom.
        by: PrincipalId,
        /// Why.
        reason: String,
    },
    /// Reset by hand.
    Reset {
        /// By whom.
        by: PrincipalId,
    },
}

/// What the console shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSnapshot {
    /// The state.
    pub state: BreakerState,
    /// Whether it was tripped by hand and stays open until it is reset.
    pub forced_open: bool,
    /// Requests counted in the window.
    pub requests: u32,
    /// Of those, the failed ones.
    pub failures: u32,
    /// The failed ones in percent; 0 without requests.
    pub failure_percent: f64,
    /// When it opened, unless it is closed.
    pub opened_at: Option<Timestamp>,
    /// When the next probe may pass, while open and not tripped by hand.
    pub next_probe_at: Option<Timestamp>,
    /// Probes in flight.
    pub probes_in_flight: u32,
    /// Who tripped it.
    pub forced_by: Option<PrincipalId>,
    /// Why it was tripped.
    pub forced_reason: Option<String>,
    /// The configuration in force.
    pub config: BreakerConfig,
}

/// A breaker with its counts. Asking and recording cost a few additions each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    config: BreakerConfig,
    phase: Phase,
    generation: u64,
    window: RollingWindow,
    forced: Option<Forced>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Closed,
    Open { opened_at: Timestamp },
    HalfOpen { opened_at: Timestamp, last_probe_at: Timestamp, in_flight: u32, succeeded: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Forced {
    by: PrincipalId,
    reason: String,
}

impl Admission {
    /// Whether the request may go ahead.
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        self.token.is_some()
    }

    const fn refused(retry_at: Option<Timestamp>) -> Self {
        Self { token: None, retry_at, event: None }
    }
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        let window = RollingWindow::new(config.rolling_window_ms, config.rolling_window_buckets);
        Self { config, phase: Phase::Closed, generation: 0, window, forced: None }
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// Takes a new configuration; counts start anew when the window changes. Switched off, it
    /// closes, unless it was tripped by hand.
    pub fn configure(&mut self, config: BreakerConfig) {
        let same = config.rolling_window_ms == self.config.rolling_window_ms
            && config.rolling_window_buckets == self.config.rolling_window_buckets;
        if !same {
            self.window =
                RollingWindow::new(config.rolling_window_ms, config.rolling_window_buckets);
        }
        self.config = config;
        if !config.enabled && self.forced.is_none() && self.phase != Phase::Closed {
            self.enter(Phase::Closed);
        }
    }

    /// The state, without looking at the clock.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match self.phase {
            _ if self.forced.is_some() => BreakerState::Open,
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Asks to make one request now.
    pub fn try_acquire(&mut self, now: Timestamp) -> Admission {
        if self.forced.is_some() {
            return Admission::refused(None);
        }
        match self.phase {
            Phase::Closed => Admission {
                token: Some(Token { generation: self.generation, probe: false }),
                retry_at: None,
                event: None,
            },
            Phase::Open { opened_at } => {
                let probe_at = opened_at.plus_millis(self.config.sleep_window_ms);
                if now < probe_at {
                    return Admission::refused(Some(probe_at));
                }
                let event = BreakerEvent { at: now, transition: Transition::HalfOpened };
                Admission { event: Some(event), ..self.half_open(opened_at, now) }
            }
            Phase::HalfOpen { opened_at, last_probe_at, in_flight, succeeded } => {
                let wanted = self.config.half_open_probes.max(1).saturating_sub(succeeded);
                if in_flight < wanted {
                    self.phase = Phase::HalfOpen {
                        opened_at,
                        last_probe_at: now,
                        in_flight: in_flight + 1,
                        succeeded,
                    };
                    let token = Some(Token { generation: self.generation, probe: true });
                    return Admission { token, retry_at: None, event: None };
                }
                // Probes whose result never came must not keep the breaker half open for ever.
                let given_up_at = last_probe_at.plus_millis(self.config.sleep_window_ms);
                if now < given_up_at {
                    return Admission::refused(Some(given_up_at));
                }
                self.half_open(opened_at, now)
            }
        }
    }

    /// Hands in the result of an admitted request.
    pub fn record(&mut self, now: Timestamp, success: bool, token: Token) -> Option<BreakerEvent> {
        if self.forced.is_some() || token.generation != self.generation {
            return None;
        }
        match self.phase {
            Phase::Open { .. } => None,
            Phase::Closed => {
                self.window.record(now, success);
                let (requests, failures) = self.window.totals(now);
                if !self.config.enabled || !self.trips(requests, failures) {
                    return None;
                }
                self.enter(Phase::Open { opened_at: now });
                Some(BreakerEvent {
                    at: now,
                    transition: Transition::Opened { requests, failures },
                })
            }
            Phase::HalfOpen { .. } if !success => {
                self.enter(Phase::Open { opened_at: now });
                Some(BreakerEvent { at: now, transition: Transition::Reopened })
            }
            Phase::HalfOpen { opened_at, last_probe_at, in_flight, succeeded } => {
                let (in_flight, succeeded) = (in_flight.saturating_sub(1), succeeded + 1);
                if succeeded < self.config.half_open_probes {
                    self.phase = Phase::HalfOpen { opened_at, last_probe_at, in_flight, succeeded };
                    return None;
                }
                self.enter(Phase::Closed);
                Some(BreakerEvent { at: now, transition: Transition::Closed })
            }
        }
    }

    /// Opens it by hand; it stays open until [`Breaker::reset`].
    pub fn trip(&mut self, now: Timestamp, by: PrincipalId, reason: &str) -> BreakerEvent {
        let opened_at = match self.phase {
            Phase::Open { opened_at } if self.forced.is_some() => opened_at,
            _ => now,
        };
        self.enter(Phase::Open { opened_at });
        self.forced = Some(Forced { by, reason: reason.to_owned() });
        let transition = Transition::Tripped { by, reason: reason.to_owned() };
        BreakerEvent { at: now, transition }
    }

    /// Closes it by hand, with counts at zero; nothing when it is closed already.
    pub fn reset(&mut self, now: Timestamp, by: PrincipalId) -> Option<BreakerEvent> {
        if self.forced.is_none() && self.phase == Phase::Closed {
            return None;
        }
        self.forced = None;
        self.enter(Phase::Closed);
        Some(BreakerEvent { at: now, transition: Transition::Reset { by } })
    }

    /// What the console shows now.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> BreakerSnapshot {
        let (requests, failures) = self.window.totals(now);
        let (opened_at, probes_in_flight) = match self.phase {
            Phase::Closed => (None, 0),
            Phase::Open { opened_at } => (Some(opened_at), 0),
            Phase::HalfOpen { opened_at, in_flight, .. } => (Some(opened_at), in_flight),
        };
        let failure_percent =
            if requests == 0 { 0.0 } else { f64::from(failures) * 100.0 / f64::from(requests) };
        let waiting = self.forced.is_none() && self.state() == BreakerState::Open;
        let probe_at = |at: Timestamp| at.plus_millis(self.config.sleep_window_ms);
        BreakerSnapshot {
            state: self.state(),
            forced_open: self.forced.is_some(),
            requests,
            failures,
            failure_percent,
            opened_at,
            next_probe_at: opened_at.filter(|_| waiting).map(probe_at),
            probes_in_flight,
            forced_by: self.forced.as_ref().map(|forced| forced.by),
            forced_reason: self.forced.as_ref().map(|forced| forced.reason.clone()),
            config: self.config,
        }
    }

    fn trips(&self, requests: u32, failures: u32) -> bool {
        requests >= self.config.request_volume_threshold
            && u64::from(failures) * 100
                >= u64::from(self.config.failure_threshold) * u64::from(requests)
    }

    fn half_open(&mut self, opened_at: Timestamp, now: Timestamp) -> Admission {
        self.enter(Phase::HalfOpen { opened_at, last_probe_at: now, in_flight: 1, succeeded: 0 });
        Admission {
            token: Some(Token { generation: self.generation, probe: true }),
            retry_at: None,
            event: None,
        }
    }

    /// Every change of state starts a new generation, so that late results do not count.
    fn enter(&mut self, phase: Phase) {
        if phase == Phase::Closed {
            self.window.clear();
        }
        self.phase = phase;
        self.generation = self.generation.wrapping_add(1);
    }
}
