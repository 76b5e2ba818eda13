//! Which class of a queue is next.

use super::{AdmissionQueue, CLASS_TURN};
use crate::task::Class;
use crate::time::Moment;

impl AdmissionQueue {
    /// Whether a class has waited beyond its patience, by the one that has waited longest.
    pub(super) fn is_due(&self, since: Option<Moment>, now: Moment) -> bool {
        since.is_some_and(|since| now.since(since) >= self.config.class_patience)
    }

    /// Of each class, whether something waits and whether it is due.
    pub(super) fn turns(&self, now: Moment) -> impl Iterator<Item = (usize, bool, bool)> {
        self.classes.iter().enumerate().map(move |(class, lanes)| {
            (class, lanes.next().is_some(), self.is_due(lanes.waits_since(), now))
        })
    }

    /// The class that is next.
    pub(super) fn class_in_turn(
        &self,
        turns: impl Iterator<Item = (usize, bool, bool)>,
        passed_over: u32,
    ) -> Option<usize> {
        let loaded = self.load > self.config.background_load_max;
        let mut may = turns.filter(|(class, waits, due)| {
            let held_back = loaded && *class == Class::Background.rank();
            *waits && (!held_back || *due)
        });
        let (first, ..) = may.next()?;
        if passed_over.saturating_add(1) < CLASS_TURN {
            return Some(first);
        }
        Some(may.find(|(.., due)| *due).map_or(first, |(class, ..)| class))
    }

    /// Dispatches since a turn of a less urgent class, after one of this class.
    pub(super) fn passes_over(
        turns: impl Iterator<Item = (usize, bool, bool)>,
        class: usize,
        before: u32,
    ) -> u32 {
        let (mut more_urgent, mut less_urgent_due) = (false, false);
        for (other, waits, due) in turns {
            more_urgent |= other < class && waits;
            less_urgent_due |= other > class && due;
        }
        match (more_urgent, less_urgent_due) {
            (true, _) => 0,
            (false, true) => before.saturating_add(1),
            (false, false) => before,
        }
    }
}
