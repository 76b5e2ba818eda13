//! What is answered in the words of the Responses API.

use oag_serve::{Collected, Ending, Finish, ToolCall, Usage};
use serde_json::{Value, json};

use super::request::AskedFor;

/// What an answer tells of itself and of what was asked.
#[derive(Debug)]
pub(super) struct Echo {
    /// The part of its ids that is its own.
    pub(super) id: String,
    /// In seconds since 1970.
    pub(super) created_at: i64,
    pub(super) asked: AskedFor,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status {
    Begun,
    Over(Ending),
}

impl Echo {
    /// An answer with what it has so far.
    pub(super) fn response(&self, status: Status, output: &[Value]) -> Value {
        let asked = &self.asked;
        let (state, why, usage) = match status {
            Status::Begun => ("in_progress", Value::Null, Value::Null),
            Status::Over(ending) => {
                let usage = ending.usage.map_or(Value::Null, usage);
                match ending.finish {
                    Finish::Stop | Finish::ToolCalls => ("completed", Value::Null, usage),
                    Finish::Length => ("incomplete", json!({"reason": "max_output_tokens"}), usage),
                    Finish::Filtered => ("incomplete", json!({"reason": "content_filter"}), usage),
                }
            }
        };
        let text = asked.text.as_ref().map_or_else(
            || json!({"format": {"type": "text"}}),
            |text| serde_json::to_value(text).unwrap_or_default(),
        );
        let choice = asked.tool_choice.as_ref().map_or_else(
            || json!("auto"),
            |choice| serde_json::to_value(choice).unwrap_or_default(),
        );
        json!({
            "id": format!("resp_{}", self.id), "object": "response",
            "created_at": self.created_at, "status": state, "background": false, "error": null,
            "incomplete_details": why, "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens, "model": asked.model, "output": output,
            "parallel_tool_calls": true, "previous_response_id": null, "store": false,
            "temperature": asked.temperature, "text": text, "tool_choice": choice,
            "tools": asked.tools, "top_p": asked.top_p, "truncation": "disabled", "usage": usage,
            "user": null, "metadata": {}, "reasoning": {"effort": null, "summary": null},
        })
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.answer,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt.saturating_add(usage.answer),
    })
}

/// The items of a whole answer.
pub(super) fn items(id: &str, all: &Collected) -> Vec<Value> {
    let mut items = Vec::new();
    if !all.reasoning.is_empty() {
        items.push(thought(id, "completed", Some(&all.reasoning)));
    }
    if !all.text.is_empty() || all.tool_calls.is_empty() {
        items.push(message(id, "completed", Some(&all.text)));
    }
    items.extend(all.tool_calls.iter().enumerate().map(|(at, one)| call(id, at, "completed", one)));
    items
}

/// What was thought.
pub(super) fn thought(id: &str, status: &str, text: Option<&str>) -> Value {
    let part = |text| json!({"type": "reasoning_text", "text": text});
    let content: Vec<Value> = text.map(part).into_iter().collect();
    json!({"id": format!("rs_{id}"), "type": "reasoning", "status": status, "summary": [],
           "content": content})
}

/// What was said.
pub(super) fn message(id: &str, status: &str, text: Option<&str>) -> Value {
    let content: Vec<Value> = text.map(part).into_iter().collect();
    json!({"id": format!("msg_{id}"), "type": "message", "status": status, "role": "assistant",
           "content": content})
}

/// A part of what was said.
pub(super) fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// A call that is asked for; `at`: which.
pub(super) fn call(id: &str, at: usize, status: &str, call: &ToolCall) -> Value {
    json!({"id": format!("fc_{id}_{at}"), "type": "function_call", "status": status,
           "call_id": call.id, "name": call.name, "arguments": call.arguments})
}
