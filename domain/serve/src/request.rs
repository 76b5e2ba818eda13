//! What a model is asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Context;

/// One request for text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The model, by the name under which it is served.
    pub model: String,
    /// What it continues or answers.
    pub input: Input,
    /// Where it ends.
    pub limits: Limits,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// What form the text must have.
    pub format: Format,
    /// How many alternatives to show for each token; none: no probabilities at all.
    pub logprobs: Option<u8>,
    /// Whether the model may think before it answers.
    pub thinking: Thinking,
    /// Tokens of the answer that were given before, by this engine or another of the same model:
    /// the answer goes on after them, as if it had never been interrupted. Only for engines with
    /// [`crate::Skill::Resume`].
    pub resume: Vec<u32>,
    /// For whom, until when.
    pub context: Context,
}

impl Generation {
    /// A request with every setting at its default.
    #[must_use]
    pub fn new(model: impl Into<String>, input: Input, context: Context) -> Self {
        Self {
            model: model.into(),
            input,
            limits: Limits::default(),
            sampling: Sampling::default(),
            format: Format::Text,
            logprobs: None,
            thinking: Thinking::ModelsChoice,
            resume: Vec::new(),
            context,
        }
    }
}

/// What is continued or answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// Plain text to go on from.
    Text(String),
    /// A conversation.
    Chat {
        /// What was said, oldest first.
        messages: Vec<Message>,
        /// What the model may ask to be called.
        tools: Vec<Tool>,
        /// Whether it must.
        tool_choice: ToolChoice,
    },
}

impl Input {
    /// A conversation of one question.
    #[must_use]
    pub fn question(text: impl Into<String>) -> Self {
        let messages = vec![Message::new(Role::User, text)];
        Self::Chat { messages, tools: Vec::new(), tool_choice: ToolChoice::Auto }
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Whoever set the conversation up.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
    /// A tool that was called.
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; empty where there are only tool calls.
    pub text: String,
    /// What the model asked to be called.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool answers.
    pub answers: Option<String>,
}

impl Message {
    /// A turn that is nothing but text.
    #[must_use]
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into(), tool_calls: Vec::new(), answers: None }
    }
}

/// A function that a model may ask to be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

/// A call that a model asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id, which the answer names.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// Its arguments, JSON text as the model wrote it.
    pub arguments: String,
}

/// Whether a tool is to be called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ToolChoice {
    /// As the model sees fit.
    #[default]
    Auto,
    /// None.
    Never,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// Where an answer ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Most tokens of the answer; the engine's own limit when none.
    pub tokens_max: Option<u32>,
    /// Texts at which it stops; they are not part of it.
    pub stop: Vec<String>,
}

/// How tokens are drawn. What is none is the engine's default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 takes the likeliest token each time.
    pub temperature: Option<f32>,
    /// Only from the likeliest tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Only from this many of the likeliest tokens.
    pub top_k: Option<u32>,
    /// Makes the draw repeatable.
    pub seed: Option<u64>,
    /// Taken from the score of a token for being in the answer already.
    pub presence_penalty: Option<f32>,
    /// Taken from the score of a token for each time it is in the answer already.
    pub frequency_penalty: Option<f32>,
}

/// What form the text must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Format {
    /// Any.
    Text,
    /// A JSON object.
    Json,
    /// JSON that this schema accepts.
    Schema {
        /// Its name.
        name: String,
        /// The JSON schema.
        schema: Value,
    },
}

/// Whether a model may think before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Thinking {
    /// As the model does by itself.
    #[default]
    ModelsChoice,
    /// It should.
    On,
    /// It should not.
    Off,
}
