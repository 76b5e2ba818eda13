//! Which replica gets the next request, and how many requests wait for one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oag_runtime::Clock;
use tokio::sync::{Notify, oneshot};

/// A replica as the balancer sees it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    in_flight: AtomicUsize,
    suspect: AtomicBool,
    idle: Notify,
}

impl Slot {
    pub(crate) fn new(id: String, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            id,
            address,
            in_flight: AtomicUsize::new(0),
            suspect: AtomicBool::new(false),
            idle: Notify::new(),
        })
    }

    /// Ends when no request is in flight there.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Whether a connection to it failed since this was last asked.
    pub(crate) fn take_suspect(&self) -> bool {
        self.suspect.swap(false, Ordering::SeqCst)
    }
}

/// Limits of a gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) per_replica: Option<usize>,
    pub(crate) in_flight_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) queue_wait: Duration,
}

/// Why a request gets no replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The service is stopped or wants no replica.
    Stopped,
    /// Too many wait already.
    Full,
    /// It waited as long as it may.
    Waited,
}

/// What flows through a gate, for gauges.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Flow {
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
    pub(crate) ready: usize,
    /// Share of the replicas' capacity that was busy since the last time, where it is known.
    pub(crate) utilisation: Option<f64>,
}

struct Inner {
    limits: Limits,
    /// Whether replicas are wanted at all.
    open: bool,
    slots: Vec<Arc<Slot>>,
    turn: usize,
    in_flight: usize,
    waiters: VecDeque<oneshot::Sender<Lease>>,
    /// Seconds of busy capacity and of capacity, summed since the last time.
    busy: f64,
    capacity: f64,
    counted_at: Duration,
}

/// Gives requests to replicas.
pub(crate) struct Gate {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

/// A request's place at a replica, given back on drop.
pub(crate) struct Lease {
    gate: Arc<Gate>,
    pub(crate) slot: Arc<Slot>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gate.release(&self.slot);
    }
}

impl Gate {
    pub(crate) fn new(clock: Arc<dyn Clock>, limits: Limits) -> Arc<Self> {
        let inner = Inner {
            limits,
            open: false,
            slots: Vec::new(),
            turn: 0,
            in_flight: 0,
            waiters: VecDeque::new(),
            busy: 0.0,
            capacity: 0.0,
            counted_at: clock.monotonic(),
        };
        Arc::new(Self { clock, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.advance(self.clock.monotonic());
        inner
    }

    /// A place at the replica with the fewest requests, or a place in the queue until there is one.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Lease, Refusal> {
        let (receiver, wait) = {
            let mut inner = self.lock();
            if !inner.open {
                return Err(Refusal::Stopped);
            }
            inner.forget_gone();
            if inner.waiters.is_empty()
                && let Some(slot) = inner.pick()
            {
                return Ok(Lease { gate: Arc::clone(self), slot });
            }
            (inner.enqueue()?, inner.limits.queue_wait)
        };
        match tokio::time::timeout(wait, receiver).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(_) => Err(Refusal::Waited),
        }
    }

    fn release(self: &Arc<Self>, slot: &Slot) {
        {
            let mut inner = self.lock();
            inner.in_flight = inner.in_flight.saturating_sub(1);
            if slot.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
                slot.idle.notify_waiters();
            }
        }
        self.pump();
    }

    /// Gives free places to those who wait. Sends outside the lock: a lease that is not taken is
    /// given back at once.
    fn pump(self: &Arc<Self>) {
        let mut given = Vec::new();
        {
            let mut inner = self.lock();
            inner.forget_gone();
            while !inner.waiters.is_empty()
                && let Some(slot) = inner.pick()
            {
                let Some(waiter) = inner.waiters.pop_front() else { break };
                given.push((waiter, Lease { gate: Arc::clone(self), slot }));
            }
        }
        for (waiter, lease) in given {
            drop(waiter.send(lease));
        }
    }

    /// Begins to send requests to a replica.
    pub(crate) fn add(self: &Arc<Self>, slot: &Arc<Slot>) {
        {
            let mut inner = self.lock();
            if inner.slots.iter().any(|known| known.id == slot.id) {
                return;
            }
            inner.slots.push(Arc::clone(slot));
        }
        self.pump();
    }

    /// Sends no more requests to a replica.
    pub(crate) fn remove(&self, id: &str) {
        self.lock().slots.retain(|slot| slot.id != id);
    }

    /// A connection to the replica failed: no more requests until somebody looked at it.
    pub(crate) fn suspect(&self, slot: &Slot) {
        slot.suspect.store(true, Ordering::SeqCst);
        self.remove(&slot.id);
    }

    /// Says whether replicas are wanted at all; without, nobody waits.
    pub(crate) fn open(&self, open: bool) {
        let mut inner = self.lock();
        inner.open = open;
        if !open {
            inner.waiters.clear();
        }
    }

    pub(crate) fn set_limits(self: &Arc<Self>, limits: Limits) {
        self.lock().limits = limits;
        self.pump();
    }

    /// The present flow; utilisation counts from the last time this was asked with `reset`.
    pub(crate) fn flow(&self, reset: bool) -> Flow {
        let mut inner = self.lock();
        inner.forget_gone();
        let utilisation = (inner.capacity > 0.0).then(|| (inner.busy / inner.capacity).min(1.0));
        if reset {
            (inner.busy, inner.capacity) = (0.0, 0.0);
        }
        Flow {
            in_flight: inner.in_flight,
            queued: inner.waiters.len(),
            ready: inner.slots.len(),
            utilisation,
        }
    }
}

impl Inner {
    #[expect(clippy::cast_precision_loss, reason = "numbers of requests are small")]
    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.counted_at).as_secs_f64();
        self.counted_at = now;
        if let Some(per_replica) = self.limits.per_replica {
            self.busy += self.in_flight as f64 * passed;
            self.capacity += (self.slots.len() * per_replica) as f64 * passed;
        }
    }

    /// Takes the free place with the fewest requests; equal ones by turns.
    fn pick(&mut self) -> Option<Arc<Slot>> {
        if self.in_flight >= self.limits.in_flight_max {
            return None;
        }
        let count = self.slots.len();
        let most = self.limits.per_replica.unwrap_or(usize::MAX);
        self.turn = self.turn.wrapping_add(1);
        let slot = (0..count)
            .map(|offset| &self.slots[(self.turn.wrapping_add(offset)) % count])
            .map(|slot| (slot.in_flight.load(Ordering::SeqCst), slot))
            .filter(|(in_flight, _)| *in_flight < most)
            .min_by_key(|(in_flight, _)| *in_flight)
            .map(|(_, slot)| Arc::clone(slot))?;
        slot.in_flight.fetch_add(1, Ordering::SeqCst);
        self.in_flight += 1;
        Some(slot)
    }

    fn enqueue(&mut self) -> Result<oneshot::Receiver<Lease>, Refusal> {
        if self.waiters.len() >= self.limits.queue_max {
            self.waiters.retain(|waiter| !waiter.is_closed());
        }
        if self.waiters.len() >= self.limits.queue_max {
            return Err(Refusal::Full);
        }
        let (sender, receiver) = oneshot::channel();
        self.waiters.push_back(sender);
        Ok(receiver)
    }

    /// Everybody waits equally long, so those who gave up are mostly in front.
    fn forget_gone(&mut self) {
        while self.waiters.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiters.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use oag_runtime::{FakeClock, SystemClock};

    use super::*;

    fn limits(per_replica: usize, queue_max: usize) -> Limits {
        Limits {
            per_replica: Some(per_replica),
            in_flight_max: 100,
            queue_max,
            queue_wait: Duration::from_secs(1),
        }
    }

    fn slot(id: &str) -> Arc<Slot> {
        Slot::new(id.to_owned(), ([127, 0, 0, 1], 1).into())
    }

    #[tokio::test]
    async fn the_least_busy_gets_the_next_and_places_are_handed_on_in_order() {
        let gate = Gate::new(SystemClock::shared(), limits(1, 1));
        assert_eq!(gate.acquire().await.err(), Some(Refusal::Stopped));
        gate.open(true);
        let (a, b) = (slot("a"), slot("b"));
        gate.add(&a);
        gate.add(&b);
        let first = gate.acquire().await.unwrap();
        let second = gate.acquire().await.unwrap();
        assert_ne!(first.slot.id, second.slot.id);
        let waiting = gate.acquire();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(gate.acquire().await.err(), Some(Refusal::Full));
        let freed = first.slot.id.clone();
        drop(first);
        assert_eq!(waiting.await.unwrap().slot.id, freed);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_and_leaves_no_trace() {
        let gate = Gate::new(SystemClock::shared(), limits(1, 1));
        gate.open(true);
        assert_eq!(gate.acquire().await.err(), Some(Refusal::Waited));
        assert_eq!(gate.flow(false).queued, 0);
        let late = slot("late");
        gate.add(&late);
        let lease = gate.acquire().await.unwrap();
        gate.remove("late");
        let idle = late.idle();
        tokio::pin!(idle);
        assert!(futures::poll!(&mut idle).is_pending());
        drop(lease);
        idle.await;
    }

    #[tokio::test]
    async fn utilisation_is_the_busy_share_over_time() {
        let clock = FakeClock::default();
        let gate = Gate::new(Arc::new(clock.clone()), limits(2, 1));
        gate.open(true);
        gate.add(&slot("a"));
        clock.advance(1_000);
        let lease = gate.acquire().await.unwrap();
        clock.advance(1_000);
        drop(lease);
        let share = gate.flow(true).utilisation.unwrap();
        assert!((share - 0.25).abs() < 1e-9, "{share}");
        assert_eq!(gate.flow(true).utilisation, None);
    }
}
