//! Answers and tokens of models on the wire.

use oag_cluster::{KeptAnswer, KeptState};
use oag_serve::{
    Collected, Context, Finish, Format, Generation, Input, Limits, Message, Role, Sampling, Urgency,
};
use oag_types::{GenerationId, Problem, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most tokens of an answer whose request says nothing.
const TOKENS_MAX: u32 = 1_024;

wire! {
    /// What a model is asked: a text to go on from, or a conversation.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"prompt": "Once upon a time", "max_tokens": 64})]
    pub(crate) struct GenerateRequest {
        /// A text to go on from.
        #[serde(default)]
        pub(crate) prompt: Option<String>,
        /// A conversation to answer, oldest first.
        #[serde(default)]
        pub(crate) messages: Vec<ChatMessage>,
        /// Most tokens of the answer; 1,024 when left out.
        #[serde(default)]
        pub(crate) max_tokens: Option<u32>,
        /// How freely tokens are drawn, 0 to 2; 0 takes the likeliest.
        #[serde(default)]
        pub(crate) temperature: Option<f32>,
        /// Only from the likeliest tokens that together have this probability, above 0 to 1.
        #[serde(default)]
        pub(crate) top_p: Option<f32>,
        /// Makes the draw repeatable.
        #[serde(default)]
        pub(crate) seed: Option<u64>,
        /// Texts at which the answer stops, at most 16.
        #[serde(default)]
        pub(crate) stop: Vec<String>,
        /// How urgent it is: `critical` (for those who may operate nodes), `interactive`, `batch`
        /// or `background`; `interactive` when left out.
        #[serde(default)]
        pub(crate) urgency: Option<String>,
        /// Whether the answer comes in parts, as server-sent events.
        #[serde(default)]
        pub(crate) stream: bool,
    }

    /// One turn of a conversation.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct ChatMessage {
        /// `system`, `user` or `assistant`.
        pub(crate) role: String,
        /// What is said.
        pub(crate) content: String,
    }

    /// What a model answers.
    #[derive(Debug, Serialize)]
    pub(crate) struct GenerateView {
        /// The model.
        pub(crate) model: String,
        /// The text.
        pub(crate) text: String,
        /// What the model thought before; empty when nothing is known of that.
        pub(crate) reasoning: String,
        /// Why it ended: `stop`, `length`, `tool_calls` or `filtered`.
        pub(crate) finish: String,
        /// Tokens of the prompt, where they are known.
        pub(crate) prompt_tokens: Option<u32>,
        /// Tokens of the answer, where they are known.
        pub(crate) answer_tokens: Option<u32>,
    }

    /// An answer that is wanted whatever happens.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct KeepRequest {
        /// The model.
        pub(crate) model: String,
        /// What it is asked.
        pub(crate) request: GenerateRequest,
    }

    /// An answer that is kept.
    #[derive(Debug, Serialize)]
    pub(crate) struct KeptView {
        /// Its id.
        pub(crate) id: GenerationId,
        /// The model.
        pub(crate) model: String,
        /// How it stands.
        pub(crate) state: KeptState,
        /// When it was asked for.
        pub(crate) created_at: Timestamp,
        /// When it was over.
        pub(crate) ended_at: Option<Timestamp>,
        /// The text, once it is done.
        pub(crate) text: String,
        /// Why it ended: `stop`, `length`, `tool_calls` or `filtered`.
        pub(crate) finish: Option<String>,
        /// Tokens of the prompt, where they are known.
        pub(crate) prompt_tokens: Option<u32>,
        /// Tokens of the answer, where they are known.
        pub(crate) answer_tokens: Option<u32>,
        /// Why there is no answer.
        pub(crate) error: Option<String>,
    }

    /// A text to be turned into tokens.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct TokenizeRequest {
        /// The text.
        pub(crate) text: String,
    }

    /// Tokens of a model.
    #[derive(Debug, Serialize)]
    pub(crate) struct TokensView {
        /// They, in their order.
        pub(crate) tokens: Vec<u32>,
    }

    /// Tokens to be turned into text.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct DetokenizeRequest {
        /// They, in their order.
        pub(crate) tokens: Vec<u32>,
    }

    /// A text.
    #[derive(Debug, Serialize)]
    pub(crate) struct TextView {
        /// It.
        pub(crate) text: String,
    }
}

describe! {
    /// How a kept answer stands.
    enum KeptState = oag_cluster::KeptState {
        /// It waits or is being made.
        Open,
        /// It came to its end.
        Done,
        /// It did not.
        Failed,
    }
}

impl KeepRequest {
    /// As the domain knows it.
    pub(crate) fn generation(self, context: Context) -> Result<Generation, Problem> {
        if self.request.stream {
            return Err(Problem::field("request.stream", "a kept answer does not come in parts"));
        }
        self.request.generation(self.model, context)
    }
}

impl From<KeptAnswer> for KeptView {
    fn from(kept: KeptAnswer) -> Self {
        Self {
            id: kept.id,
            model: kept.model,
            state: kept.state,
            created_at: kept.created_at,
            ended_at: kept.ended_at,
            text: kept.text,
            finish: kept.finish.map(|why| finish(why).to_owned()),
            prompt_tokens: kept.tokens.map(|(prompt, _)| prompt),
            answer_tokens: kept.tokens.map(|(_, answer)| answer),
            error: kept.error,
        }
    }
}

impl GenerateRequest {
    /// How urgent it is.
    pub(crate) fn urgency(&self) -> Result<Urgency, Problem> {
        let Some(text) = &self.urgency else { return Ok(Urgency::Interactive) };
        serde_json::from_value(Value::String(text.clone())).map_err(|_| {
            let text = "is one of critical, interactive, batch and background";
            Problem::field("urgency", text)
        })
    }

    /// As the domain knows it.
    pub(crate) fn generation(
        self,
        model: String,
        mut context: Context,
    ) -> Result<Generation, Problem> {
        context.urgency = self.urgency()?;
        let Self { prompt, messages, max_tokens, temperature, top_p, seed, stop, .. } = self;
        let input = match (prompt, messages.is_empty()) {
            (Some(text), true) => Input::Text(text),
            (None, false) => Input::Chat {
                messages: messages.into_iter().map(message).collect::<Result<_, _>>()?,
                tools: Vec::new(),
                tool_choice: oag_serve::ToolChoice::Never,
            },
            (Some(_), false) => {
                return Err(Problem::field("prompt", "goes without messages; send one of them"));
            }
            (None, true) => return Err(Problem::field("prompt", "is missing, or messages are")),
        };
        if max_tokens == Some(0) {
            return Err(Problem::field("max_tokens", "is at least 1"));
        }
        if temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return Err(Problem::field("temperature", "is from 0 to 2"));
        }
        if top_p.is_some_and(|value| !(value > 0.0 && value <= 1.0)) {
            return Err(Problem::field("top_p", "is above 0 and at most 1"));
        }
        if stop.len() > 16 || stop.iter().any(String::is_empty) {
            return Err(Problem::field("stop", "has at most 16 texts, none of them empty"));
        }
        let limits = Limits { tokens_max: Some(max_tokens.unwrap_or(TOKENS_MAX)), stop };
        let sampling = Sampling { temperature, top_p, seed, ..Sampling::default() };
        let format = Format::Text;
        Ok(Generation { limits, sampling, format, ..Generation::new(model, input, context) })
    }
}

fn message(said: ChatMessage) -> Result<Message, Problem> {
    let role = match said.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            return Err(Problem::field("messages.role", "is one of system, user and assistant"));
        }
    };
    Ok(Message::new(role, said.content))
}

impl GenerateView {
    pub(crate) fn of(model: String, all: Collected) -> Self {
        let usage = all.ending.and_then(|ending| ending.usage);
        Self {
            model,
            text: all.text,
            reasoning: all.reasoning,
            finish: all.ending.map_or("stop", |ending| finish(ending.finish)).to_owned(),
            prompt_tokens: usage.map(|usage| usage.prompt),
            answer_tokens: usage.map(|usage| usage.answer),
        }
    }
}

/// The word for why an answer ended.
pub(crate) const fn finish(why: Finish) -> &'static str {
    match why {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Filtered => "filtered",
    }
}
