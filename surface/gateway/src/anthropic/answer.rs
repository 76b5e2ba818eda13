//! What is answered, in Anthropic's words.

use http::StatusCode;
use oag_serve::{Collected, EngineError, Finish, Usage};
use serde::Serialize;
use serde_json::Value;

use crate::trouble::Trouble;

/// A whole answer, or the beginning of one.
#[derive(Debug, Serialize)]
pub(super) struct MessageOut<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<BlockOut<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<()>,
    usage: UsageOut,
}

/// A block of an answer, whole or at its beginning.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum BlockOut<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'static str },
    ToolUse { id: &'a str, name: &'a str, input: Value },
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct UsageOut {
    input_tokens: u32,
    output_tokens: u32,
    cache_read_input_tokens: u32,
    cache_creation_input_tokens: u32,
}

impl From<Usage> for UsageOut {
    /// Tokens of the prompt that were read before are counted apart.
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.prompt.saturating_sub(usage.cached),
            output_tokens: usage.answer,
            cache_read_input_tokens: usage.cached,
            cache_creation_input_tokens: 0,
        }
    }
}

impl<'a> MessageOut<'a> {
    /// An answer of which nothing is said yet.
    pub(super) fn begun(id: &'a str, model: &'a str) -> Self {
        Self {
            id,
            kind: "message",
            role: "assistant",
            model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: UsageOut::default(),
        }
    }
}

/// A whole answer; thoughts are in it when they were asked for.
pub(super) fn message<'a>(
    id: &'a str,
    model: &'a str,
    all: &'a Collected,
    thinks: bool,
) -> Result<MessageOut<'a>, EngineError> {
    let mut content = Vec::new();
    if thinks && !all.reasoning.is_empty() {
        content.push(BlockOut::Thinking { thinking: &all.reasoning, signature: "" });
    }
    if !all.text.is_empty() {
        content.push(BlockOut::Text { text: &all.text });
    }
    for call in &all.tool_calls {
        let input = match call.arguments.trim() {
            "" => Value::Object(serde_json::Map::new()),
            text => serde_json::from_str(text).map_err(|_| {
                EngineError::BrokeOff("the model's arguments of a call are not JSON".to_owned())
            })?,
        };
        content.push(BlockOut::ToolUse { id: &call.id, name: &call.name, input });
    }
    Ok(MessageOut {
        content,
        stop_reason: all.ending.map(|ending| stop_reason(ending.finish)),
        usage: all.ending.and_then(|ending| ending.usage).unwrap_or_default().into(),
        ..MessageOut::begun(id, model)
    })
}

/// Why an answer ended. Engines do not tell a stop text from the model's own end.
pub(super) const fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Filtered => "refusal",
    }
}

/// An error.
#[derive(Debug, Serialize)]
pub(super) struct ErrorOut {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Error,
}

#[derive(Debug, Serialize)]
struct Error {
    #[serde(rename = "type")]
    kind: &'static str,
    message: String,
}

/// The status and the document of an error.
pub(super) fn error(trouble: &Trouble) -> (StatusCode, ErrorOut) {
    let status = trouble.status();
    let kind = match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    };
    let error = Error { kind, message: trouble.message().to_owned() };
    (status, ErrorOut { kind: "error", error })
}
