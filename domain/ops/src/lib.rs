//! Operation of services: signals in, findings, forecasts, scaling decisions, analysis of pushed
//! metrics and replay.

mod ports;

pub use ports::{LongTerm, LongTermError, Source, SourceError};
