//! What is counted of each policy.

use std::time::Duration;

use serde::Serialize;

use super::arrivals::step_of;
use super::generator::Shot;
use super::sizes::{CAPACITY, Policy};
use super::world::Replicas;

/// One look at a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// Since the first counted step.
    pub(super) at: Duration,
    pub(super) replicas: Replicas,
}

/// The steps that are counted.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    /// Length of one.
    pub(super) step_ms: i64,
    /// Requests per second offered in each.
    pub(super) offered: Vec<f64>,
    /// Steps of the arrivals that come before.
    pub(super) warmup: usize,
}

/// A row of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Score {
    pub(super) policy: Policy,
    /// Share of the time with more offered than the ready replicas carry.
    pub(super) overloaded_share: f64,
    /// Wanted replicas, summed over time.
    pub(super) replica_seconds: f64,
    pub(super) latency_p99_ms: f64,
    pub(super) latency_mean_ms: f64,
    pub(super) requests: usize,
    pub(super) failed: usize,
    /// Changes of replicas that were carried out.
    pub(super) actions: usize,
}

/// What the charts show, one value a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Course {
    pub(super) policy: Policy,
    /// Wanted and ready replicas at the end of each step.
    pub(super) wanted: Vec<u32>,
    pub(super) ready: Vec<u32>,
    pub(super) latency_p99_ms: Vec<Option<f64>>,
}

/// Counts a policy: from the looks at it and what became of its requests.
pub(super) fn score(
    policy: Policy,
    steps: &Steps,
    looks: &[Look],
    shots: &[Shot],
    arrivals: &[u64],
    actions: usize,
) -> Score {
    let (overloaded_share, replica_seconds) = occupancy(steps, looks);
    let counted: Vec<Shot> =
        shots.iter().filter(|shot| step(steps, arrivals, shot).is_some()).copied().collect();
    let mut latencies: Vec<u32> = counted.iter().map(|shot| shot.micros).collect();
    latencies.sort_unstable();
    let sum: f64 = latencies.iter().map(|micros| f64::from(*micros)).sum();
    Score {
        policy,
        overloaded_share,
        replica_seconds,
        latency_p99_ms: p99_ms(&latencies).unwrap_or_default(),
        latency_mean_ms: sum / 1_000.0 / latencies.len().max(1) as f64,
        requests: counted.len(),
        failed: counted.iter().filter(|shot| !shot.ok).count(),
        actions,
    }
}

/// The course of a policy over the steps.
pub(super) fn course(
    policy: Policy,
    steps: &Steps,
    looks: &[Look],
    shots: &[Shot],
    arrivals: &[u64],
) -> Course {
    let count = steps.offered.len();
    let mut latencies = vec![Vec::new(); count];
    for shot in shots {
        if let Some(list) = step(steps, arrivals, shot).and_then(|at| latencies.get_mut(at)) {
            list.push(shot.micros);
        }
    }
    let latency_p99_ms = latencies
        .iter_mut()
        .map(|list| {
            list.sort_unstable();
            p99_ms(list)
        })
        .collect();
    let at_end = |step: usize| {
        let end = steps.begin(step + 1);
        let seen = looks.partition_point(|look| look.at <= end);
        looks.get(seen.saturating_sub(1)).map(|look| look.replicas).unwrap_or_default()
    };
    let replicas: Vec<Replicas> = (0..count).map(at_end).collect();
    Course {
        policy,
        wanted: replicas.iter().map(|now| now.wanted).collect(),
        ready: replicas.iter().map(|now| now.ready).collect(),
        latency_p99_ms,
    }
}

impl Steps {
    /// When a step begins.
    pub(super) fn begin(&self, step: usize) -> Duration {
        Duration::from_millis(step as u64 * self.step_ms.max(1) as u64)
    }

    /// The step a moment lies in, when it is counted.
    pub(super) fn at(&self, moment: Duration) -> Option<usize> {
        let step = (moment.as_millis() / self.step_ms.max(1) as u128) as usize;
        (step < self.offered.len()).then_some(step)
    }
}

/// The counted step in which a request was due.
fn step(steps: &Steps, arrivals: &[u64], shot: &Shot) -> Option<usize> {
    let moment = arrivals.get(shot.arrival as usize)?;
    let step = step_of(*moment, steps.step_ms).checked_sub(steps.warmup)?;
    (step < steps.offered.len()).then_some(step)
}

/// Share of the time that was overloaded, and replica-seconds: between two looks what the earlier
/// one saw is taken to hold.
fn occupancy(steps: &Steps, looks: &[Look]) -> (f64, f64) {
    let end = steps.begin(steps.offered.len());
    let (mut over, mut seconds) = (0.0, 0.0);
    for (index, look) in looks.iter().enumerate() {
        let until = looks.get(index + 1).map_or(end, |next| next.at).min(end);
        let mut from = if index == 0 { Duration::ZERO } else { look.at };
        let capacity = f64::from(look.replicas.ready) * CAPACITY;
        while let Some(step) = steps.at(from).filter(|_| from < until) {
            let part = steps.begin(step + 1).min(until);
            let length = part.saturating_sub(from).as_secs_f64();
            seconds += length * f64::from(look.replicas.wanted);
            if steps.offered[step] > capacity {
                over += length;
            }
            from = part;
        }
    }
    (over / end.as_secs_f64().max(1e-9), seconds)
}

/// Share of the time that was overloaded up to now, for the screen.
pub(super) fn overloaded_so_far(steps: &Steps, looks: &[Look], now: Duration) -> f64 {
    let done = steps.at(now).unwrap_or(steps.offered.len()).max(1);
    let part = Steps { offered: steps.offered[..done.min(steps.offered.len())].to_vec(), ..*steps };
    occupancy(&part, looks).0
}

/// The 99th percentile of sorted latencies, by the nearest rank.
pub(super) fn p99_ms(sorted_micros: &[u32]) -> Option<f64> {
    let rank = (sorted_micros.len() as f64 * 0.99).ceil() as usize;
    sorted_micros.get(rank.max(1) - 1).map(|micros| f64::from(*micros) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(offered: &[f64]) -> Steps {
        Steps { step_ms: 1_000, offered: offered.to_vec(), warmup: 2 }
    }

    fn look(at_ms: u64, wanted: u32, ready: u32) -> Look {
        Look { at: Duration::from_millis(at_ms), replicas: Replicas { wanted, ready } }
    }

    #[test]
    fn time_counts_as_overloaded_while_more_is_offered_than_ready_replicas_carry() {
        // Capacity of a replica: 40.
        let steps = steps(&[30.0, 70.0, 90.0, 70.0]);
        let looks = [look(0, 1, 1), look(1_000, 2, 1), look(1_500, 2, 2), look(3_000, 3, 2)];
        let (over, seconds) = occupancy(&steps, &looks);
        // Half of the second step (70 > 40) and all of the third (90 > 80).
        assert!((over - 1.5 / 4.0).abs() < 1e-9, "{over}");
        assert!((seconds - (1.0 + 2.0 + 2.0 + 3.0)).abs() < 1e-9, "{seconds}");
    }

    #[test]
    fn exactly_what_replicas_carry_is_no_overload_and_none_ready_is() {
        let steps = steps(&[40.0, 40.0]);
        assert_eq!(occupancy(&steps, &[look(0, 1, 1)]).0, 0.0);
        assert_eq!(occupancy(&steps, &[look(0, 1, 0)]).0, 1.0);
    }

    #[test]
    fn a_late_first_look_speaks_for_the_time_before_and_looks_after_the_end_for_nothing() {
        let steps = steps(&[10.0, 10.0]);
        let (_, seconds) = occupancy(&steps, &[look(700, 3, 3), look(2_500, 9, 9)]);
        assert!((seconds - 6.0).abs() < 1e-9, "{seconds}");
    }

    #[test]
    fn only_requests_that_were_due_in_counted_steps_count() {
        let steps = steps(&[1.0, 2.0]);
        // In the warm-up, in the first and second counted step, and after the end.
        let arrivals = [1_999_999, 2_000_000, 3_100_000, 3_200_000, 4_000_000];
        let shots: Vec<Shot> = (0..5)
            .map(|arrival| Shot { arrival, micros: 1_000 * (arrival + 1), ok: arrival != 3 })
            .collect();
        let score = score(Policy::Loop, &steps, &[look(0, 1, 1)], &shots, &arrivals, 4);
        assert_eq!((score.requests, score.failed, score.actions), (3, 1, 4));
        assert!((score.latency_mean_ms - 3.0).abs() < 1e-9);
        assert!((score.latency_p99_ms - 4.0).abs() < 1e-9);
        let course = course(Policy::Loop, &steps, &[look(0, 2, 1)], &shots, &arrivals);
        assert_eq!(course.latency_p99_ms, [Some(2.0), Some(4.0)]);
        assert_eq!((course.wanted, course.ready), (vec![2, 2], vec![1, 1]));
    }

    #[test]
    fn the_percentile_is_by_nearest_rank() {
        let micros: Vec<u32> = (1..=200).map(|value| value * 1_000).collect();
        assert_eq!(p99_ms(&micros), Some(198.0));
        assert_eq!(p99_ms(&[5_000]), Some(5.0));
        assert_eq!(p99_ms(&[]), None);
    }
}
