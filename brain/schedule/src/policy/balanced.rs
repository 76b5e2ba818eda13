//! The default: least predicted work first, with turns of the oldest.

use serde::{Deserialize, Serialize};

use super::keyed::Keyed;
use super::{Choice, Policy, Reason, View, Waiting};
use crate::task::Ticket;
use crate::time::micros;

/// Sizes that differ by less than this factor count as the same. A prediction cannot tell them
/// apart, and among equals the first to come is first: without this the few tasks with the largest
/// predictions would wait for all others, for nearly nothing.
const SAME_SIZE: f64 = 1.5;

/// How far the default leans to the short, and when the oldest has its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balanced {
    /// Every how many dispatches is one of the oldest, once the oldest has waited beyond the
    /// queue's patience: 1 is each of them.
    pub oldest_every: u32,
    /// Whether the oldest has its turns from the first moment on, whatever its wait.
    pub always: bool,
}

impl Default for Balanced {
    /// Every second dispatch, once patience has run out: measured, see `docs/scheduling.md`.
    fn default() -> Self {
        Self { oldest_every: 2, always: false }
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

    fn is_due(&self, oldest: &Waiting, view: View) -> bool {
        self.settings.always || view.now.since(oldest.arrived) >= view.patience
    }
}

impl Policy for Lane {
    fn push(&mut self, task: Waiting) {
        self.tasks.push(size(&task), task);
    }

    fn choose(&self, view: View) -> Option<Choice> {
        let oldest = self.tasks.oldest()?;
        let turn = self.passed_over.saturating_add(1) >= self.settings.oldest_every;
        if turn && self.is_due(&oldest, view) {
            return Some(Choice { task: oldest, reason: Reason::Oldest });
        }
        self.tasks.least().map(|task| Choice { task, reason: Reason::Shortest })
    }

    fn take(&mut self, choice: &Choice, view: View) {
        let due = self.tasks.oldest().is_some_and(|oldest| self.is_due(&oldest, view));
        self.passed_over = match choice.reason {
            Reason::Oldest => 0,
            _ if due => self.passed_over.saturating_add(1),
            _ => self.passed_over,
        };
        self.tasks.remove(choice.task.ticket);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        self.tasks.remove(ticket)
    }

    fn oldest(&self) -> Option<Waiting> {
        self.tasks.oldest()
    }

    fn len(&self) -> usize {
        self.tasks.len()
    }
}

/// Predicted work in steps of [`SAME_SIZE`], from a millisecond on.
fn size(task: &Waiting) -> u32 {
    let millis = micros(task.work) as f64 / 1e3;
    // Never negative; the cast saturates.
    (millis.max(1.0).ln() / SAME_SIZE.ln()) as u32
}
