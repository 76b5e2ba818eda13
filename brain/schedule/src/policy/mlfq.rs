//! Levels with slices: who has run little goes before who has run long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Choice, Policy, Reason, View, Waiting};
use crate::task::Ticket;
use crate::time::Moment;

/// One level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// How long a task runs before it is looked at again. An engine stops between two steps only,
    /// so a slice is lengthened to whole steps.
    #[serde(with = "crate::time::millis", rename = "slice_ms")]
    pub slice: Duration,
    /// Whether a task that comes back goes behind the others of its level (round robin) or to its
    /// place by age (first come, first served).
    pub round_robin: bool,
}

/// The levels, and where a new task enters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlfqConfig {
    /// From the first to the last. At least one.
    pub levels: Vec<Level>,
    /// The level of new tasks; 0 is the first.
    pub entry: u8,
    /// A task that has waited this long at a time goes before all levels, and is not sent back.
    #[serde(with = "crate::time::millis", rename = "boost_ms")]
    pub boost: Duration,
}

impl Default for MlfqConfig {
    /// Round robin of 10 ms, then first come first served of 50 ms; new tasks enter the first.
    fn default() -> Self {
        let level =
            |slice_ms, round_robin| Level { slice: Duration::from_millis(slice_ms), round_robin };
        Self {
            levels: vec![level(10, true), level(50, false)],
            entry: 0,
            boost: Duration::from_secs(10),
        }
    }
}

/// Multi-level feedback queue. A task that uses its slice up falls a level; at the last it stays.
/// One that has waited for [`MlfqConfig::boost`] goes first and runs to its end, so none waits for
/// ever.
#[derive(Debug, Clone)]
pub struct Mlfq {
    config: MlfqConfig,
    levels: Vec<BTreeMap<u64, Waiting>>,
    /// Level and place of each task.
    places: BTreeMap<Ticket, (usize, u64)>,
    /// Tasks by the moment from which they wait.
    waits: BTreeSet<(Moment, Ticket)>,
    next_place: u64,
}

impl Mlfq {
    /// With nothing waiting.
    #[must_use]
    pub fn new(config: MlfqConfig) -> Self {
        let levels = vec![BTreeMap::new(); config.levels.len().max(1)];
        Self { config, levels, places: BTreeMap::new(), waits: BTreeSet::new(), next_place: 0 }
    }

    fn last(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    fn get(&self, ticket: Ticket) -> Option<Waiting> {
        let (level, place) = self.places.get(&ticket)?;
        self.levels.get(*level)?.get(place).copied()
    }
}

impl Policy for Mlfq {
    fn push(&mut self, task: Waiting) {
        self.remove(task.ticket);
        let level = usize::from(task.level).min(self.last());
        let turns = self.config.levels.get(level).is_some_and(|level| level.round_robin);
        // Tickets are far below the places that are given out in turn.
        let place = if turns { (1 << 62) + self.next_place } else { task.ticket.number() };
        self.next_place += u64::from(turns);
        self.places.insert(task.ticket, (level, place));
        self.waits.insert((task.since, task.ticket));
        if let Some(level) = self.levels.get_mut(level) {
            level.insert(place, task);
        }
    }

    fn choose(&self, view: View) -> Option<Choice> {
        let (since, ticket) = self.waits.first()?;
        if view.now.since(*since) >= self.config.boost {
            return self.get(*ticket).map(|task| Choice { task, reason: Reason::Aged });
        }
        let next = self.levels.iter().find_map(|level| level.values().next())?;
        Some(Choice { task: *next, reason: Reason::Level })
    }

    fn take(&mut self, choice: &Choice, _view: View) {
        self.remove(choice.task.ticket);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        let (level, place) = self.places.remove(&ticket)?;
        let task = self.levels.get_mut(level)?.remove(&place)?;
        self.waits.remove(&(task.since, ticket));
        Some(task)
    }

    fn ahead(&self, view: View, most: usize) -> Vec<Choice> {
        let is_aged = |since: Moment| view.now.since(since) >= self.config.boost;
        let aged = self.waits.iter().take_while(|(since, _)| is_aged(*since));
        let aged = aged.filter_map(|(_, ticket)| self.get(*ticket));
        let others = self.levels.iter().flat_map(BTreeMap::values);
        let others = others.filter(|task| !is_aged(task.since)).copied();
        let aged = aged.map(|task| Choice { task, reason: Reason::Aged });
        let others = others.map(|task| Choice { task, reason: Reason::Level });
        aged.chain(others).take(most).collect()
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    /// One that was moved up runs to its end: were it sent back after a slice, a long queue would be
    /// a round of tasks whose prompts are read again and again.
    fn slice(&self, choice: &Choice) -> Option<Duration> {
        if choice.reason == Reason::Aged {
            return None;
        }
        let level = usize::from(choice.task.level).min(self.last());
        self.config.levels.get(level).map(|level| level.slice)
    }

    fn spent(&self, task: Waiting) -> Waiting {
        let last = u8::try_from(self.last()).unwrap_or(u8::MAX);
        Waiting { level: task.level.saturating_add(1).min(last), ..task }
    }
}
