//! The workers: what each offers, how loaded and how fast it is, and what its cache holds.
//!
//! Workers that offer a model form its pool. A pool keeps those that may take a task now in the
//! order of its rule ([`crate::balance::Balance`]), so that choosing looks at a few of them however many there are;
//! every change of a worker moves it in time that grows with the logarithm of their number.
//!
//! A worker that joins a pool which is at work already starts slowly: its slots open one after the
//! other over the warm-up, so that it gets its share at once and is not flooded. One that was not
//! heard from when it should have been is given nothing until it is.

mod pool;
mod prefix;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use worker::{Health, Worker, WorkerId, WorkerSpec};

use crate::balance::{BalanceKind, Pick, Ready, Wanted};
use crate::task::Rates;
use crate::time::Moment;
pub(crate) use pool::Pool;
use prefix::Remembered;
pub(crate) use prefix::{Mixed, Prefixes};

/// Tokens of a block of a prefix.
pub const BLOCK_TOKENS: u64 = 256;
/// Blocks remembered of each worker.
const BLOCKS_MAX: usize = 1_024;

/// All workers.
#[derive(Debug)]
pub struct Fleet {
    balance: BalanceKind,
    warm_up: Duration,
    workers: Vec<Option<Worker>>,
    pools: Vec<Pool>,
    by_model: BTreeMap<String, usize>,
    /// When a worker that warms up opens its next slot.
    warming: BTreeSet<(Moment, WorkerId)>,
    prefixes: Prefixes,
}

impl Fleet {
    /// Without workers.
    #[must_use]
    pub fn new(balance: BalanceKind, warm_up: Duration) -> Self {
        Self {
            balance,
            warm_up,
            workers: Vec::new(),
            pools: Vec::new(),
            by_model: BTreeMap::new(),
            warming: BTreeSet::new(),
            prefixes: Prefixes::default(),
        }
    }

    /// A worker joins. Rates that are no numbers above zero count as the default ones.
    pub fn join(&mut self, mut spec: WorkerSpec, now: Moment) -> WorkerId {
        if !spec.rates.is_sound() {
            spec.rates = Rates::default();
        }
        let id = WorkerId(u32::try_from(self.workers.len()).unwrap_or(u32::MAX));
        let mut late = false;
        let mut keys = Vec::new();
        for model in &spec.models {
            let pools = &mut self.pools;
            let at = *self.by_model.entry(model.clone()).or_insert_with(|| {
                pools.push(Pool::new(self.balance, now));
                pools.len() - 1
            });
            if keys.iter().any(|(other, _)| *other == at) {
                continue;
            }
            let Some(pool) = self.pools.get_mut(at) else { continue };
            if pool.is_empty() {
                pool.at_work_since = now;
            }
            late |= now.since(pool.at_work_since) > self.warm_up;
            pool.windows.insert((spec.window_tokens, id));
            pool.slots += spec.slots as usize;
            pool.prefill_per_s += spec.rates.prefill_per_s;
            pool.decode_per_s += spec.rates.decode_per_s;
            keys.push((at, None));
        }
        let worker = Worker {
            id,
            spec,
            warming_since: late.then_some(now),
            health: Health::Ready,
            in_flight: 0,
            tokens: 0,
            slowness: 1.0,
            latency_s: 0.0,
            remembered: Remembered::default(),
            keys,
        };
        for (at, _) in &worker.keys {
            if let Some(pool) = self.pools.get_mut(*at) {
                pool.balance.joined(&worker);
            }
        }
        let opens = late.then(|| worker.next_slot(self.warm_up, now)).flatten();
        self.warming.extend(opens.map(|at| (at, id)));
        self.workers.push(Some(worker));
        self.place(id, now);
        id
    }

    /// Whether a worker may be given tasks.
    pub fn set_health(&mut self, id: WorkerId, health: Health, now: Moment) {
        self.change(id, now, |worker| worker.health = health);
    }

    /// A worker is gone, and all it knew.
    pub fn leave(&mut self, id: WorkerId) {
        let Some(mut worker) = self.workers.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        if worker.warming_since.is_some() {
            self.warming.retain(|(_, other)| *other != id);
        }
        self.prefixes.clear(id, &mut worker.remembered);
        for (at, key) in &worker.keys {
            let Some(pool) = self.pools.get_mut(*at) else { continue };
            if let Some((key, room)) = key {
                pool.ready.remove(&(*key, id));
                pool.rooms.remove(&(*room, id));
            }
            pool.windows.remove(&(worker.spec.window_tokens, id));
            pool.balance.left(id);
            pool.slots = pool.slots.saturating_sub(worker.spec.slots as usize);
            pool.busy = pool.busy.saturating_sub(worker.in_flight as usize);
            pool.prefill_per_s -= worker.spec.rates.prefill_per_s;
            pool.decode_per_s -= worker.spec.rates.decode_per_s;
            if pool.is_empty() {
                // What rounding left of the sums goes with the last one.
                (pool.prefill_per_s, pool.decode_per_s) = (0.0, 0.0);
            }
        }
    }

    /// Opens further slots of workers that warm up.
    pub fn warm_up(&mut self, now: Moment) {
        while let Some((opens, id)) = self.warming.first().copied()
            && opens <= now
        {
            self.warming.remove(&(opens, id));
            let warm_up = self.warm_up;
            let mut next = None;
            self.change(id, now, |worker| {
                next = worker.next_slot(warm_up, now);
                if next.is_none() {
                    worker.warming_since = None;
                }
            });
            self.warming.extend(next.map(|at| (at, id)));
        }
    }

    /// Chooses a worker of a model; none when none may take the task now.
    pub fn pick(&mut self, model: &str, wanted: &Wanted<'_>) -> Option<Pick> {
        self.pick_of(*self.by_model.get(model)?, wanted)
    }

    /// As [`Fleet::pick`], of the pool at this place.
    pub(crate) fn pick_of(&mut self, at: usize, wanted: &Wanted<'_>) -> Option<Pick> {
        let pool = self.pools.get_mut(at)?;
        let ready = Ready::new(&pool.ready, &pool.rooms, &self.workers, &self.prefixes, at);
        pool.balance.pick(&ready, wanted)
    }

    /// A worker begins a task of so many tokens.
    pub fn begin(&mut self, id: WorkerId, tokens: u64, prefixes: &[u64], now: Moment) {
        self.count(id, 1);
        self.change(id, now, |worker| {
            worker.in_flight += 1;
            worker.tokens = worker.tokens.saturating_add(tokens);
        });
        if !prefixes.is_empty()
            && let Some(Some(worker)) = self.workers.get_mut(id.0 as usize)
        {
            self.prefixes.seen(id, prefixes, &mut worker.remembered, BLOCKS_MAX);
        }
    }

    /// A worker ends a task of so many tokens. With `learned` (time taken, time it should have
    /// taken) it says how fast the worker is.
    pub fn end(
        &mut self,
        id: WorkerId,
        tokens: u64,
        learned: Option<(Duration, Duration)>,
        now: Moment,
    ) {
        self.count(id, -1);
        self.change(id, now, |worker| {
            worker.in_flight = worker.in_flight.saturating_sub(1);
            worker.tokens = worker.tokens.saturating_sub(tokens);
            if let Some((took, alone)) = learned {
                worker.learn(took, alone);
            }
        });
    }

    /// What a worker says its cache holds, in place of what was supposed.
    pub fn holds(&mut self, id: WorkerId, prefixes: &[u64]) {
        if let Some(Some(worker)) = self.workers.get_mut(id.0 as usize) {
            self.prefixes.clear(id, &mut worker.remembered);
            self.prefixes.seen(id, prefixes, &mut worker.remembered, BLOCKS_MAX);
        }
    }

    /// A worker by its number.
    #[must_use]
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(id.0 as usize)?.as_ref()
    }

    /// All workers that are here.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().flatten()
    }

    /// Slots of a model's workers, and how many of them are busy.
    #[must_use]
    pub fn slots(&self, model: &str) -> (usize, usize) {
        self.pool(model).map_or((0, 0), |pool| (pool.slots, pool.busy))
    }

    /// Whether a worker of a model may take a task now.
    #[must_use]
    pub fn has_ready(&self, model: &str) -> bool {
        self.pool(model).is_some_and(Pool::has_ready)
    }

    /// The largest window among a model's workers; none without workers.
    #[must_use]
    pub fn window(&self, model: &str) -> Option<u64> {
        self.pool(model)?.window()
    }

    /// Mean rates of a model's workers.
    #[must_use]
    pub fn rates(&self, model: &str) -> Rates {
        self.pool(model).map(Pool::rates).unwrap_or_default()
    }

    /// Where the pool of a model is; it stays there.
    pub(crate) fn place_of(&self, model: &str) -> Option<usize> {
        self.by_model.get(model).copied()
    }

    /// The pool at a place.
    pub(crate) fn pool_at(&self, at: usize) -> Option<&Pool> {
        self.pools.get(at)
    }

    fn pool(&self, model: &str) -> Option<&Pool> {
        self.pool_at(self.place_of(model)?)
    }

    fn count(&mut self, id: WorkerId, step: isize) {
        let Some(Some(worker)) = self.workers.get(id.0 as usize) else { return };
        for (at, _) in &worker.keys {
            if let Some(pool) = self.pools.get_mut(*at) {
                pool.busy = pool.busy.saturating_add_signed(step);
            }
        }
    }

    fn change(&mut self, id: WorkerId, now: Moment, change: impl FnOnce(&mut Worker)) {
        if let Some(Some(worker)) = self.workers.get_mut(id.0 as usize) {
            change(worker);
            self.place(id, now);
        }
    }

    /// Puts a worker where it belongs among the ready ones of its pools.
    fn place(&mut self, id: WorkerId, now: Moment) {
        let Some(Some(worker)) = self.workers.get_mut(id.0 as usize) else { return };
        let ready = worker.is_ready(self.warm_up, now);
        let mut keys = std::mem::take(&mut worker.keys);
        for (at, key) in &mut keys {
            let Some(pool) = self.pools.get_mut(*at) else { continue };
            let new = ready.then(|| (pool.balance.key(worker), worker.room()));
            if new.map(|(new, _)| new) != key.map(|(key, _)| key) {
                key.map(|(old, _)| pool.ready.remove(&(old, id)));
                new.map(|(new, _)| pool.ready.insert((new, id)));
            }
            if new.map(|(_, room)| room) != key.map(|(_, room)| room) {
                key.map(|(_, old)| pool.rooms.remove(&(old, id)));
                new.map(|(_, room)| pool.rooms.insert((room, id)));
            }
            *key = new;
        }
        worker.keys = keys;
    }
}
