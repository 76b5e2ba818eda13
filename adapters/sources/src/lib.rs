//! Sources of signals: the host, the product itself and Prometheus text endpoints.
//!
//! Owns: reading `/proc`, scraping and parsing text expositions, and turning counters into rates.
//! Refuses: keeping samples, and judging them.

mod error;
mod exposition;
mod glob;
mod host;
mod labels;
mod process;
mod prometheus;
mod rates;

pub use error::{ParseError, SourcesError};
pub use exposition::{Format, Kind, Point, parse};
pub use host::{HostConfig, HostSource};
pub use process::{ProcessSource, process_stats};
pub use prometheus::{PrometheusConfig, PrometheusSource};
