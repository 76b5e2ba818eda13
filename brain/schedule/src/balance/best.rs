//! The default: by predicted latency, load in tokens and what the cache holds.

use super::{Balance, Pick, Probes, Ready, Wanted, Why};
use crate::fleet::{Worker, WorkerId};

/// Workers looked at: those that are best for an ordinary task, and those that hold a prefix.
const CANDIDATES: usize = 4;
const HOLDERS: usize = 6;
/// An ordinary task, in tokens read and written.
const ORDINARY: (f64, f64) = (1_000.0, 200.0);

/// The worker where this task should be done first: its prompt less what the cache holds, its
/// expected answer, at the speed the worker has shown, slower with the tokens it works on. Looks at
/// a bounded number of workers: the best for an ordinary task, which the pool keeps in order, and
/// those whose caches hold the longest part of the prompt.
#[derive(Debug, Clone, Default)]
pub struct Best {
    probes: Probes,
    /// Of the last pick, so that its place in memory is used again.
    holders: Vec<(WorkerId, u64)>,
}

/// Microseconds an ordinary task would take.
fn ordinary(worker: &Worker) -> u64 {
    // Positive; the cast saturates.
    (worker.expected_s(ORDINARY.0, ORDINARY.1) * 1e6) as u64
}

fn cost(worker: &Worker, wanted: &Wanted<'_>, cached: u64) -> f64 {
    worker.expected_s((wanted.prompt - cached as f64).max(0.0), wanted.steps)
}

impl Balance for Best {
    fn key(&self, worker: &Worker) -> u64 {
        ordinary(worker)
    }

    fn pick(&mut self, ready: &Ready<'_>, wanted: &Wanted<'_>) -> Option<Pick> {
        if let Some(probe) = self.probes.pick(ready, wanted) {
            return Some(probe);
        }
        let fits = |worker: &&Worker| worker.fits(wanted.tokens);
        ready.holders(wanted, HOLDERS, &mut self.holders);
        let with_cache = self.holders.iter().filter_map(|(id, tokens)| {
            let worker = ready.get(*id)?;
            Some((worker, *tokens))
        });
        let ordinary = ready.iter().take(CANDIDATES).map(|worker| (worker, 0));
        let cheapest = with_cache
            .chain(ordinary)
            .filter(|(worker, _)| fits(worker))
            .map(|(worker, cached)| (cost(worker, wanted, cached), worker, cached))
            .min_by(|one, other| one.0.total_cmp(&other.0).then(one.1.id().cmp(&other.1.id())));
        let (worker, cached_tokens) = match cheapest {
            Some((_, worker, cached)) => (worker, cached),
            None => (ready.first_fit(ready.iter().skip(CANDIDATES), wanted)?, 0),
        };
        let why = if cached_tokens > 0 { Why::Cache } else { Why::Soonest };
        Some(Pick { worker: worker.id(), cached_tokens, why })
    }
}
