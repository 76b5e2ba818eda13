//! Tasks found by ticket and by a key, whichever is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::Waiting;
use crate::task::Ticket;

/// Every operation takes time that grows with the logarithm of the number of tasks.
#[derive(Debug, Clone)]
pub(super) struct Keyed<K> {
    by_ticket: BTreeMap<Ticket, (K, Waiting)>,
    by_key: BTreeSet<(K, Ticket)>,
}

impl<K> Default for Keyed<K> {
    fn default() -> Self {
        Self { by_ticket: BTreeMap::new(), by_key: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Keyed<K> {
    pub(super) fn push(&mut self, key: K, task: Waiting) {
        self.remove(task.ticket);
        self.by_ticket.insert(task.ticket, (key, task));
        self.by_key.insert((key, task.ticket));
    }

    /// The task with the smallest key; the earliest of those.
    pub(super) fn least(&self) -> Option<Waiting> {
        let (_, ticket) = self.by_key.first()?;
        Some(self.by_ticket.get(ticket)?.1)
    }

    pub(super) fn oldest(&self) -> Option<Waiting> {
        Some(self.by_ticket.first_key_value()?.1.1)
    }

    /// All tasks, the earliest first.
    pub(super) fn by_age(&self) -> impl Iterator<Item = Waiting> {
        self.by_ticket.values().map(|(_, task)| *task)
    }

    /// All tasks, the smallest key first.
    pub(super) fn by_key(&self) -> impl Iterator<Item = Waiting> {
        self.by_key.iter().filter_map(|(_, ticket)| Some(self.by_ticket.get(ticket)?.1))
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        let (key, task) = self.by_ticket.remove(&ticket)?;
        self.by_key.remove(&(key, ticket));
        Some(task)
    }

    pub(super) fn len(&self) -> usize {
        self.by_ticket.len()
    }
}
