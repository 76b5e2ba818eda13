//! Least predicted work first, and nothing else.

use std::time::Duration;

use super::keyed::Keyed;
use super::{Choice, Policy, Reason, View, Waiting};
use crate::task::Ticket;

/// Shortest job first on predicted work. Best for the mean, and without any bound for the
/// longest: it is here to be compared with. Use the default where somebody waits.
#[derive(Debug, Clone, Default)]
pub struct Sjf {
    tasks: Keyed<Duration>,
}

impl Policy for Sjf {
    fn push(&mut self, task: Waiting) {
        self.tasks.push(task.work, task);
    }

    fn choose(&self, _view: View) -> Option<Choice> {
        self.tasks.least().map(|task| Choice { task, reason: Reason::Shortest })
    }

    fn take(&mut self, choice: &Choice, _view: View) {
        self.tasks.remove(choice.task.ticket);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        self.tasks.remove(ticket)
    }

    fn ahead(&self, _view: View, most: usize) -> Vec<Choice> {
        let choice = |task| Choice { task, reason: Reason::Shortest };
        self.tasks.by_key().take(most).map(choice).collect()
    }

    fn len(&self) -> usize {
        self.tasks.len()
    }
}
