//! An answer as it comes over the wire.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use oag_serve::{Ending, EngineError, Event, Events, Finish, Usage};
use oag_wire::sse::{self, TooLarge};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::config::{PART_BYTES_MAX, WHOLE_BYTES_MAX};
use super::failure::chain;
use super::reply;

const DONE: &str = "[DONE]";

/// Reads an answer, and holds its slot until it is over or dropped.
pub(super) struct Answer {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    /// Whether it comes in parts.
    in_parts: bool,
    wire: sse::Events,
    ready: VecDeque<Event>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    over: bool,
    until: Option<Instant>,
    pause_max: Duration,
    /// Where the tokens of whole answers are counted.
    tokens: Arc<AtomicU64>,
    _slot: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn new(
        response: Response,
        slot: OwnedSemaphorePermit,
        until: Option<Instant>,
        tokens: Arc<AtomicU64>,
    ) -> Self {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let in_parts = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        Self {
            body: response.bytes_stream().boxed(),
            in_parts,
            wire: sse::Events::new(PART_BYTES_MAX),
            ready: VecDeque::new(),
            finish: None,
            usage: None,
            over: false,
            until,
            pause_max: Duration::MAX,
            tokens,
            _slot: slot,
        }
    }

    /// Waits for the first part, so that an upstream that ends before it began is told apart from
    /// one that breaks in the middle.
    pub(super) async fn begin(
        mut self,
        first_max: Duration,
        pause_max: Duration,
    ) -> Result<Events, EngineError> {
        self.pause_max = first_max;
        let first = match self.next().await {
            Some(Ok(first)) => first,
            Some(Err(EngineError::BrokeOff(why))) => return Err(EngineError::Unavailable(why)),
            Some(Err(error)) => return Err(error),
            None => return Err(EngineError::Unavailable("the upstream said nothing".to_owned())),
        };
        self.pause_max = pause_max;
        self.ready.push_front(first);
        let events = stream::unfold(self, async |mut answer| {
            let event = answer.next().await?;
            Some((event, answer))
        });
        Ok(events.boxed())
    }

    async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.read_on().await {
                self.over = true;
                return Some(Err(error));
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), EngineError> {
        if !self.in_parts {
            let until = self.patience();
            let text = collect(&mut self.body, WHOLE_BYTES_MAX, until).await;
            let text = text.map_err(|why| self.broke_off(why))?;
            self.take(&text)?;
            return self.end();
        }
        match tokio::time::timeout_at(self.patience(), self.body.next()).await {
            Err(_) => {
                let pause = self.pause_max.as_secs_f64();
                Err(self.broke_off(format!("nothing came for {pause} s")))
            }
            Ok(Some(Err(error))) => Err(self.broke_off(chain(&error))),
            // Some servers close without saying that they are done.
            Ok(None) => self.end(),
            Ok(Some(Ok(bytes))) => {
                let large = |_: TooLarge| {
                    EngineError::BrokeOff("a part of the answer was too large".into())
                };
                for sse::Event { data, .. } in self.wire.push(&bytes).map_err(large)? {
                    if data.trim() == DONE {
                        return self.end();
                    }
                    self.take(&data)?;
                }
                Ok(())
            }
        }
    }

    fn take(&mut self, data: &str) -> Result<(), EngineError> {
        let part = reply::part(data)?;
        if !part.delta.is_empty() {
            self.ready.push_back(Event::Delta(part.delta));
        }
        self.finish = part.finish.or(self.finish);
        self.usage = part.usage.or(self.usage);
        Ok(())
    }

    /// The answer is whole only when it said why it ended.
    fn end(&mut self) -> Result<(), EngineError> {
        let Some(finish) = self.finish else {
            return Err(self.broke_off("the upstream closed before the end".to_owned()));
        };
        self.over = true;
        let written = self.usage.map_or(0, |usage| u64::from(usage.answer));
        self.tokens.fetch_add(written, Ordering::Relaxed);
        self.ready.push_back(Event::End(Ending { finish, usage: self.usage }));
        Ok(())
    }

    /// When the next part must be there.
    fn patience(&self) -> Instant {
        let pause = Instant::now().checked_add(self.pause_max);
        match (pause, self.until) {
            (Some(pause), Some(until)) => pause.min(until),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => Instant::now() + Duration::from_secs(86_400),
        }
    }

    fn broke_off(&self, why: String) -> EngineError {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return EngineError::Late;
        }
        EngineError::BrokeOff(why)
    }
}

/// The whole of an answer, as text.
pub(super) async fn read_whole(
    response: Response,
    bytes_max: usize,
    until: Instant,
) -> Result<String, String> {
    collect(&mut response.bytes_stream().boxed(), bytes_max, until).await
}

async fn collect(
    body: &mut BoxStream<'static, reqwest::Result<Bytes>>,
    bytes_max: usize,
    until: Instant,
) -> Result<String, String> {
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout_at(until, body.next()).await {
            Err(_) => return Err("the answer did not come to its end in time".to_owned()),
            Ok(Some(Err(error))) => return Err(chain(&error)),
            Ok(None) => break,
            Ok(Some(Ok(bytes))) => all.extend_from_slice(&bytes),
        }
        if all.len() > bytes_max {
            return Err(format!("the answer is larger than {bytes_max} bytes"));
        }
    }
    String::from_utf8(all).map_err(|_| "the answer is not UTF-8".to_owned())
}
