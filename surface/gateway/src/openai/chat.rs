//! `POST /v1/chat/completions`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use oag_serve::{Collected, Delta, Ending, Generation, Input, Thinking};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::answer::{AnswerOut, CallOut, FunctionOut, Name, finish};
use super::logprobs::{self, ChatLogprobs};
use super::message::{ChoiceIn, FormatIn, ToolIn, TurnIn, format, tool_choice, tools};
use super::params::{Draws, OneOrMany, StreamOptions, absent, choices as count, limits};
use super::stream::{Form, stream};
use crate::choices;
use crate::edge::{Json, json};
use crate::state::{Asked, Gateway};
use crate::trouble::Trouble;

/// Most alternatives that are shown for a token.
const TOP_MAX: u8 = 20;

/// What is asked. What begins with a line changes nothing in an answer here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatRequest {
    model: String,
    messages: Vec<TurnIn>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    seed: Option<i64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    n: Option<u32>,
    stop: Option<OneOrMany<String>>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    tools: Option<Vec<ToolIn>>,
    tool_choice: Option<ChoiceIn>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<FormatIn>,
    logprobs: Option<bool>,
    top_logprobs: Option<u8>,
    logit_bias: Option<BTreeMap<String, f32>>,
    reasoning_effort: Option<String>,
    thinking: Option<ThinkingIn>,
    chat_template_kwargs: Option<TemplateIn>,
    modalities: Option<Vec<String>>,
    audio: Option<IgnoredAny>,
    functions: Option<IgnoredAny>,
    function_call: Option<IgnoredAny>,
    web_search_options: Option<IgnoredAny>,
    #[serde(rename = "metadata")]
    _metadata: Option<IgnoredAny>,
    #[serde(rename = "prediction")]
    _prediction: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_key")]
    _prompt_cache_key: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_retention")]
    _prompt_cache_retention: Option<IgnoredAny>,
    #[serde(rename = "safety_identifier")]
    _safety_identifier: Option<IgnoredAny>,
    #[serde(rename = "service_tier")]
    _service_tier: Option<IgnoredAny>,
    #[serde(rename = "store")]
    _store: Option<IgnoredAny>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
    #[serde(rename = "verbosity")]
    _verbosity: Option<IgnoredAny>,
}

/// Zhipu's way to say whether the model may think.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThinkingIn {
    #[serde(rename = "type")]
    kind: String,
}

/// The way of servers that run templates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateIn {
    enable_thinking: Option<bool>,
}

pub(super) async fn complete(
    State(gateway): State<Gateway>,
    asked: Asked,
    Json(request): Json<ChatRequest>,
) -> Result<Response, Trouble> {
    let engine = gateway.engine(&request.model)?;
    let count = count(&gateway, request.n)?;
    let streams = request.stream.unwrap_or(false);
    let include_usage = request.stream_options.is_some_and(|options| options.include_usage);
    if request.stream_options.is_some() && !streams {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Trouble::invalid("stream_options", message));
    }
    let name = Name {
        id: format!("chatcmpl-{}", gateway.ids.uuid().simple()),
        created: gateway.now_s(),
        model: request.model.clone(),
    };
    let generation = request.generation(&gateway, &asked)?;
    let answers = choices::begin(&*engine, generation, count).await?;
    if streams {
        return Ok(stream(Chat, name, answers, include_usage));
    }
    let answers = choices::whole(answers).await?;
    let all = answers.iter().enumerate().map(|(index, answer)| Choice::whole(index, answer));
    let usages = answers.iter().filter_map(|answer| answer.ending?.usage);
    let mut document = AnswerOut::new(&name, "chat.completion", all.collect());
    document.usage = Some(Some(choices::sum(usages).into()));
    Ok(json(&document))
}

impl ChatRequest {
    fn generation(self, gateway: &Gateway, asked: &Asked) -> Result<Generation, Trouble> {
        self.only_what_is_done()?;
        if self.messages.is_empty() {
            let message = "Invalid 'messages': empty array. Expected at least one message.";
            return Err(Trouble::invalid("messages", message));
        }
        let thinking = self.thinking()?;
        let logprobs = self.logprobs()?;
        let (param, tokens_max) = match self.max_completion_tokens {
            Some(most) => ("max_completion_tokens", Some(most)),
            None => ("max_tokens", self.max_tokens),
        };
        let turns = self.messages.into_iter().enumerate();
        let messages = turns.map(|(at, turn)| turn.message(at)).collect::<Result<_, _>>()?;
        let tools = tools(self.tools.unwrap_or_default())?;
        let tool_choice = tool_choice(self.tool_choice, &tools)?;
        let input = Input::Chat { messages, tools, tool_choice };
        let draws = Draws {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            seed: self.seed,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
        };
        Ok(Generation {
            limits: limits(tokens_max, param, self.stop)?,
            sampling: draws.sampling()?,
            format: format(self.response_format)?,
            logprobs,
            thinking,
            ..Generation::new(self.model, input, asked.context(gateway.config.answer_ms))
        })
    }

    /// What would change an answer and is not done here is refused, not left out.
    fn only_what_is_done(&self) -> Result<(), Trouble> {
        let bias = self.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty());
        absent("logit_bias", bias, "scores of single tokens cannot be changed here")?;
        let old = "functions and function_call are outdated: send tools and tool_choice";
        absent("functions", self.functions.is_some(), old)?;
        absent("function_call", self.function_call.is_some(), old)?;
        absent("audio", self.audio.is_some(), "models here write text alone")?;
        let other = |kinds: &Vec<String>| kinds.iter().any(|kind| kind != "text");
        let modalities = self.modalities.as_ref().is_some_and(other);
        absent("modalities", modalities, "models here write text alone")?;
        let search = self.web_search_options.is_some();
        absent("web_search_options", search, "models here search nothing")?;
        let single = self.parallel_tool_calls == Some(false);
        absent("parallel_tool_calls", single, "how many calls a model makes cannot be bounded here")
    }

    fn thinking(&self) -> Result<Thinking, Trouble> {
        let switched = |on| if on { Thinking::On } else { Thinking::Off };
        if let Some(effort) = &self.reasoning_effort {
            return Ok(switched(effort != "none"));
        }
        if let Some(thinking) = &self.thinking {
            return match thinking.kind.as_str() {
                "enabled" => Ok(Thinking::On),
                "disabled" => Ok(Thinking::Off),
                kind => {
                    let message = format!("'{kind}' is neither 'enabled' nor 'disabled'.");
                    Err(Trouble::invalid("thinking.type", message))
                }
            };
        }
        let said = self.chat_template_kwargs.as_ref().and_then(|kwargs| kwargs.enable_thinking);
        Ok(said.map_or(Thinking::ModelsChoice, switched))
    }

    fn logprobs(&self) -> Result<Option<u8>, Trouble> {
        match (self.logprobs.unwrap_or(false), self.top_logprobs) {
            (_, Some(top)) if top > TOP_MAX => {
                let message = format!("Invalid 'top_logprobs': it is from 0 to {TOP_MAX}.");
                Err(Trouble::invalid("top_logprobs", message))
            }
            (false, Some(top)) if top > 0 => {
                let message = "'top_logprobs' is only allowed when 'logprobs' is enabled.";
                Err(Trouble::invalid("top_logprobs", message))
            }
            (shown, top) => Ok(shown.then(|| top.unwrap_or(0))),
        }
    }
}

/// One answer.
#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: usize,
    message: Said<'a>,
    logprobs: Option<ChatLogprobs<'a>>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Said<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut<'a>>,
}

impl<'a> Choice<'a> {
    fn whole(index: usize, answer: &'a Collected) -> Self {
        let text = answer.text.as_str();
        let message = Said {
            role: "assistant",
            content: (!text.is_empty() || answer.tool_calls.is_empty()).then_some(text),
            refusal: None,
            reasoning_content: non_empty(&answer.reasoning),
            tool_calls: answer.tool_calls.iter().map(CallOut::from).collect(),
        };
        let logprobs = logprobs::chat(&answer.logprobs);
        Self {
            index,
            message,
            logprobs,
            finish_reason: answer.ending.map(|end| finish(end.finish)),
        }
    }
}

/// A part of one.
#[derive(Debug, Serialize)]
struct Piece<'a> {
    index: usize,
    delta: More<'a>,
    logprobs: Option<ChatLogprobs<'a>>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut<'a>>,
}

/// Conversations in parts.
struct Chat;

impl Form for Chat {
    fn opening(&mut self, index: usize) -> Option<impl Serialize> {
        let delta = More { role: Some("assistant"), content: Some(""), ..More::default() };
        Some(Piece { index, delta, logprobs: None, finish_reason: None })
    }

    fn part<'a>(&mut self, index: usize, part: &'a Delta) -> Option<impl Serialize + 'a> {
        let delta = More {
            role: None,
            content: non_empty(&part.text),
            reasoning_content: non_empty(&part.reasoning),
            tool_calls: part.tool_calls.iter().map(CallOut::from).collect(),
        };
        let logprobs = logprobs::chat(&part.logprobs);
        let says = delta.content.is_some()
            || delta.reasoning_content.is_some()
            || !delta.tool_calls.is_empty()
            || logprobs.is_some();
        says.then_some(Piece { index, delta, logprobs, finish_reason: None })
    }

    fn end(&mut self, index: usize, ending: Ending) -> impl Serialize {
        let finish_reason = Some(finish(ending.finish));
        Piece { index, delta: More::default(), logprobs: None, finish_reason }
    }

    fn object(&self) -> &'static str {
        "chat.completion.chunk"
    }
}

impl<'a> From<&'a oag_serve::ToolCallDelta> for CallOut<'a> {
    fn from(part: &'a oag_serve::ToolCallDelta) -> Self {
        let function = FunctionOut { name: part.name.as_deref(), arguments: &part.arguments };
        let kind = part.id.is_some().then_some("function");
        Self { index: Some(part.index), id: part.id.as_deref(), kind, function }
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
