//! More urgent classes first, also in place of what runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Choice, Policy, Reason, View, Waiting};
use crate::task::{Class, Ticket};

/// How classes give way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriorityConfig {
    /// Whether a more urgent task takes the place of a running one.
    pub preempts: bool,
    /// After each such wait a task counts as one class more urgent.
    #[serde(with = "crate::time::millis", rename = "age_ms")]
    pub age: Duration,
}

impl Default for PriorityConfig {
    fn default() -> Self {
        Self { preempts: true, age: Duration::from_secs(60) }
    }
}

/// Strict classes, first come first served within one. A task climbs a class for every
/// [`PriorityConfig::age`] it has waited, and one that climbed to the top goes by age alone: so the
/// least urgent is behind every newcomer for at most three ages.
#[derive(Debug, Clone)]
pub struct Priority {
    config: PriorityConfig,
    classes: [BTreeMap<Ticket, Waiting>; Class::ALL.len()],
}

impl Priority {
    /// With nothing waiting.
    #[must_use]
    pub fn new(config: PriorityConfig) -> Self {
        Self { config, classes: Default::default() }
    }

    fn choice(&self, task: &Waiting, view: View) -> Choice {
        let aged = self.rank(task, view) < task.class.rank();
        let reason = if aged { Reason::Aged } else { Reason::Class };
        Choice { task: *task, reason }
    }

    /// The class a task counts as after a wait.
    fn rank(&self, task: &Waiting, view: View) -> usize {
        let age = self.config.age.as_micros().max(1);
        let climbed = view.now.since(task.since).as_micros() / age;
        task.class.rank().saturating_sub(usize::try_from(climbed).unwrap_or(usize::MAX))
    }
}

impl Policy for Priority {
    fn push(&mut self, task: Waiting) {
        if let Some(class) = self.classes.get_mut(task.class.rank()) {
            class.insert(task.ticket, task);
        }
    }

    fn choose(&self, view: View) -> Option<Choice> {
        let heads = self.classes.iter().filter_map(|class| class.values().next());
        let next = heads.min_by_key(|task| (self.rank(task, view), task.ticket))?;
        Some(self.choice(next, view))
    }

    fn take(&mut self, choice: &Choice, _view: View) {
        self.remove(choice.task.ticket);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        self.classes.iter_mut().find_map(|class| class.remove(&ticket))
    }

    fn ahead(&self, view: View, most: usize) -> Vec<Choice> {
        let mut classes = self.classes.each_ref().map(|class| class.values().peekable());
        let mut ahead = Vec::new();
        while ahead.len() < most {
            let heads = classes.iter_mut().filter_map(|class| {
                let task = *class.peek()?;
                Some(((self.rank(task, view), task.ticket), class))
            });
            let first = heads.min_by_key(|(place, _)| *place);
            let Some(task) = first.and_then(|(_, class)| class.next()) else { break };
            ahead.push(self.choice(task, view));
        }
        ahead
    }

    fn len(&self) -> usize {
        self.classes.iter().map(BTreeMap::len).sum()
    }

    fn preempts(&self, next: &Waiting, running: &Waiting) -> bool {
        self.config.preempts && next.class < running.class
    }
}
