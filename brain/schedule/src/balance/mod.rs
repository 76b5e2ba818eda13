//! Which worker takes a task: one trait, one file for each rule.
//!
//! Every rule chooses among workers that offer the model, are healthy and have a slot to give; the
//! fleet keeps those in the order of the rule's own key.

mod best;
mod hash;
mod latency;
mod least;
mod round_robin;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use best::Best;
pub use hash::AddressHash;
pub use latency::LatencyAware;
pub use least::LeastConnections;
pub use round_robin::RoundRobin;

use crate::fleet::{BLOCK_TOKENS, Prefixes, Worker, WorkerId};

/// What a task asks of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Tokens to be read: the prompt, and what was written of the answer before.
    pub prompt: f64,
    /// Tokens expected to be written.
    pub steps: f64,
    /// Tokens that must have room.
    pub tokens: u64,
    /// Hashes of the prompt's prefixes, shortest first.
    pub prefixes: &'a [u64],
    /// A hash of the caller's address or session.
    pub affinity: u64,
}

/// A worker that was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Which.
    pub worker: WorkerId,
    /// Tokens of the prompt its cache is believed to hold.
    pub cached_tokens: u64,
    /// Why.
    pub why: Why,
}

/// Why a worker was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was its turn.
    Turn,
    /// It has the fewest tasks for its slots.
    FewestTasks,
    /// The caller's address falls to it.
    Address,
    /// It should be done first.
    Soonest,
    /// Its cache holds part of the prompt.
    Cache,
    /// It was not used for long, and is tried again.
    Probe,
}

impl Why {
    /// In words, for people who look at what runs.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Turn => "its turn",
            Self::FewestTasks => "fewest tasks",
            Self::Address => "address of the caller",
            Self::Soonest => "done soonest",
            Self::Cache => "holds part of the prompt",
            Self::Probe => "tried again",
        }
    }
}

/// A rule.
pub trait Balance: fmt::Debug + Send {
    /// The place of a worker among those that are ready; smaller ones come first.
    fn key(&self, worker: &Worker) -> u64;

    /// Chooses; none when no ready worker fits.
    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick>;

    /// A worker joined the pool.
    fn joined(&mut self, worker: &Worker) {
        let _ = worker;
    }

    /// A worker left it.
    fn left(&mut self, worker: WorkerId) {
        let _ = worker;
    }
}

/// The workers of a pool that may take a task now.
#[derive(Debug, Clone, Copy)]
pub struct Ready<'a> {
    order: &'a BTreeSet<(u64, WorkerId)>,
    rooms: &'a BTreeSet<(u64, WorkerId)>,
    workers: &'a [Option<Worker>],
    prefixes: &'a Prefixes,
    pool: usize,
}

impl<'a> Ready<'a> {
    pub(crate) const fn new(
        order: &'a BTreeSet<(u64, WorkerId)>,
        rooms: &'a BTreeSet<(u64, WorkerId)>,
        workers: &'a [Option<Worker>],
        prefixes: &'a Prefixes,
        pool: usize,
    ) -> Self {
        Self { order, rooms, workers, prefixes, pool }
    }

    /// They, in the order of the rule's key.
    pub fn iter(&self) -> impl Iterator<Item = &'a Worker> {
        let workers = self.workers;
        self.order.iter().filter_map(move |(_, id)| get(workers, *id))
    }

    /// The first of some workers that has room for a task; when none of the first few
    /// has, the one that has the most room, if that is enough.
    pub fn first_fit(
        &self,
        some: impl Iterator<Item = &'a Worker>,
        wanted: &Wanted<'_>,
    ) -> Option<&'a Worker> {
        let fits = |worker: &&Worker| worker.fits(wanted.tokens);
        let near = some.take(LOOKED_AT).find(fits);
        let roomiest = || self.rooms.last().and_then(|(_, id)| get(self.workers, *id));
        near.or_else(|| roomiest().filter(fits))
    }

    /// The last of them.
    #[must_use]
    pub fn last(&self) -> Option<&'a Worker> {
        self.order.last().and_then(|(_, id)| get(self.workers, *id))
    }

    /// They, beginning after a worker and from the first again; for rules whose key is always 0.
    pub fn iter_after(&self, last: WorkerId) -> impl Iterator<Item = &'a Worker> {
        let workers = self.workers;
        let from = (0, last.next());
        let order = self.order.range(from..).chain(self.order.range(..from));
        order.filter_map(move |(_, id)| get(workers, *id))
    }

    /// A worker, when it is ready.
    #[must_use]
    pub fn get(&self, id: WorkerId) -> Option<&'a Worker> {
        get(self.workers, id).filter(|worker| worker.is_ready_in(self.pool))
    }

    /// Workers believed to hold part of a prompt, with the tokens they hold, in place of what was
    /// in `found`; the most first, at most `most` of them, ready or not.
    pub fn holders(&self, wanted: &Wanted<'a>, most: usize, found: &mut Vec<(WorkerId, u64)>) {
        found.clear();
        let depth = self.prefixes.depth(wanted.prefixes);
        for at in (0..depth).rev().take(LEVELS) {
            let Some(prefix) = wanted.prefixes.get(at) else { continue };
            for id in self.prefixes.holders(*prefix) {
                if found.iter().all(|(other, _)| *other != id) {
                    found.push((id, (at as u64 + 1) * BLOCK_TOKENS));
                }
            }
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
    }
}

/// One pick in so many goes to the worker that comes last, so that a worker which was slow once is
/// measured again.
const PROBE_EVERY: u32 = 256;

/// Counts picks, for rules that learn how fast a worker is.
#[derive(Debug, Clone, Copy, Default)]
struct Probes {
    picks: u32,
}

impl Probes {
    /// The worker that is to be measured again, when it is time and it has room.
    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick> {
        self.picks = (self.picks + 1) % PROBE_EVERY;
        if self.picks != 0 {
            return None;
        }
        let last = ready.last().filter(|worker| worker.fits(wanted.tokens))?;
        Some(Pick { worker: last.id(), cached_tokens: 0, why: Why::Probe })
    }
}

/// Workers that are looked at one after the other for room.
const LOOKED_AT: usize = 32;

/// Levels of a prompt's prefixes that are looked at for holders.
const LEVELS: usize = 4;

fn get(workers: &[Option<Worker>], id: WorkerId) -> Option<&Worker> {
    workers.get(id.number() as usize)?.as_ref()
}

/// Which rule a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceKind {
    /// One after the other.
    RoundRobin,
    /// The fewest tasks for its slots.
    LeastConnections,
    /// By the caller's address.
    AddressHash,
    /// By measured latency and tasks.
    LatencyAware,
    /// The default: by predicted latency, load in tokens and what the cache holds.
    #[default]
    Best,
}

/// A name that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no rule: round_robin, least_connections, address_hash, latency_aware or best")]
pub struct UnknownBalance(String);

impl BalanceKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RoundRobin,
        Self::LeastConnections,
        Self::AddressHash,
        Self::LatencyAware,
        Self::Best,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastConnections => "least_connections",
            Self::AddressHash => "address_hash",
            Self::LatencyAware => "latency_aware",
            Self::Best => "best",
        }
    }

    /// The rule, with nothing seen.
    #[must_use]
    pub fn rule(self) -> Box<dyn Balance> {
        match self {
            Self::RoundRobin => Box::new(RoundRobin::default()),
            Self::LeastConnections => Box::new(LeastConnections),
            Self::AddressHash => Box::new(AddressHash::default()),
            Self::LatencyAware => Box::new(LatencyAware::default()),
            Self::Best => Box::new(Best::default()),
        }
    }
}

impl FromStr for BalanceKind {
    type Err = UnknownBalance;

    fn from_str(name: &str) -> Result<Self, UnknownBalance> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownBalance(name.chars().take(64).collect()))
    }
}
