//! First come, first served.

use std::collections::BTreeMap;

use super::{Choice, Policy, Reason, View, Waiting};
use crate::task::Ticket;

/// Tasks in the order in which they came. A task is overtaken by none, so it waits for those
/// before it and no others.
#[derive(Debug, Clone, Default)]
pub struct Fcfs {
    tasks: BTreeMap<Ticket, Waiting>,
}

impl Policy for Fcfs {
    fn push(&mut self, task: Waiting) {
        self.tasks.insert(task.ticket, task);
    }

    fn choose(&self, _view: View) -> Option<Choice> {
        let (_, task) = self.tasks.first_key_value()?;
        Some(Choice { task: *task, reason: Reason::First })
    }

    fn take(&mut self, choice: &Choice, _view: View) {
        self.tasks.remove(&choice.task.ticket);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        self.tasks.remove(&ticket)
    }

    fn ahead(&self, _view: View, most: usize) -> Vec<Choice> {
        let choice = |task: &Waiting| Choice { task: *task, reason: Reason::First };
        self.tasks.values().take(most).map(choice).collect()
    }

    fn len(&self) -> usize {
        self.tasks.len()
    }
}
