//! Who listens to a stream, for as long as they may.

use std::sync::Arc;
use std::time::Duration;

use oag_types::Code;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::problem::{Answer, Failure};
use crate::auth::Session;
use crate::state::Api;

/// As often it is asked whether the caller is still let in.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// One of those that listen.
pub(crate) struct Listener {
    pub(crate) api: Api,
    pub(crate) session: Session,
    /// Ticks when keys or principals change here.
    callers: watch::Receiver<u64>,
    /// When it was last asked who listens.
    renewed: Duration,
    ends: Duration,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Lets one more listen.
    pub(crate) fn begin(api: &Api, session: &Session) -> Answer<Self> {
        let Ok(permit) = Arc::clone(&api.watchers).try_acquire_owned() else {
            let text = format!("{} watches are open already", api.config.watchers_max);
            return Err(Failure::new(Code::OVERLOADED, text));
        };
        let now = api.clock.monotonic();
        Ok(Self {
            callers: api.known.changes(),
            renewed: now,
            ends: now + Duration::from_millis(api.config.watch_max_ms),
            session: session.clone(),
            api: api.clone(),
            over: false,
            _permit: permit,
        })
    }

    /// Whether it goes on; asks now and then, and whenever keys or principals changed here, who
    /// listens.
    pub(crate) async fn goes_on(&mut self) -> bool {
        let now = self.api.clock.monotonic();
        self.over |= now >= self.ends;
        let changed = self.callers.has_changed().unwrap_or(false);
        if self.over || (!changed && now.saturating_sub(self.renewed) < LOOK) {
            return !self.over;
        }
        self.callers.mark_unchanged();
        self.renewed = now;
        self.over = !self.session.renew(&self.api).await;
        !self.over
    }

    /// Nothing more is said.
    pub(crate) const fn end(&mut self) {
        self.over = true;
    }

    /// Waits, but not for longer than it is certain that the caller is let in.
    pub(crate) async fn rest(&mut self, most: Duration) {
        let draining = self.api.supervisor.shutdown().clone();
        tokio::select! {
            Ok(()) = self.callers.changed() => self.callers.mark_changed(),
            () = tokio::time::sleep(most.min(LOOK)) => {}
            () = draining.draining() => self.over = true,
        }
    }
}
