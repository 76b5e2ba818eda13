//! The work a node has, with all that came of it, until the controller has it too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use oag_serve::{EngineError, Event};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::protocol::{FromNode, Kept, Lease};

/// Messages that leave in one go.
const BATCH_MAX: usize = 256;

/// All leases of a node.
#[derive(Debug)]
pub(super) struct Leases {
    most: usize,
    inner: Mutex<Inner>,
    /// There is something to send.
    more: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<Lease, Held>,
    offers_changed: bool,
}

/// A lease and what came of it. Nothing of it is forgotten before the controller says so: after
/// a break it may ask for all of it again.
#[derive(Debug)]
struct Held {
    said: Vec<Result<Event, EngineError>>,
    /// Of those, on their way to the controller.
    sent: usize,
    over: bool,
    stop: CancellationToken,
}

impl Leases {
    pub(super) fn new(most: usize) -> Self {
        Self { most, inner: Mutex::default(), more: Notify::new() }
    }

    /// Takes a lease; none when there is no room or it is here already.
    pub(super) fn take(&self, lease: Lease) -> Option<CancellationToken> {
        let mut inner = self.lock();
        if inner.held.len() >= self.most || inner.held.contains_key(&lease) {
            return None;
        }
        let stop = CancellationToken::new();
        let held = Held { said: Vec::new(), sent: 0, over: false, stop: stop.clone() };
        inner.held.insert(lease, held);
        Some(stop)
    }

    /// More of an answer, or its end.
    pub(super) fn say(&self, lease: Lease, what: Result<Event, EngineError>) {
        if let Some(held) = self.lock().held.get_mut(&lease).filter(|held| !held.over) {
            held.over = !matches!(what, Ok(Event::Delta(_)));
            held.said.push(what);
        }
        self.more.notify_one();
    }

    /// Forgets a lease, and ends what still runs of it.
    pub(super) fn drop_lease(&self, lease: Lease) {
        if let Some(held) = self.lock().held.remove(&lease) {
            held.stop.cancel();
        }
        self.more.notify_one();
    }

    /// A new session: these go on from where the controller says, all others are forgotten.
    pub(super) fn keep(&self, kept: &[Kept]) {
        let mut inner = self.lock();
        inner.held.retain(|lease, held| {
            let from = kept.iter().find(|kept| kept.lease == *lease).map(|kept| kept.from);
            match from {
                // What was never said cannot be asked for.
                Some(from) => held.sent = usize::try_from(from).unwrap_or(0).min(held.said.len()),
                None => held.stop.cancel(),
            }
            from.is_some()
        });
        drop(inner);
        self.more.notify_one();
    }

    pub(super) fn held(&self) -> Vec<Lease> {
        self.lock().held.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().held.is_empty()
    }

    pub(super) fn offers_changed(&self) {
        self.lock().offers_changed = true;
        self.more.notify_one();
    }

    /// Whether the offers have changed since this was asked last.
    pub(super) fn take_offers_changed(&self) -> bool {
        std::mem::take(&mut self.lock().offers_changed)
    }

    /// Ends when there may be something to send.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }

    /// What is to be sent next.
    pub(super) fn unsent(&self) -> Vec<FromNode> {
        let mut messages = Vec::new();
        for (lease, held) in &mut self.lock().held {
            while let Some(what) = held.said.get(held.sent) {
                if messages.len() >= BATCH_MAX {
                    self.more.notify_one();
                    return messages;
                }
                let (lease, sequence) = (*lease, held.sent as u64);
                messages.push(match what.clone() {
                    Ok(event) => FromNode::Part { lease, sequence, event },
                    Err(error) => FromNode::Failed { lease, sequence, error },
                });
                held.sent += 1;
            }
        }
        messages
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use oag_serve::Delta;
    use oag_types::GenerationId;

    use super::*;

    fn lease(number: u128) -> Lease {
        let task = GenerationId::from_uuid(uuid_of(number));
        Lease { task, attempt: 1 }
    }

    fn uuid_of(number: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(number)
    }

    #[test]
    fn after_a_break_parts_are_sent_again_from_where_the_controller_is() {
        let leases = Leases::new(2);
        let stop = leases.take(lease(1)).unwrap();
        assert!(leases.take(lease(1)).is_none());
        leases.take(lease(2)).unwrap();
        assert!(leases.take(lease(3)).is_none());
        for text in ["a", "b", "c"] {
            leases.say(lease(1), Ok(Event::Delta(Delta::text(text))));
        }
        assert_eq!(leases.unsent().len(), 3);
        assert!(leases.unsent().is_empty());
        leases.keep(&[Kept { lease: lease(1), from: 1 }]);
        let again = leases.unsent();
        assert!(matches!(again[..], [FromNode::Part { sequence: 1, .. }, _]), "{again:?}");
        assert_eq!((leases.held(), stop.is_cancelled()), (vec![lease(1)], false));
        leases.drop_lease(lease(1));
        assert!(stop.is_cancelled() && leases.is_empty());
    }
}
