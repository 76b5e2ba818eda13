//! What operations ask of the outside: sources of signals and long-term storage of samples.

use async_trait::async_trait;
use oag_types::{Sample, SeriesKey, Signal, Tenant, Timestamp};

/// Why a source gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {reason}")]
pub struct SourceError {
    /// Which source.
    pub source_name: String,
    /// Why, for people.
    pub reason: String,
}

/// Something that is asked for signals at an interval.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Its name, for logs and metrics.
    fn name(&self) -> &str;

    /// How often it is asked, in milliseconds.
    fn interval_ms(&self) -> i64;

    /// The present values.
    ///
    /// # Errors
    /// When the source does not answer or answers nonsense.
    async fn collect(&self, now: Timestamp) -> Result<Vec<Signal>, SourceError>;
}

/// Why long-term storage failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("long-term storage: {0}")]
pub struct LongTermError(pub String);

/// Keeps samples for months, outside the truth database and its write queue. Calls return quickly
/// (`append` only buffers); `range` may read files.
pub trait LongTerm: Send + Sync + 'static {
    /// Takes in a sample.
    ///
    /// # Errors
    /// When a limit is reached or the disk fails.
    fn append(&self, tenant: &Tenant, key: &SeriesKey, sample: Sample)
    -> Result<(), LongTermError>;

    /// The samples of a series with `from <= at < to`, in order of time.
    ///
    /// # Errors
    /// When the disk fails.
    fn range(
        &self,
        tenant: &Tenant,
        key: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Sample>, LongTermError>;

    /// Every series that is kept.
    ///
    /// # Errors
    /// When the disk fails.
    fn series(&self, tenant: &Tenant) -> Result<Vec<SeriesKey>, LongTermError>;
}
