//! How loaded a node is, as its heartbeats tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oag_cluster::protocol::{Load, ModelLoad};
use oag_runtime::Clock;
use oag_serve::Engines;

use crate::host::{HostLoad, HostMeter};

/// Tells how loaded the engines of a node and its host are.
pub struct LoadMeter {
    engines: Arc<Engines>,
    clock: Arc<dyn Clock>,
    host: HostMeter,
    /// Tokens written by each engine when it was asked last, and when that was.
    before: Mutex<BTreeMap<String, (u64, Duration)>>,
}

impl LoadMeter {
    /// Of engines.
    #[must_use]
    pub fn new(engines: Arc<Engines>, clock: Arc<dyn Clock>) -> Self {
        Self { engines, clock, host: HostMeter::new(), before: Mutex::default() }
    }

    /// Now, with speeds since it was asked last.
    pub fn load(&self) -> Load {
        let now = self.clock.monotonic();
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let mut models = Vec::new();
        for engine in self.engines.all() {
            let stats = engine.stats();
            let last = before.insert(engine.name().to_owned(), (stats.tokens, now));
            let per_s = last.map_or(0.0, |(tokens, at)| {
                let passed = now.saturating_sub(at).as_secs_f64().max(0.001);
                stats.tokens.saturating_sub(tokens) as f64 / passed
            });
            models.extend(engine.models().into_iter().map(|card| ModelLoad {
                model: card.name,
                busy: stats.busy,
                waiting: stats.waiting,
                tokens_per_s: per_s,
                prefixes: None,
            }));
        }
        let HostLoad { cpu, memory } = self.host.look();
        Load { models, cpu, memory }
    }
}
