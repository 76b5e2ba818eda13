//! Whole answers as they are sent.

use oag_serve::{Finish, ToolCall, Usage};
use serde::Serialize;

/// Who an answer is from.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) id: String,
    /// In seconds since 1970.
    pub(super) created: i64,
    pub(super) model: String,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct UsageOut {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: AnswerDetails,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct AnswerDetails {
    reasoning_tokens: u32,
}

impl From<Usage> for UsageOut {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.answer,
            total_tokens: usage.prompt.saturating_add(usage.answer),
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached },
            completion_tokens_details: AnswerDetails { reasoning_tokens: usage.reasoning },
        }
    }
}

/// A whole answer of one kind.
#[derive(Debug, Serialize)]
pub(super) struct AnswerOut<'a, C> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<UsageOut>>,
    pub(super) system_fingerprint: Option<()>,
}

impl<'a, C> AnswerOut<'a, C> {
    pub(super) const fn new(name: &'a Name, object: &'static str, choices: Vec<C>) -> Self {
        let Name { id, created, model } = name;
        let created = *created;
        Self {
            id: id.as_str(),
            object,
            created,
            model: model.as_str(),
            choices,
            usage: None,
            system_fingerprint: None,
        }
    }
}

/// A call that a model asks for.
#[derive(Debug, Serialize)]
pub(super) struct CallOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) function: FunctionOut<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct FunctionOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

impl<'a> From<&'a ToolCall> for CallOut<'a> {
    fn from(call: &'a ToolCall) -> Self {
        let function = FunctionOut { name: Some(&call.name), arguments: &call.arguments };
        Self { index: None, id: Some(&call.id), kind: Some("function"), function }
    }
}

/// Why an answer ended.
pub(super) const fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}
