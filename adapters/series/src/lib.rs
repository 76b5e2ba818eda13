//! Long-term storage of samples, outside the truth and its write queue.
//!
//! Owns: one value per series and minute, buffered in bounded memory with a log on disk, sealed
//! into one compressed file per day, kept for a number of days. Refuses: queries beyond a range of
//! one series, exactness within the minute, and being the truth: losing the last seconds in a
//! crash is allowed here (`SeriesConfig::flush_ms`), losing a decision is not.
//!
//! The code is synchronous; async callers use blocking threads. One thread of its own flushes,
//! seals and lets go of old days.

mod buffer;
mod chunk;
mod config;
mod crc;
mod error;
mod long_term;
mod seal;
mod segment;
mod store;
mod tenant;
mod wal;

pub use config::{Downsample, SeriesConfig};
pub use error::SeriesError;
pub use store::{SeriesStats, SeriesStore};
