//! Answers as the events of the Responses API: items one after the other, each from its beginning to
//! its end. What breaks later is an event `error`, and such a stream has no `response.completed`.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use oag_serve::{Delta, Ending, EngineError, Event, Events, Finish, ToolCall, ToolCallDelta};
use serde_json::{Value, json};

use super::answer::{Echo, Status, call, message, part, thought};
use crate::edge::event_stream;
use crate::trouble::Trouble;

/// The item that is open, and what it has so far.
#[derive(Debug)]
enum Item {
    Thought(String),
    Message(String),
    /// Which of the answer's calls, and its number among the items of its kind.
    Call {
        index: usize,
        at: usize,
        call: ToolCall,
    },
}

struct State {
    echo: Echo,
    events: Events,
    open: Option<Item>,
    /// Items that are over.
    output: Vec<Value>,
    calls: usize,
    sequence: u64,
    ready: VecDeque<Bytes>,
    over: bool,
}

/// Sends an answer as it comes.
pub(super) fn stream(echo: Echo, events: Events) -> Response {
    let mut state = State {
        echo,
        events,
        open: None,
        output: Vec::new(),
        calls: 0,
        sequence: 0,
        ready: VecDeque::new(),
        over: false,
    };
    for kind in ["response.created", "response.in_progress"] {
        let response = state.echo.response(Status::Begun, &[]);
        state.say(kind, json!({"response": response}));
    }
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
                Some(Ok(Event::Delta(delta))) => self.more(&delta),
                Some(Ok(Event::End(ending))) => self.end(ending),
                Some(Err(error)) => self.break_off(error),
                // What ends without an end is broken, too.
                None => self.break_off(EngineError::BrokeOff("it said no end".to_owned())),
            }
        }
    }

    fn more(&mut self, delta: &Delta) {
        if !delta.reasoning.is_empty() {
            if !matches!(self.open, Some(Item::Thought(_))) {
                self.enter(Item::Thought(String::new()));
            }
            if let Some(Item::Thought(text)) = &mut self.open {
                text.push_str(&delta.reasoning);
            }
            self.of_part("response.reasoning_text.delta", json!({"delta": delta.reasoning}));
        }
        if !delta.text.is_empty() {
            if !matches!(self.open, Some(Item::Message(_))) {
                self.enter(Item::Message(String::new()));
            }
            if let Some(Item::Message(text)) = &mut self.open {
                text.push_str(&delta.text);
            }
            let more = json!({"delta": delta.text, "logprobs": []});
            self.of_part("response.output_text.delta", more);
        }
        delta.tool_calls.iter().for_each(|call| self.call(call));
    }

    fn call(&mut self, more: &ToolCallDelta) {
        if !matches!(&self.open, Some(Item::Call { index, .. }) if *index == more.index) {
            let call = ToolCall {
                id: more.id.clone().unwrap_or_default(),
                name: more.name.clone().unwrap_or_default(),
                arguments: String::new(),
            };
            let (index, at) = (more.index, self.calls);
            self.calls += 1;
            self.enter(Item::Call { index, at, call });
        }
        if more.arguments.is_empty() {
            return;
        }
        if let Some(Item::Call { call, .. }) = &mut self.open {
            call.arguments.push_str(&more.arguments);
        }
        let kind = "response.function_call_arguments.delta";
        self.of_item(kind, json!({"delta": more.arguments}));
    }

    fn shown(&self, item: &Item, status: &str) -> Value {
        let id = &self.echo.id;
        let over = status == "completed";
        match item {
            Item::Thought(text) => thought(id, status, over.then_some(text)),
            Item::Message(text) => message(id, status, over.then_some(text)),
            Item::Call { at, call: one, .. } => call(id, *at, status, one),
        }
    }

    fn enter(&mut self, item: Item) {
        self.leave();
        let shown = self.shown(&item, "in_progress");
        let index = self.output.len();
        self.say("response.output_item.added", json!({"output_index": index, "item": shown}));
        let says = matches!(item, Item::Message(_));
        self.open = Some(item);
        if says {
            self.of_part("response.content_part.added", json!({"part": part("")}));
        }
    }

    fn leave(&mut self) {
        match &self.open {
            None => return,
            Some(Item::Thought(text)) => {
                let done = json!({"text": text});
                self.of_part("response.reasoning_text.done", done);
            }
            Some(Item::Message(text)) => {
                let (done, part) =
                    (json!({"text": text, "logprobs": []}), json!({"part": part(text)}));
                self.of_part("response.output_text.done", done);
                self.of_part("response.content_part.done", part);
            }
            Some(Item::Call { call, .. }) => {
                let done = json!({"arguments": call.arguments, "name": call.name});
                self.of_item("response.function_call_arguments.done", done);
            }
        }
        let Some(item) = self.open.take() else { return };
        let shown = self.shown(&item, "completed");
        let index = self.output.len();
        self.say("response.output_item.done", json!({"output_index": index, "item": shown}));
        self.output.push(shown);
    }

    fn end(&mut self, ending: Ending) {
        if self.open.is_none() && self.output.is_empty() {
            self.enter(Item::Message(String::new()));
        }
        self.leave();
        let kind = match ending.finish {
            Finish::Stop | Finish::ToolCalls => "response.completed",
            Finish::Length | Finish::Filtered => "response.incomplete",
        };
        let response = self.echo.response(Status::Over(ending), &self.output);
        self.say(kind, json!({"response": response}));
        self.over = true;
    }

    fn break_off(&mut self, error: EngineError) {
        let trouble = Trouble::from(error);
        // The words may hold some of what was said.
        tracing::warn!(answer = self.echo.id, status = %trouble.status(), "answer broke off");
        let error = json!({"code": "server_error", "message": trouble.message(), "param": null});
        self.say("error", error);
        self.over = true;
    }

    /// An event about a part of the open item.
    fn of_part(&mut self, kind: &str, mut more: Value) {
        more["content_index"] = json!(0);
        self.of_item(kind, more);
    }

    /// An event about the open item.
    fn of_item(&mut self, kind: &str, mut more: Value) {
        let id = match &self.open {
            Some(item) => self.shown(item, "in_progress")["id"].take(),
            None => Value::Null,
        };
        more["item_id"] = id;
        more["output_index"] = json!(self.output.len());
        self.say(kind, more);
    }

    fn say(&mut self, kind: &str, mut document: Value) {
        document["type"] = json!(kind);
        document["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        self.ready.push_back(format!("event: {kind}\ndata: {document}\n\n").into());
    }
}
