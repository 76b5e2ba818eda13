//! An answer as it comes in, kept until its reader has it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use oag_serve::{Delta, EngineError, Event};
use tokio::sync::Notify;

/// What was said so far. One writer, any number of readers.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    bytes: usize,
    failure: Option<EngineError>,
    ended: bool,
}

impl Answer {
    /// Adds a part; the answer is the bytes there are now.
    pub(crate) fn push(&self, event: Event) -> usize {
        let mut log = self.lock();
        if log.ended {
            return log.bytes;
        }
        log.bytes += match &event {
            Event::Delta(delta) => bytes(delta),
            Event::End(_) => 0,
        };
        log.ended = matches!(event, Event::End(_));
        log.events.push(event);
        let bytes = log.bytes;
        drop(log);
        self.changed.notify_waiters();
        bytes
    }

    /// Ends it without an end.
    pub(crate) fn fail(&self, error: EngineError) {
        let mut log = self.lock();
        if !log.ended {
            log.ended = true;
            log.failure = Some(error);
        }
        drop(log);
        self.changed.notify_waiters();
    }

    /// The part at a place, as soon as it is there; none after the end.
    pub(crate) async fn at(&self, place: usize) -> Option<Result<Event, EngineError>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let log = self.lock();
                if let Some(event) = log.events.get(place) {
                    return Some(Ok(event.clone()));
                }
                if log.ended {
                    return log.failure.clone().filter(|_| place == log.events.len()).map(Err);
                }
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(delta: &Delta) -> usize {
    let calls = delta.tool_calls.iter().map(|call| call.arguments.len() + 32);
    let probable = delta.logprobs.iter().map(|one| 16 + 24 * one.top.len());
    let texts = delta.text.len() + delta.reasoning.len();
    texts + 4 * delta.tokens.len() + calls.sum::<usize>() + probable.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use oag_serve::{Ending, Finish};

    use super::*;

    #[tokio::test]
    async fn readers_get_every_part_and_one_end() {
        let answer = Answer::default();
        answer.push(Event::Delta(Delta::text("a")));
        let end = Event::End(Ending { finish: Finish::Stop, usage: None });
        let (first, second, ()) = tokio::join!(answer.at(0), answer.at(1), async {
            tokio::task::yield_now().await;
            answer.push(end.clone());
            answer.fail(EngineError::Late);
        });
        assert_eq!(first, Some(Ok(Event::Delta(Delta::text("a")))));
        assert_eq!(second, Some(Ok(end)));
        assert_eq!(answer.at(2).await, None);
        let broken = Answer::default();
        broken.fail(EngineError::Late);
        assert_eq!(broken.at(0).await, Some(Err(EngineError::Late)));
        assert_eq!(broken.at(1).await, None);
    }
}
