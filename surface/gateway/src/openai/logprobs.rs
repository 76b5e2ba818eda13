//! Probabilities of tokens, in OpenAI's two forms.

use oag_serve::TokenLogprob;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Those of a conversation.
#[derive(Debug, Serialize)]
pub(super) struct ChatLogprobs<'a> {
    content: Vec<ChatToken<'a>>,
    refusal: Option<()>,
}

#[derive(Debug, Serialize)]
struct ChatToken<'a> {
    #[serde(flatten)]
    token: OneToken<'a>,
    top_logprobs: Vec<OneToken<'a>>,
}

#[derive(Debug, Serialize)]
struct OneToken<'a> {
    token: &'a str,
    logprob: f32,
    bytes: &'a [u8],
}

/// The probabilities of some tokens; none where none were asked for.
pub(super) fn chat(tokens: &[TokenLogprob]) -> Option<ChatLogprobs<'_>> {
    if tokens.is_empty() {
        return None;
    }
    let content = tokens.iter().map(|token| ChatToken {
        token: one(&token.token, token.logprob),
        top_logprobs: token.top.iter().map(|(text, logprob)| one(text, *logprob)).collect(),
    });
    Some(ChatLogprobs { content: content.collect(), refusal: None })
}

const fn one(token: &str, logprob: f32) -> OneToken<'_> {
    OneToken { token, logprob, bytes: token.as_bytes() }
}

/// Those of plain text; `offset`: letters before it.
pub(super) fn text(tokens: &[TokenLogprob], offset: usize) -> Option<Value> {
    if tokens.is_empty() {
        return None;
    }
    let mut at = offset;
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(at);
        at += token.token.chars().count();
    }
    let top = |token: &TokenLogprob| -> Map<String, Value> {
        token.top.iter().map(|(text, logprob)| (text.clone(), json!(logprob))).collect()
    };
    Some(json!({
        "tokens": tokens.iter().map(|token| &token.token).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    }))
}
