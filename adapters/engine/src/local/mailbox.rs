//! Where parts of an answer wait for their reader. Parts that are not fetched in time become one,
//! so that a slow reader holds nobody up, and what waits is never more than the answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use oag_serve::{Delta, Ending, EngineError, Event};
use tokio::sync::Notify;

/// For one answer.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    began: bool,
    delta: Delta,
    end: Option<Result<Ending, EngineError>>,
}

impl Mailbox {
    /// Puts the next part in.
    pub(super) fn put(&self, event: Event) {
        {
            let mut inbox = self.lock();
            inbox.began = true;
            match event {
                Event::Delta(delta) => append(&mut inbox.delta, delta),
                Event::End(ending) => inbox.end = Some(Ok(ending)),
            }
        }
        self.news.notify_one();
    }

    /// There will be no more. What was not fetched yet still is.
    pub(super) fn fail(&self, error: EngineError) {
        self.lock().end.get_or_insert(Err(error));
        self.news.notify_one();
    }

    /// There will be no more, because the process ended.
    pub(super) fn break_off(&self, why: &str) {
        let began = self.lock().began;
        self.fail(if began {
            EngineError::BrokeOff(why.to_owned())
        } else {
            EngineError::Unavailable(why.to_owned())
        });
    }

    /// The next part, the end, or why there is none; nothing is lost when it is not waited for.
    pub(super) async fn next(&self) -> Result<Event, EngineError> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.news.notified().await;
        }
    }

    fn take(&self) -> Option<Result<Event, EngineError>> {
        let mut inbox = self.lock();
        if !inbox.delta.is_empty() {
            return Some(Ok(Event::Delta(std::mem::take(&mut inbox.delta))));
        }
        inbox.end.take().map(|end| end.map(Event::End))
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(to: &mut Delta, more: Delta) {
    to.text.push_str(&more.text);
    to.reasoning.push_str(&more.reasoning);
    to.tool_calls.extend(more.tool_calls);
    to.logprobs.extend(more.logprobs);
    to.tokens.extend(more.tokens);
}

#[cfg(test)]
mod tests {
    use oag_serve::Finish;

    use super::*;

    #[tokio::test]
    async fn what_was_not_fetched_becomes_one_part_and_comes_before_the_end() {
        let mailbox = Mailbox::default();
        for (text, token) in [("a", 1), ("b", 2)] {
            let delta = Delta { tokens: vec![token], ..Delta::text(text) };
            mailbox.put(Event::Delta(delta));
        }
        mailbox.put(Event::End(Ending { finish: Finish::Stop, usage: None }));
        mailbox.break_off("too late to matter");
        let both = Delta { tokens: vec![1, 2], ..Delta::text("ab") };
        assert_eq!(mailbox.next().await, Ok(Event::Delta(both)));
        assert!(matches!(mailbox.next().await, Ok(Event::End(_))));
    }

    #[tokio::test]
    async fn only_an_answer_that_began_breaks_off() {
        let (silent, begun) = (Mailbox::default(), Mailbox::default());
        begun.put(Event::Delta(Delta::text("a")));
        silent.break_off("gone");
        begun.break_off("gone");
        assert_eq!(silent.next().await, Err(EngineError::Unavailable("gone".into())));
        assert!(begun.next().await.is_ok());
        assert_eq!(begun.next().await, Err(EngineError::BrokeOff("gone".into())));
    }
}
