//! The workers that offer one model.

use std::collections::BTreeSet;

use super::WorkerId;
use crate::balance::{Balance, BalanceKind};
use crate::task::Rates;
use crate::time::Moment;

/// Workers that offer a model.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Those that may take a task, by the rule's key.
    pub(super) ready: BTreeSet<(u64, WorkerId)>,
    /// The same, by the room they have in tokens.
    pub(super) rooms: BTreeSet<(u64, WorkerId)>,
    /// Windows of the members, the largest last.
    pub(super) windows: BTreeSet<(u64, WorkerId)>,
    pub(super) balance: Box<dyn Balance>,
    /// When the first of those joined that are here.
    pub(super) at_work_since: Moment,
    pub(super) slots: usize,
    pub(super) busy: usize,
    pub(super) prefill_per_s: f64,
    pub(super) decode_per_s: f64,
}

impl Pool {
    pub(super) fn new(balance: BalanceKind, now: Moment) -> Self {
        Self {
            ready: BTreeSet::new(),
            rooms: BTreeSet::new(),
            windows: BTreeSet::new(),
            balance: balance.rule(),
            at_work_since: now,
            slots: 0,
            busy: 0,
            prefill_per_s: 0.0,
            decode_per_s: 0.0,
        }
    }

    /// Whether no worker is here.
    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Share of its slots that is busy, and how many slots there are.
    pub(crate) fn load(&self) -> (f64, usize) {
        (self.busy as f64 / self.slots.max(1) as f64, self.slots)
    }

    /// Whether a worker may take a task now.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The largest window; none without workers.
    pub(crate) fn window(&self) -> Option<u64> {
        self.windows.last().map(|(window, _)| *window)
    }

    /// Mean rates of its workers.
    pub(crate) fn rates(&self) -> Rates {
        let members = self.windows.len().max(1) as f64;
        let mean = Rates {
            prefill_per_s: self.prefill_per_s / members,
            decode_per_s: self.decode_per_s / members,
        };
        if mean.is_sound() { mean } else { Rates::default() }
    }
}
