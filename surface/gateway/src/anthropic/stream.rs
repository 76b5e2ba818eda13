//! Answers as Anthropic's events: a message, its blocks one after the other, and an end. What breaks
//! later is an event, and such a stream has no `message_stop`.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use oag_serve::{Delta, Ending, EngineError, Event, Events, ToolCallDelta};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{BlockOut, MessageOut, UsageOut, error, stop_reason};
use crate::edge::event_stream;
use crate::trouble::Trouble;

/// What block is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    /// The call of this number.
    Call(usize),
}

struct State {
    events: Events,
    /// Whether thoughts are shown.
    thinks: bool,
    open: Option<Block>,
    /// The number of the block that is open, or the next one.
    index: usize,
    ready: VecDeque<Bytes>,
    over: bool,
}

/// Sends an answer as it comes.
pub(super) fn stream(id: String, model: String, events: Events, thinks: bool) -> Response {
    let ready = VecDeque::new();
    let mut state = State { events, thinks, open: None, index: 0, ready, over: false };
    let message = MessageOut::begun(&id, &model);
    state.say("message_start", &json!({"type": "message_start", "message": message}));
    state.say("ping", &json!({"type": "ping"}));
    let events = stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((Ok::<Bytes, Infallible>(event), state))
    });
    event_stream(events)
}

impl State {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.events.next().await {
                Some(Ok(Event::Delta(delta))) => self.part(&delta),
                Some(Ok(Event::End(ending))) => self.end(ending),
                Some(Err(error)) => self.break_off(error),
                // What ends without an end is broken, too.
                None => self.break_off(EngineError::BrokeOff("it said no end".to_owned())),
            }
        }
    }

    fn part(&mut self, delta: &Delta) {
        if self.thinks && !delta.reasoning.is_empty() {
            self.enter(Block::Thinking, &BlockOut::Thinking { thinking: "", signature: "" });
            self.more(&json!({"type": "thinking_delta", "thinking": delta.reasoning}));
        }
        if !delta.text.is_empty() {
            self.enter(Block::Text, &BlockOut::Text { text: "" });
            self.more(&json!({"type": "text_delta", "text": delta.text}));
        }
        for call in &delta.tool_calls {
            self.call(call);
        }
    }

    fn call(&mut self, call: &ToolCallDelta) {
        let block = BlockOut::ToolUse {
            id: call.id.as_deref().unwrap_or_default(),
            name: call.name.as_deref().unwrap_or_default(),
            input: json!({}),
        };
        self.enter(Block::Call(call.index), &block);
        if !call.arguments.is_empty() {
            self.more(&json!({"type": "input_json_delta", "partial_json": call.arguments}));
        }
    }

    /// Opens a block, unless it is open.
    fn enter(&mut self, block: Block, beginning: &BlockOut<'_>) {
        if self.open == Some(block) {
            return;
        }
        self.leave();
        let (kind, index) = ("content_block_start", self.index);
        self.say(kind, &json!({"type": kind, "index": index, "content_block": beginning}));
        self.open = Some(block);
    }

    fn leave(&mut self) {
        if self.open.take().is_some() {
            let (kind, index) = ("content_block_stop", self.index);
            self.say(kind, &json!({"type": kind, "index": index}));
            self.index += 1;
        }
    }

    fn more(&mut self, delta: &Value) {
        let (kind, index) = ("content_block_delta", self.index);
        self.say(kind, &json!({"type": kind, "index": index, "delta": delta}));
    }

    fn end(&mut self, ending: Ending) {
        self.leave();
        let delta = json!({"stop_reason": stop_reason(ending.finish), "stop_sequence": null});
        let usage = UsageOut::from(ending.usage.unwrap_or_default());
        let kind = "message_delta";
        self.say(kind, &json!({"type": kind, "delta": delta, "usage": usage}));
        self.say("message_stop", &json!({"type": "message_stop"}));
        self.over = true;
    }

    fn break_off(&mut self, why: EngineError) {
        let (status, document) = error(&Trouble::from(why));
        // The words may hold some of what was said.
        tracing::warn!(%status, "answer broke off");
        self.say("error", &document);
        self.over = true;
    }

    fn say(&mut self, name: &str, document: &impl Serialize) {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(b"event: ");
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b"\ndata: ");
        // Texts and numbers cannot fail to be written.
        let _ = serde_json::to_writer(&mut bytes, document);
        bytes.extend_from_slice(b"\n\n");
        self.ready.push_back(bytes.into());
    }
}
