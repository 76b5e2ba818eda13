//! The default: least predicted work first, with turns of the oldest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::keyed::Keyed;
use super::{Choice, Policy, Reason, View, Waiting};
use crate::task::Ticket;
use crate::time::micros;

/// Sizes that differ by less than this factor count as the same. A prediction cannot tell them
/// apart, and among equals the first to come is first: without this the few tasks with the largest
/// predictions would wait for all others, for nearly nothing.
const SAME_SIZE: f64 = 1.5;

/// Where everybody waits longer than the limit of patience, all are out of it: this many dispatches
/// to one of the oldest are the least then, or it would be the order of arrival.
const LIMIT_EVERY: u32 = 2;

/// How far the default leans to the short, and when the oldest has its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Balanced {
    /// Every how many dispatches is one of the oldest, once the oldest has waited beyond the
    /// queue's patience: 1 is each of them, and 2 the least where patience is at its limit.
    pub oldest_every: u32,
    /// Whether the oldest has its turns from the first moment on, whatever its wait.
    pub always: bool,
}

impl Default for Balanced {
    /// Every dispatch, once patience has run out: measured, see `docs/scheduling.md`.
    fn default() -> Self {
        Self { oldest_every: 1, always: false }
    }
}

/// Tasks by size and by age.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    settings: Balanced,
    tasks: Keyed<u32>,
    /// Dispatches since a turn of the oldest, while it was due.
    passed_over: u32,
}

impl Lane {
    pub(super) fn new(settings: Balanced) -> Self {
        Self { settings, tasks: Keyed::default(), passed_over: 0 }
    }

    /// What is next of the oldest and the shortest.
    fn choice(&self, oldest: Waiting, shortest: Waiting, passed_over: u32, view: View) -> Choice {
        let due = self.is_due(&oldest, view);
        if due && passed_over.saturating_add(1) >= self.oldest_every(view) {
            return Choice { task: oldest, reason: Reason::Oldest };
        }
        Choice { task: shortest, reason: Reason::Shortest }
    }

    /// Dispatches passed over after one more.
    fn passed_over(&self, before: u32, reason: Reason, oldest: &Waiting, view: View) -> u32 {
        match reason {
            Reason::Oldest => 0,
            _ if self.is_due(oldest, view) => before.saturating_add(1),
            _ => before,
        }
    }

    fn oldest_every(&self, view: View) -> u32 {
        let Balanced { oldest_every, always } = self.settings;
        if view.at_limit && !always { oldest_every.max(LIMIT_EVERY) } else { oldest_every }
    }

    fn is_due(&self, oldest: &Waiting, view: View) -> bool {
        self.settings.always || view.now.since(oldest.arrived) >= view.patience
    }
}

impl Policy for Lane {
    fn push(&mut self, task: Waiting) {
        self.tasks.push(size(&task), task);
    }

    fn choose(&self, view: View) -> Option<Choice> {
        let (oldest, shortest) = (self.tasks.oldest()?, self.tasks.least()?);
        Some(self.choice(oldest, shortest, self.passed_over, view))
    }

    fn take(&mut self, choice: &Choice, view: View) {
        if let Some(oldest) = self.tasks.oldest() {
            self.passed_over = self.passed_over(self.passed_over, choice.reason, &oldest, view);
        }
        self.tasks.remove(choice.task.ticket);
    }

    fn ahead(&self, view: View, most: usize) -> Vec<Choice> {
        let (mut oldest, mut shortest) = (self.tasks.by_age(), self.tasks.by_key());
        let (mut gone, mut passed_over) = (BTreeSet::new(), self.passed_over);
        let (mut first, mut least) = (oldest.next(), shortest.next());
        let mut ahead = Vec::new();
        while ahead.len() < most
            && let (Some(old), Some(short)) = (first, least)
        {
            let choice = self.choice(old, short, passed_over, view);
            passed_over = self.passed_over(passed_over, choice.reason, &old, view);
            gone.insert(choice.task.ticket);
            ahead.push(choice);
            first = first.filter(left(&gone)).or_else(|| oldest.find(left(&gone)));
            least = least.filter(left(&gone)).or_else(|| shortest.find(left(&gone)));
        }
        ahead
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        self.tasks.remove(ticket)
    }

    fn len(&self) -> usize {
        self.tasks.len()
    }
}

/// Whether a task is not among those that are gone.
fn left(gone: &BTreeSet<Ticket>) -> impl Fn(&Waiting) -> bool {
    |task| !gone.contains(&task.ticket)
}

/// Predicted work in steps of [`SAME_SIZE`], from a millisecond on.
fn size(task: &Waiting) -> u32 {
    let millis = micros(task.work) as f64 / 1e3;
    // Never negative; the cast saturates.
    (millis.max(1.0).ln() / SAME_SIZE.ln()) as u32
}
