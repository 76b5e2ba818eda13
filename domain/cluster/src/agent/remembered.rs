//! What the engines of a node remember of prompts, in the hashes that the controller knows.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oag_serve::{Engines, Generation};

use crate::facts::prefixes;
use crate::protocol::Load;

/// Requests whose hashes are known at once; far more than any engine keeps prompts.
const REQUESTS_MAX: usize = 4_096;
/// Hashes that are told of each model.
const HASHES_MAX: usize = 1_024;

/// The hashes of the requests that came last.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    hashes: HashMap<String, Vec<u64>>,
    /// The requests, the oldest first.
    order: VecDeque<String>,
    /// Those that are worked on, by model: their prompts are in memory as well.
    running: BTreeSet<(String, String)>,
}

impl Remembered {
    /// A request is begun. Nothing is kept of one whose engine does not tell what it remembers.
    pub(super) fn begin(&self, request: &Generation, engines: &Engines) {
        if kept(engines, &request.model).is_none() {
            return;
        }
        let hashes = prefixes(request);
        if hashes.is_empty() {
            return;
        }
        let mut known = self.lock();
        let id = request.context.request.clone();
        known.running.insert((request.model.clone(), id.clone()));
        if known.hashes.insert(id.clone(), hashes).is_none() {
            known.order.push_back(id);
        }
        while known.order.len() > REQUESTS_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.hashes.remove(&oldest);
        }
    }

    /// A request is over.
    pub(super) fn end(&self, model: &str, request: &str) {
        self.lock().running.remove(&(model.to_owned(), request.to_owned()));
    }

    /// Adds to what is told of each model what its engine remembers, where that tells.
    pub(super) fn add(&self, load: &mut Load, engines: &Engines) {
        let known = self.lock();
        for model in &mut load.models {
            let Some(kept) = kept(engines, &model.model) else { continue };
            let running = known.running.iter().filter(|(of, _)| *of == model.model);
            let requests = kept.iter().chain(running.map(|(_, request)| request));
            let lists: Vec<&Vec<u64>> =
                requests.filter_map(|request| known.hashes.get(request)).collect();
            model.prefixes = Some(shortest_first(&lists));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests whose prompts the engine of a model remembers, where it tells.
fn kept(engines: &Engines, model: &str) -> Option<Vec<String>> {
    engines.of(model).ok()?.engine.kept()
}

/// Every hash once, those of the shortest beginnings first: what is left out is what helps least.
fn shortest_first(lists: &[&Vec<u64>]) -> Vec<u64> {
    let longest = lists.iter().map(|list| list.len()).max().unwrap_or(0);
    let (mut seen, mut hashes) = (BTreeSet::new(), Vec::new());
    for depth in 0..longest {
        for hash in lists.iter().filter_map(|list| list.get(depth)) {
            if hashes.len() < HASHES_MAX && seen.insert(*hash) {
                hashes.push(*hash);
            }
        }
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_beginnings_are_told_once_and_before_longer_ones() {
        assert_eq!(shortest_first(&[&vec![1, 2, 3], &vec![1, 4], &vec![9]]), [1, 9, 2, 4, 3]);
        let many: Vec<u64> = (0..2_000).collect();
        assert_eq!(shortest_first(&[&many]).len(), HASHES_MAX);
    }
}
