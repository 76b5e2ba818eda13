//! An answer in an upstream's words.

use oag_serve::{Delta, Embeddings, EngineError, Finish, TokenLogprob, ToolCallDelta, Usage};
use serde::Deserialize;

/// One part of an answer: what is new, why it ends, what it took.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Part {
    pub(super) delta: Delta,
    pub(super) finish: Option<Finish>,
    pub(super) usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

/// Parts of an answer and whole ones, of conversations and plain text.
#[derive(Debug, Default, Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default, alias = "message")]
    delta: Option<Said>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    /// vLLM calls it `reasoning` in newer versions.
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

#[derive(Debug, Deserialize)]
struct Call {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Logprobs {
    Plain {
        tokens: Vec<String>,
        token_logprobs: Vec<Option<f32>>,
        #[serde(default)]
        top_logprobs: Option<Vec<Option<serde_json::Map<String, serde_json::Value>>>>,
    },
    Chat {
        content: Option<Vec<ChatLogprob>>,
    },
}

#[derive(Debug, Deserialize)]
struct ChatLogprob {
    token: String,
    logprob: f32,
    #[serde(default)]
    top_logprobs: Vec<ChatTop>,
}

#[derive(Debug, Deserialize)]
struct ChatTop {
    token: String,
    logprob: f32,
}

#[derive(Debug, Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<AnswerDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct AnswerDetails {
    #[serde(default)]
    reasoning_tokens: Option<u32>,
}

/// Reads one part, or a whole answer.
pub(super) fn part(text: &str) -> Result<Part, EngineError> {
    let broken = |what: String| EngineError::BrokeOff(what);
    // Structures are read from lists, too, and every field may be left out.
    if !text.trim_start().starts_with('{') {
        return Err(broken("the upstream sent no part of an answer".to_owned()));
    }
    let chunk: Chunk = serde_json::from_str(text)
        .map_err(|error| broken(format!("the upstream sent no part of an answer: {error}")))?;
    if let Some(error) = chunk.error {
        let message = error.get("message").and_then(|message| message.as_str());
        return Err(broken(message.map_or_else(|| error.to_string(), str::to_owned)));
    }
    let usage = chunk.usage.map(|usage| Usage {
        prompt: usage.prompt_tokens,
        cached: usage.prompt_tokens_details.and_then(|all| all.cached_tokens).unwrap_or(0),
        answer: usage.completion_tokens,
        reasoning: usage
            .completion_tokens_details
            .and_then(|all| all.reasoning_tokens)
            .unwrap_or(0),
    });
    // One answer is asked for.
    let choice = chunk.choices.into_iter().find(|choice| choice.index == 0).unwrap_or_default();
    let finish = choice.finish_reason.as_deref().map(finish).transpose()?;
    let said = choice.delta.unwrap_or_default();
    let calls = said.tool_calls.unwrap_or_default().into_iter().enumerate();
    let delta = Delta {
        text: choice.text.or(said.content).unwrap_or_default(),
        reasoning: said.reasoning_content.unwrap_or_default(),
        tool_calls: calls.map(|(at, call)| tool_call(at, call)).collect(),
        logprobs: choice.logprobs.map(logprobs).unwrap_or_default(),
        tokens: Vec::new(),
    };
    Ok(Part { delta, finish, usage })
}

fn tool_call(at: usize, call: Call) -> ToolCallDelta {
    let (name, arguments) = call.function.map_or((None, None), |all| (all.name, all.arguments));
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    ToolCallDelta {
        index: call.index.unwrap_or(at),
        id: filled(call.id),
        name: filled(name),
        arguments: arguments.unwrap_or_default(),
    }
}

fn finish(reason: &str) -> Result<Finish, EngineError> {
    match reason {
        "length" | "model_context_window_exceeded" => Ok(Finish::Length),
        "tool_calls" | "function_call" => Ok(Finish::ToolCalls),
        "content_filter" | "sensitive" => Ok(Finish::Filtered),
        "network_error" | "abort" | "error" => {
            Err(EngineError::BrokeOff(format!("the upstream ended it with {reason:?}")))
        }
        // `stop`, and whatever else a server calls an end that it came to by itself.
        _ => Ok(Finish::Stop),
    }
}

fn logprobs(wire: Logprobs) -> Vec<TokenLogprob> {
    match wire {
        Logprobs::Chat { content } => {
            let top = |top: ChatTop| (top.token, top.logprob);
            let token = |one: ChatLogprob| TokenLogprob {
                token: one.token,
                logprob: one.logprob,
                top: one.top_logprobs.into_iter().map(top).collect(),
            };
            content.unwrap_or_default().into_iter().map(token).collect()
        }
        Logprobs::Plain { tokens, token_logprobs, top_logprobs } => {
            let tops = top_logprobs.unwrap_or_default();
            let all = tokens.into_iter().zip(token_logprobs).enumerate();
            let top = |at: usize| {
                let found = tops.get(at).and_then(Option::as_ref);
                let pairs = found.into_iter().flatten();
                let mut pairs: Vec<(String, f32)> = pairs
                    .filter_map(|(token, value)| Some((token.clone(), value.as_f64()? as f32)))
                    .collect();
                pairs.sort_by(|one, other| other.1.total_cmp(&one.1));
                pairs
            };
            all.filter_map(|(at, (token, logprob))| {
                Some(TokenLogprob { token, logprob: logprob?, top: top(at) })
            })
            .collect()
        }
    }
}

#[derive(Debug, Deserialize)]
struct EmbeddingsReply {
    data: Vec<EmbeddingReply>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Debug, Deserialize)]
struct EmbeddingReply {
    index: usize,
    embedding: Vec<f32>,
}

/// Reads vectors: one for each text, in their order.
pub(super) fn embeddings(text: &str, count: usize) -> Result<Embeddings, String> {
    let mut reply: EmbeddingsReply = serde_json::from_str(text)
        .map_err(|error| format!("the upstream sent no embeddings: {error}"))?;
    reply.data.sort_by_key(|one| one.index);
    let in_order = reply.data.iter().enumerate().all(|(at, one)| one.index == at);
    if reply.data.len() != count || !in_order {
        return Err(format!("the upstream sent {} vectors for {count} texts", reply.data.len()));
    }
    let usage = reply.usage.map(|usage| Usage { prompt: usage.prompt_tokens, ..Usage::default() });
    Ok(Embeddings { vectors: reply.data.into_iter().map(|one| one.embedding).collect(), usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_several_servers_are_read() {
        let vllm = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"想"},"logprobs":null,"finish_reason":null}]}"#;
        assert_eq!(part(vllm).unwrap().delta.reasoning, "想");
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8}}}"#;
        let usage = part(usage).unwrap();
        assert!(usage.delta.is_empty() && usage.finish.is_none());
        assert_eq!(usage.usage, Some(Usage { prompt: 9, cached: 8, answer: 4, reasoning: 0 }));
        let zhipu = r#"{"id":"8","created":1,"model":"glm-4-plus","choices":[{"index":0,"finish_reason":"sensitive","delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
        assert_eq!(part(zhipu).unwrap().finish, Some(Finish::Filtered));
        let plain = r#"{"choices":[{"index":0,"text":"ab","logprobs":{"tokens":["a","b"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{"b":-0.5,"c":-0.25}]},"finish_reason":"length"}]}"#;
        let plain = part(plain).unwrap();
        assert_eq!((plain.delta.text.as_str(), plain.finish), ("ab", Some(Finish::Length)));
        let top = vec![("c".to_owned(), -0.25), ("b".to_owned(), -0.5)];
        let token = TokenLogprob { token: "b".into(), logprob: -0.5, top };
        assert_eq!(plain.delta.logprobs, [token]);
    }

    #[test]
    fn what_is_no_part_breaks_the_answer_off() {
        for text in [
            "",
            "[]",
            "{\"error\":{\"message\":\"gone\"}}",
            "{\"choices\":[{\"finish_reason\":\"network_error\"}]}",
        ] {
            assert!(matches!(part(text), Err(EngineError::BrokeOff(_))), "{text}");
        }
    }

    #[test]
    fn vectors_are_one_for_each_text() {
        let text = r#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1.5]}],"usage":{"prompt_tokens":3}}"#;
        let found = embeddings(text, 2).unwrap();
        assert_eq!(found.vectors, [[1.5], [2.0]]);
        assert_eq!(found.usage.unwrap().prompt, 3);
        assert!(embeddings(text, 3).is_err());
        assert!(embeddings(&text.replace("\"index\":1", "\"index\":0"), 2).is_err());
    }
}
