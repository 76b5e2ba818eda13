//! Retries in proportion to requests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RetryConfig;

/// Saves up a share of a retry with each request, and hands whole ones out.
#[derive(Debug)]
pub(super) struct Budget {
    share: f64,
    saved_max: f64,
    saved: Mutex<f64>,
}

impl Budget {
    /// Full.
    pub(super) const fn new(config: RetryConfig) -> Self {
        Self {
            share: config.share,
            saved_max: config.saved_max,
            saved: Mutex::new(config.saved_max),
        }
    }

    /// A request was made.
    pub(super) fn request(&self) {
        let mut saved = self.lock();
        *saved = (*saved + self.share).min(self.saved_max);
    }

    /// Whether one may be made again.
    pub(super) fn retry(&self) -> bool {
        let mut saved = self.lock();
        let enough = *saved >= 1.0;
        if enough {
            *saved -= 1.0;
        }
        enough
    }

    fn lock(&self) -> MutexGuard<'_, f64> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_requests() {
        let config = RetryConfig { share: 0.1, saved_max: 3.0, ..RetryConfig::default() };
        let budget = Budget::new(config);
        let mut made = 0;
        for _ in 0..1_000 {
            budget.request();
            made += u32::from(budget.retry());
        }
        assert!((99..=103).contains(&made), "{made}");
    }
}
