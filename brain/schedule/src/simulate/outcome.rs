//! What came of a simulation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::Rates;
use crate::time::Moment;

/// A task that was served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Served {
    /// When it came.
    pub arrived: Moment,
    /// When its answer was whole.
    pub ended: Moment,
    /// Slot time it would have taken without interruption.
    pub service: Duration,
}

impl Served {
    /// Time from its arrival to its end, in seconds.
    #[must_use]
    pub fn response_s(&self) -> f64 {
        self.ended.since(self.arrived).as_secs_f64()
    }

    /// The part of it in which nothing of it was done, or was done again, in seconds.
    #[must_use]
    pub fn wait_s(&self) -> f64 {
        (self.response_s() - self.service.as_secs_f64()).max(0.0)
    }
}

/// The fleet at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When, in seconds.
    pub at_s: f64,
    /// Tasks that waited.
    pub waiting: usize,
    /// Slots that were busy.
    pub busy: usize,
}

/// Everything that is known after a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What was served, in the order of ends.
    pub served: Vec<Served>,
    /// Tasks that were refused on arrival.
    pub refused: usize,
    /// Tasks that were given up later.
    pub given_up: usize,
    /// Times a running task made way.
    pub yields: usize,
    /// Times a task lost its worker.
    pub losses: usize,
    /// Slot time spent on reading again what had been read before, in seconds.
    pub reread_s: f64,
    /// Decisions: tasks put on workers.
    pub dispatches: usize,
    /// The course, at even distances.
    pub course: Vec<Point>,
    /// Tasks that each worker began, in the order of joining.
    pub begun: Vec<usize>,
    /// When the last task ended, in seconds.
    pub ended_s: f64,
}

/// The figures of a run, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Tasks.
    pub tasks: usize,
    /// Mean wait.
    pub wait_mean_s: f64,
    /// 99th percentile of waits.
    pub wait_p99_s: f64,
    /// Longest wait.
    pub wait_max_s: f64,
    /// Mean time from arrival to end.
    pub response_mean_s: f64,
    /// 99th percentile of it.
    pub response_p99_s: f64,
    /// Longest.
    pub response_max_s: f64,
}

impl Outcome {
    /// Figures over all tasks that were served; zeros without any.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.figures().0
    }

    /// The same, and all waits in seconds, the shortest first.
    #[must_use]
    pub fn figures(&self) -> (Summary, Vec<f64>) {
        let sorted = |value: fn(&Served) -> f64| {
            let mut all: Vec<f64> = self.served.iter().map(value).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (waits_s, responses_s) = (sorted(Served::wait_s), sorted(Served::response_s));
        let (wait_mean_s, wait_p99_s, wait_max_s) = of(&waits_s);
        let (response_mean_s, response_p99_s, response_max_s) = of(&responses_s);
        let summary = Summary {
            tasks: self.served.len(),
            wait_mean_s,
            wait_p99_s,
            wait_max_s,
            response_mean_s,
            response_p99_s,
            response_max_s,
        };
        (summary, waits_s)
    }

    pub(super) fn serve(&mut self, arrived: Moment, ended: Moment, tokens: (u32, u32), r: &Rates) {
        let service = r.work(f64::from(tokens.0), f64::from(tokens.1));
        self.served.push(Served { arrived, ended, service });
        self.ended_s = self.ended_s.max(ended.secs());
    }
}

/// Mean, 99th percentile and maximum of sorted values.
fn of(sorted: &[f64]) -> (f64, f64, f64) {
    let mean = sorted.iter().sum::<f64>() / sorted.len().max(1) as f64;
    // A share of an index is an index.
    let p99 = ((sorted.len().max(1) - 1) as f64 * 0.99).ceil() as usize;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    (mean, at(p99), sorted.last().copied().unwrap_or(0.0))
}
