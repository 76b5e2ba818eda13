//! What was learned, in a table that never grows.

use serde::{Deserialize, Serialize};

use super::histogram::BUCKETS;

/// Cells that a key may lie in.
const WAYS: usize = 8;
/// Weight of one observation against the next of its cell.
const FORGET: f64 = 0.99;
/// Increments grow instead of everything else shrinking; from here on they are scaled back.
const SCALE_MOST: f64 = 1e6;

/// Answers with something in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cell {
    key: u64,
    /// Number of the last observation of the whole table that fell here.
    touched: u64,
    /// What the next observation weighs.
    scale: f64,
    weight: f64,
    sum: f64,
    shares: Vec<f32>,
}

impl Cell {
    fn new(key: u64, touched: u64) -> Self {
        Self { key, touched, scale: 1.0, weight: 0.0, sum: 0.0, shares: vec![0.0; BUCKETS] }
    }

    /// Observations in it, the old ones counting less.
    pub(super) fn count(&self) -> f64 {
        self.weight / self.scale
    }

    /// Their mean length; zero without any.
    pub(super) fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }

    /// Their shares by bucket, summing to their count.
    pub(super) fn shares(&self) -> impl Iterator<Item = f64> {
        self.shares.iter().map(|share| f64::from(*share) / self.scale)
    }

    /// Takes one observation, spread over buckets.
    fn learn(&mut self, mean: f64, spread: &[f64; BUCKETS], touched: u64) {
        self.touched = touched;
        self.scale /= FORGET;
        self.weight += self.scale;
        self.sum += self.scale * mean;
        for (own, part) in self.shares.iter_mut().zip(spread) {
            *own += (self.scale * part) as f32;
        }
        if self.scale > SCALE_MOST {
            self.weight /= self.scale;
            self.sum /= self.scale;
            for own in &mut self.shares {
                *own = (f64::from(*own) / self.scale) as f32;
            }
            self.scale = 1.0;
        }
    }
}

/// A fixed number of cells, found by hash. A new key takes the place of the one of its
/// neighbours that was used longest ago.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cells {
    places: Vec<Option<Cell>>,
    observed: u64,
}

impl Cells {
    /// With this many places, rounded up to a multiple of the places of a key.
    pub(super) fn new(places: usize) -> Self {
        let places = places.max(WAYS).next_multiple_of(WAYS);
        Self { places: vec![None; places], observed: 0 }
    }

    pub(super) fn get(&self, key: u64) -> Option<&Cell> {
        let from = self.first_place(key);
        let mut near = self.places[from..from + WAYS].iter().flatten();
        near.find(|cell| cell.key == key)
    }

    /// Counts an observation, once for all the cells it falls in.
    pub(super) const fn observe(&mut self) {
        self.observed += 1;
    }

    pub(super) fn learn(&mut self, key: u64, mean: f64, spread: &[f64; BUCKETS]) {
        let (from, observed) = (self.first_place(key), self.observed);
        let near = &mut self.places[from..from + WAYS];
        let own = near.iter().position(|place| place.as_ref().is_some_and(|cell| cell.key == key));
        let oldest = || {
            let ages = near.iter().map(|place| place.as_ref().map_or(0, |cell| cell.touched));
            ages.enumerate().min_by_key(|(_, touched)| *touched).map_or(0, |(at, _)| at)
        };
        let at = own.unwrap_or_else(oldest);
        let place = &mut near[at];
        if own.is_none() {
            *place = None;
        }
        place.get_or_insert_with(|| Cell::new(key, observed)).learn(mean, spread, observed);
    }

    /// Bytes held, heap included.
    pub(super) fn memory_bytes(&self) -> usize {
        let used = self.places.iter().flatten().count();
        self.places.capacity() * size_of::<Option<Cell>>() + used * BUCKETS * size_of::<f32>()
    }

    fn first_place(&self, key: u64) -> usize {
        let sets = (self.places.len() / WAYS) as u64;
        // A remainder is below the number of sets.
        (key % sets) as usize * WAYS
    }
}
