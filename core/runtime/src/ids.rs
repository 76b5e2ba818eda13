//! Where ids come from.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Makes UUIDs for ids.
pub trait IdSource: Send + Sync + 'static {
    /// A new UUIDv7 (or, in tests, one that looks like it).
    fn uuid(&self) -> Uuid;
}

impl dyn IdSource {
    /// A new id of a type.
    pub fn next<T: From<Uuid>>(&self) -> T {
        T::from(self.uuid())
    }
}

/// Real ids: UUIDv7, sorted by time of creation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Ids counted from a seed, for tests and replay.
#[derive(Debug, Default)]
pub struct SeededIds {
    next: AtomicU64,
    seed: u64,
}

impl SeededIds {
    /// Counting from 1 under a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { next: AtomicU64::new(1), seed }
    }
}

impl IdSource for SeededIds {
    fn uuid(&self) -> Uuid {
        let next = self.next.fetch_add(1, Ordering::SeqCst);
        Uuid::from_u64_pair(self.seed, next)
    }
}
