//! What tasks would wait if nobody were overtaken.

use std::time::Duration;

use crate::time::Moment;

/// Slots that are followed one by one; of more, each stands for several.
const SLOTS_MAX: usize = 64;

/// A queue of its own that serves the same tasks in the order of arrival, each slot given to the
/// next as soon as it is free (Kiefer and Wolfowitz 1955).
///
/// The queue that really serves says little about those waits: where the short go first, the work
/// that waits is the work of the long. Tasks enter with what is predicted of them; once one has
/// run, what it took more or less is made up for on all slots.
#[derive(Debug, Clone, Default)]
pub(super) struct InOrder {
    /// When each slot is free, in seconds, before `shift`.
    free_s: Vec<f64>,
    shift_s: f64,
    slots: f64,
}

impl InOrder {
    /// A task arrives: how long it would wait, in seconds. `idle` says that it does not really
    /// wait, and neither would it here.
    pub(super) fn arrives(&mut self, work: Duration, slots: usize, idle: bool, now: Moment) -> f64 {
        self.resize(slots, now);
        let now_s = now.secs() - self.shift_s;
        let first = self.free_s.iter().enumerate().min_by(|one, other| one.1.total_cmp(other.1));
        let Some((at, free_s)) = first.map(|(at, free_s)| (at, *free_s)) else { return 0.0 };
        let wait_s = (free_s - now_s).max(0.0);
        let share = self.free_s.len() as f64 / self.slots;
        if let Some(free) = self.free_s.get_mut(at) {
            *free = now_s + wait_s + work.as_secs_f64() * share;
        }
        if idle {
            self.shift_s -= wait_s;
            return 0.0;
        }
        wait_s
    }

    /// There was that much more to do than what was predicted, or less.
    pub(super) fn correct(&mut self, work_s: f64) {
        self.shift_s += work_s / self.slots.max(1.0);
    }

    /// Follows the number of slots. What a slot that goes had to do, the next one has.
    fn resize(&mut self, slots: usize, now: Moment) {
        self.slots = slots.max(1) as f64;
        let now_s = now.secs() - self.shift_s;
        let wanted = slots.clamp(1, SLOTS_MAX);
        if self.free_s.len() < wanted {
            self.free_s.resize(wanted, now_s);
        }
        if self.free_s.len() > wanted {
            self.free_s.sort_by(f64::total_cmp);
            for at in wanted..self.free_s.len() {
                let left_s = self.free_s.get(at).map_or(0.0, |free_s| (free_s - now_s).max(0.0));
                if let Some(other) = self.free_s.get_mut(at % wanted) {
                    *other = other.max(now_s) + left_s;
                }
            }
            self.free_s.truncate(wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(line: &mut InOrder, work_s: u64, slots: usize, now_s: f64) -> f64 {
        line.arrives(Duration::from_secs(work_s), slots, false, Moment::from_secs(now_s))
    }

    #[test]
    fn waits_are_those_of_the_order_of_arrival() {
        let mut line = InOrder::default();
        assert_eq!([10, 4, 6].map(|work| wait(&mut line, work, 2, 0.0)), [0.0, 0.0, 4.0]);
        // The slots are free at 10 and 10; the first task takes 6 s less, 3 on each.
        line.correct(-6.0);
        assert_eq!(wait(&mut line, 1, 2, 1.0), 6.0);
        // A slot goes, and its work does not.
        assert_eq!(wait(&mut line, 1, 1, 1.0), 6.0 + 6.0 + 1.0);
        // Another comes, and is free.
        assert_eq!(wait(&mut line, 1, 2, 1.0), 0.0);
    }

    #[test]
    fn who_does_not_wait_would_not_have_waited() {
        let mut line = InOrder::default();
        wait(&mut line, 10, 1, 0.0);
        assert_eq!(line.arrives(Duration::from_secs(2), 1, true, Moment::from_secs(1.0)), 0.0);
        assert_eq!(wait(&mut line, 1, 1, 1.0), 2.0);
        // Many slots count as fewer that are quicker.
        let mut large = InOrder::default();
        let waits: Vec<f64> = (0..129).map(|_| wait(&mut large, 8, 128, 0.0)).collect();
        assert_eq!((waits[63], waits[64], waits[128]), (0.0, 4.0, 8.0));
    }
}
