//! Shutdown in two signals: the first drains, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Says when to stop; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ShutdownHandle {
    drain: CancellationToken,
    now: CancellationToken,
}

impl ShutdownHandle {
    /// Not stopping yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Ends when the drain begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Ends when there is no more time.
    pub async fn ended(&self) {
        self.now.cancelled().await;
    }

    /// Whether there is no more time.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.now.is_cancelled()
    }

    /// Begins the drain.
    pub fn begin(&self) {
        self.drain.cancel();
    }

    /// A token that is cancelled when the drain begins.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.drain.clone()
    }
}

/// Turns SIGINT and SIGTERM into a drain, then into an end.
#[derive(Debug)]
pub struct Shutdown;

impl Shutdown {
    /// Listens for signals until the second one. Spawn it under the supervisor.
    ///
    /// # Errors
    /// When the process cannot listen for signals.
    pub async fn listen(handle: ShutdownHandle) -> std::io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        for token in [&handle.drain, &handle.now] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("signal received");
            token.cancel();
        }
        Ok(())
    }
}
