//! Streaming baselines, anomaly scores and load forecasts for single series.
//!
//! Owns: the robust baseline and anomaly score of one series ([`anomaly`]), the load forecast with
//! bands ([`forecast`]), and the line protocol both are scored through ([`protocol`]).
//!
//! Refuses: I/O, async, clocks and unseeded randomness. Every function is total: NaN, infinities,
//! gaps, duplicates and time running backwards give an answer, never a panic. State per series is
//! bounded and (de)serialisable; the same input always gives the same output.

pub mod anomaly;
pub mod forecast;
pub mod protocol;

pub use anomaly::{Detector, DetectorConfig, Score};
pub use forecast::{Forecast, ForecastConfig, Forecaster, short_forecast};
pub use protocol::{ProtocolError, Session, Task};
