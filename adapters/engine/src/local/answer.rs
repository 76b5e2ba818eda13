//! One answer, from its first part to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use oag_serve::{EngineError, Event, Events};
use tokio::sync::mpsc::OwnedPermit;
use tokio::time::Instant;

use super::desk::Desk;
use super::mailbox::Mailbox;
use crate::frames::Order;

/// Dropping it before the end cancels the request.
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) desk: Arc<Desk>,
    pub(super) mailbox: Arc<Mailbox>,
    /// Room for the order that cancels it, kept from the start: it always fits.
    pub(super) cancel: Option<OwnedPermit<Order>>,
    /// When the answer is of no use any more.
    pub(super) until: Option<Instant>,
    pub(super) first_max: Duration,
    pub(super) pause_max: Duration,
}

impl Answer {
    /// Waits for the first part.
    pub(super) async fn begin(mut self) -> Result<Events, EngineError> {
        let first = match self.next(self.first_max).await {
            Err(EngineError::BrokeOff(why)) => return Err(EngineError::Unavailable(why)),
            first => first?,
        };
        let events = stream::unfold((Some(Ok(first)), self), async |(ready, mut answer)| {
            let event: Result<Event, EngineError> = match ready {
                Some(ready) => ready,
                None if answer.cancel.is_none() => return None,
                None => answer.next(answer.pause_max).await,
            };
            Some((event, (None, answer)))
        });
        Ok(events.boxed())
    }

    async fn next(&mut self, pause_max: Duration) -> Result<Event, EngineError> {
        let patience = Instant::now() + pause_max;
        let until = self.until.map_or(patience, |until| until.min(patience));
        let next = match tokio::time::timeout_at(until, self.mailbox.next()).await {
            Ok(next) => next,
            Err(_) if self.until == Some(until) => Err(EngineError::Late),
            Err(_) => {
                let pause = pause_max.as_secs_f64();
                Err(EngineError::BrokeOff(format!("nothing came for {pause} s")))
            }
        };
        match &next {
            Ok(Event::Delta(delta)) => {
                let written = u64::try_from(delta.tokens.len()).unwrap_or(0);
                self.desk.tokens.fetch_add(written, Ordering::Relaxed);
            }
            // The child has told the end itself.
            Ok(Event::End(_)) => self.cancel = None,
            Err(_) => self.give_up(),
        }
        next
    }

    fn give_up(&mut self) {
        if let Some(room) = self.cancel.take()
            && self.desk.forget(self.id)
        {
            room.send(Order::Cancel { id: self.id });
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give_up();
    }
}
