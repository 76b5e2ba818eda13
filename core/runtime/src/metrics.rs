//! The registry of metrics and the figures of this process.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The shared registry. Names start with `openautoglm_`.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix("openautoglm"))) }
    }
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers metrics; called once by each part at start.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers figures that a part keeps itself and that are read when somebody asks.
    pub fn register_figures(&self, read: impl Fn() -> Vec<Figure> + Send + Sync + 'static) {
        self.register(|registry| registry.register_collector(Box::new(Figures(Box::new(read)))));
    }

    /// Everything in OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a String does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// A number that a part keeps about itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// Only grows while the process lives: name, help, value.
    Total(&'static str, &'static str, u64),
    /// Goes up and down: name, help, value.
    Now(&'static str, &'static str, f64),
}

type ReadFigures = Box<dyn Fn() -> Vec<Figure> + Send + Sync>;

struct Figures(ReadFigures);

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for figure in (self.0)() {
            match figure {
                Figure::Total(name, help, value) => {
                    let counter = ConstCounter::new(value);
                    let metric =
                        encoder.encode_descriptor(name, help, None, counter.metric_type())?;
                    counter.encode(metric)?;
                }
                Figure::Now(name, help, value) => {
                    let gauge = ConstGauge::new(value);
                    let metric =
                        encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                    gauge.encode(metric)?;
                }
            }
        }
        Ok(())
    }
}

/// What the kernel says about this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessStats {
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// CPU time used since the start, in seconds, user and system.
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Threads.
    pub threads: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_when_asked() {
        let metrics = Metrics::new();
        metrics.register_figures(|| {
            vec![Figure::Total("seen", "Things seen", 3), Figure::Now("queue", "Waiting", 1.5)]
        });
        let text = metrics.encode();
        assert!(text.contains("openautoglm_seen_total 3"), "{text}");
        assert!(text.contains("openautoglm_queue 1.5"), "{text}");
    }
}
