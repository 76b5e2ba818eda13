//! Playing the load and watching what happens.

use std::sync::Arc;
use std::time::Duration;

use oag_runtime::{Clock, OnError, Supervisor, TaskKind};
use oag_types::Timestamp;

use super::account::{Look, Steps, overloaded_so_far, p99_ms};
use super::arrivals::step_of;
use super::generator::{Lane, Shot, Shots};
use super::outcome::Forecast;
use super::screen::{Frame, RowNow, Screen};
use super::sizes::{ORACLE_DOWN_STEPS, Policy, Sizes};
use super::world::{self, Server};
use crate::value::Read;

/// Looks at the services in one step.
const LOOKS: u32 = 4;
/// Failed rounds of looks in a row after which the server counts as gone.
const FAILURES_MAX: u32 = 20;
/// Steps the latency on the screen is taken over.
const RECENT_STEPS: usize = 10;

/// What is played, and when.
pub(super) struct Play {
    pub(super) sizes: Sizes,
    pub(super) steps: Steps,
    /// Moments of requests, in microseconds from the first step of the warm-up.
    pub(super) arrivals: Arc<Vec<u64>>,
    /// Requests per second in each step, warm-up included.
    pub(super) offered: Vec<f64>,
    /// The beginning of the warm-up, on both clocks.
    pub(super) start: Duration,
    pub(super) start_at: Timestamp,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) looks: [Vec<Look>; 5],
    pub(super) shots: [Vec<Shot>; 5],
    pub(super) forecasts: Vec<Forecast>,
    /// Rounds of looks that failed.
    pub(super) missed: usize,
    /// Wishes of the oracle that were refused.
    pub(super) oracle_refused: usize,
}

impl Play {
    fn step(&self) -> Duration {
        self.steps.begin(1)
    }

    fn total(&self) -> usize {
        self.steps.warmup + self.steps.offered.len()
    }

    /// The first counted moment, on the monotonic clock.
    pub(super) fn counted_from(&self) -> Duration {
        self.start + self.step() * self.steps.warmup as u32
    }

    /// The same on the wall clock.
    pub(super) fn counted_from_at(&self) -> Timestamp {
        self.start_at.plus_millis(self.steps.step_ms * self.steps.warmup as i64)
    }

    /// The end of the last counted step.
    pub(super) fn end(&self) -> Duration {
        self.start + self.step() * self.total() as u32
    }

    /// The same on the wall clock.
    pub(super) fn end_at(&self) -> Timestamp {
        self.start_at.plus_millis(self.steps.step_ms * self.total() as i64)
    }
}

/// A run in progress.
pub(super) struct Conductor<'a, S> {
    pub(super) server: &'a S,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) play: &'a Play,
    pub(super) screen: Screen<'a>,
    shots: [Shots; 5],
    places: [usize; 5],
    recent: [Vec<Shot>; 5],
    seen: Seen,
    last: Option<(String, String)>,
    oracle_changed: Option<usize>,
    failures: u32,
}

impl<'a, S: Server> Conductor<'a, S> {
    pub(super) fn new(
        server: &'a S,
        clock: Arc<dyn Clock>,
        play: &'a Play,
        screen: Screen<'a>,
    ) -> Self {
        Self {
            server,
            clock,
            play,
            screen,
            shots: Default::default(),
            places: [0; 5],
            recent: Default::default(),
            seen: Seen::default(),
            last: None,
            oracle_changed: None,
            failures: 0,
        }
    }

    /// Starts one generator for each service and watches until the last step is over and the last
    /// request answered.
    pub(super) async fn run(
        mut self,
        addresses: &[(Policy, String)],
        supervisor: &Supervisor,
    ) -> anyhow::Result<Seen> {
        for (policy, address) in addresses {
            let lane = Lane {
                address: address.clone(),
                arrivals: Arc::clone(&self.play.arrivals),
                start: self.play.start,
                clock: Arc::clone(&self.clock),
                shots: self.shots[policy.index()].clone(),
            };
            let name = format!("load of {}", policy.service());
            supervisor.spawn(name, TaskKind::Intake, OnError::Shutdown, lane.play());
        }
        let pause = self.play.step() / LOOKS;
        let mut tick = 0_u32;
        loop {
            let due = self.play.start + pause * tick;
            if due >= self.play.end() {
                break;
            }
            self.sleep_until(due).await;
            self.tick(tick).await?;
            // What could not be looked at in time is not made up for.
            let late = self.clock.monotonic().saturating_sub(self.play.start);
            let passed = (late.as_micros() / pause.as_micros().max(1)) as u32;
            tick = passed.max(tick) + 1;
        }
        self.sleep_until(self.play.end()).await;
        self.last_answers().await;
        for policy in Policy::ALL {
            self.seen.shots[policy.index()] = self.shots[policy.index()].since(0);
        }
        Ok(self.seen)
    }

    async fn sleep_until(&self, due: Duration) {
        tokio::time::sleep(due.saturating_sub(self.clock.monotonic())).await;
    }

    async fn last_answers(&self) {
        let deadline = self.clock.monotonic() + super::generator::PATIENCE * 2;
        let sent = self.play.arrivals.len();
        let over = |shots: &Shots| !shots.since(sent.saturating_sub(1)).is_empty();
        while self.clock.monotonic() < deadline && !self.shots.iter().all(over) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn tick(&mut self, tick: u32) -> anyhow::Result<()> {
        let step = (tick / LOOKS) as usize;
        if let Err(error) = self.look().await {
            self.failures += 1;
            self.seen.missed += 1;
            if self.failures >= FAILURES_MAX {
                return Err(error.context("the server does not answer any more"));
            }
            return Ok(());
        }
        self.failures = 0;
        match tick % LOOKS {
            0 => self.oracle(step).await,
            1 => self.show(step),
            2 => self.expect().await?,
            _ if step % 2 == 1 => self.news().await,
            _ => {}
        }
        Ok(())
    }

    /// Looks at all five services at once.
    async fn look(&mut self) -> anyhow::Result<()> {
        let look = |policy| world::look(self.server, policy);
        let [a, b, c, d, e] = Policy::ALL;
        let (a, b, c, d, e) = tokio::try_join!(look(a), look(b), look(c), look(d), look(e))?;
        let now = self.clock.monotonic();
        let counted_from = self.play.counted_from();
        for (looks, replicas) in self.seen.looks.iter_mut().zip([a, b, c, d, e]) {
            if now <= counted_from {
                looks.clear();
            }
            looks.push(Look { at: now.saturating_sub(counted_from), replicas });
        }
        Ok(())
    }

    /// Lets the oracle set its replicas for the steps to come.
    async fn oracle(&mut self, step: usize) {
        let Some(target) = self.play.sizes.oracle.get(step).copied() else { return };
        let looks = &self.seen.looks[Policy::Oracle.index()];
        let wanted = looks.last().map_or(target, |look| look.replicas.wanted);
        let rested = self.oracle_changed.is_none_or(|last| step >= last + ORACLE_DOWN_STEPS);
        if target == wanted || (target < wanted && !rested) {
            return;
        }
        let reason = format!("the load to come is known: {target} replicas will be needed");
        match world::scale(self.server, Policy::Oracle, target, &reason).await {
            Ok(()) => self.oracle_changed = Some(step),
            Err(_) => self.seen.oracle_refused += 1,
        }
    }

    /// Keeps what the loop expects.
    async fn expect(&mut self) -> anyhow::Result<()> {
        let Ok(Some(expected)) = world::forecast(self.server).await else { return Ok(()) };
        let step_ms = self.play.steps.step_ms.max(1);
        // A value is stamped with the end of its step: the next one begins where this one ends.
        let from_step = expected.after.millis_since(self.play.counted_from_at()) / step_ms;
        let world::Expected { mean, low, high, .. } = expected;
        self.seen.forecasts.push(Forecast { from_step, mean, low, high });
        Ok(())
    }

    /// The loop's newest action, for the screen.
    async fn news(&mut self) {
        if let Ok(Some(plan)) = world::newest_plan(self.server).await
            && plan.time("/plan/created_at").is_some_and(|at| at >= self.play.start_at)
        {
            let what = format!("{} ({})", plan.str("/plan/summary"), plan.str("/phase"));
            self.last = Some((what, plan.text("/plan/reason")));
        }
    }

    fn show(&mut self, step: usize) {
        let now = self.clock.monotonic().saturating_sub(self.play.counted_from());
        let mut rows = Vec::new();
        for policy in Policy::ALL {
            let looks = &self.seen.looks[policy.index()];
            let replicas = looks.last().map(|look| look.replicas).unwrap_or_default();
            rows.push(RowNow {
                policy,
                wanted: replicas.wanted,
                ready: replicas.ready,
                overloaded_share: overloaded_so_far(&self.play.steps, looks, now),
                p99_ms: self.recent_p99(policy, step),
            });
        }
        let highest = |forecast: &Forecast| forecast.mean.iter().copied().reduce(f64::max);
        self.screen.show(&Frame {
            step,
            steps: self.play.total(),
            warmup: self.play.steps.warmup,
            offered: self.play.offered.get(step).copied().unwrap_or_default(),
            forecast_peak: self.seen.forecasts.last().and_then(highest),
            rows,
            last: self.last.clone(),
        });
    }

    fn recent_p99(&mut self, policy: Policy, step: usize) -> Option<f64> {
        let new = self.shots[policy.index()].since(self.places[policy.index()]);
        self.places[policy.index()] += new.len();
        let recent = &mut self.recent[policy.index()];
        recent.extend(new);
        let (arrivals, step_ms) = (&self.play.arrivals, self.play.steps.step_ms);
        let of = |shot: &Shot| arrivals.get(shot.arrival as usize).map(|at| step_of(*at, step_ms));
        recent.retain(|shot| of(shot).is_some_and(|at| at + RECENT_STEPS >= step));
        let mut micros: Vec<u32> = recent.iter().map(|shot| shot.micros).collect();
        micros.sort_unstable();
        p99_ms(&micros)
    }
}
