//! What every process of the product needs: time, ids, supervised tasks, programs run within bounds,
//! shutdown, configuration layering and telemetry.
//!
//! Owns: the only places where the wall clock is read, a UUID is made and a task is spawned.
//! Refuses: domain words beyond ids and time, and any knowledge of what the tasks do.

mod bounded;
mod clock;
mod config;
mod ids;
mod metrics;
mod shutdown;
mod supervisor;
mod telemetry;

pub use bounded::{Ran, run_bounded};
pub use clock::{Clock, FakeClock, SystemClock};
pub use config::{ConfigError, Layers};
pub use ids::{IdSource, RandomIds, SeededIds};
pub use metrics::{Figure, Metrics, ProcessStats};
pub use shutdown::{Shutdown, ShutdownHandle};
pub use supervisor::{OnError, Supervisor, TaskKind};
pub use telemetry::{LogFormat, TelemetryConfig, TelemetryError, TelemetryGuard, init_telemetry};
