//! What is asked in the words of the Responses API.

use oag_serve::{
    Context, Format, Generation, Input, Message, Role, Sampling, Thinking, Tool, ToolCall,
    ToolChoice,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::params::{Draws, absent, limits};
use crate::trouble::Trouble;

/// What is asked. What begins with a line changes nothing in an answer here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponsesRequest {
    pub(super) model: String,
    input: InputIn,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    pub(super) stream: Option<bool>,
    tools: Option<Vec<ToolIn>>,
    tool_choice: Option<ChoiceIn>,
    parallel_tool_calls: Option<bool>,
    text: Option<TextIn>,
    reasoning: Option<ReasoningIn>,
    previous_response_id: Option<String>,
    conversation: Option<IgnoredAny>,
    prompt: Option<IgnoredAny>,
    background: Option<bool>,
    truncation: Option<String>,
    top_logprobs: Option<u8>,
    max_tool_calls: Option<u32>,
    include: Option<Vec<String>>,
    /// Nothing is kept, whatever it says.
    #[serde(rename = "store")]
    _store: Option<IgnoredAny>,
    #[serde(rename = "metadata")]
    _metadata: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_key")]
    _prompt_cache_key: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_retention")]
    _prompt_cache_retention: Option<IgnoredAny>,
    #[serde(rename = "safety_identifier")]
    _safety_identifier: Option<IgnoredAny>,
    #[serde(rename = "service_tier")]
    _service_tier: Option<IgnoredAny>,
    #[serde(rename = "stream_options")]
    _stream_options: Option<IgnoredAny>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
}

/// What is told again in the answer.
#[derive(Debug)]
pub(super) struct AskedFor {
    pub(super) model: String,
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) tools: Vec<ToolIn>,
    pub(super) tool_choice: Option<ChoiceIn>,
    pub(super) text: Option<TextIn>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum InputIn {
    Text(String),
    Items(Vec<ItemIn>),
}

/// An item of any type; what its type does not have is left out.
#[derive(Debug, Deserialize)]
struct ItemIn {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
    content: Option<ContentIn>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<ContentIn>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ContentIn {
    Text(String),
    Parts(Vec<PartIn>),
}

#[derive(Debug, Deserialize)]
struct PartIn {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

/// A tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ToolIn {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// Whether tools are to be called.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ChoiceIn {
    Word(String),
    Named {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        name: String,
    },
}

/// The form of the text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextIn {
    format: Option<FormatIn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FormatIn {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasoningIn {
    effort: Option<String>,
    #[serde(rename = "summary")]
    _summary: Option<IgnoredAny>,
    #[serde(rename = "generate_summary")]
    _generate_summary: Option<IgnoredAny>,
}

impl ResponsesRequest {
    /// As the domain knows it, and what is told again.
    pub(super) fn generation(self, context: Context) -> Result<(Generation, AskedFor), Trouble> {
        self.only_what_is_done()?;
        let effort = self.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
        let thinking = match effort {
            None => Thinking::ModelsChoice,
            Some("none") => Thinking::Off,
            Some(_) => Thinking::On,
        };
        let asked = AskedFor {
            model: self.model.clone(),
            instructions: self.instructions.clone(),
            max_output_tokens: self.max_output_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            tools: self.tools.unwrap_or_default(),
            tool_choice: self.tool_choice,
            text: self.text,
        };
        let mut messages = Vec::new();
        messages.extend(self.instructions.map(|text| Message::new(Role::System, text)));
        said(self.input, &mut messages)?;
        let tools = asked.tools.iter().cloned().enumerate().map(tool);
        let tools = tools.collect::<Result<Vec<Tool>, Trouble>>()?;
        let tool_choice = tool_choice(asked.tool_choice.clone(), &tools)?;
        let draws =
            Draws { temperature: asked.temperature, top_p: asked.top_p, ..Draws::default() };
        let sampling: Sampling = draws.sampling()?;
        let generation = Generation {
            limits: limits(asked.max_output_tokens, "max_output_tokens", None)?,
            sampling,
            format: format(asked.text.clone())?,
            thinking,
            ..Generation::new(self.model, Input::Chat { messages, tools, tool_choice }, context)
        };
        Ok((generation, asked))
    }

    fn only_what_is_done(&self) -> Result<(), Trouble> {
        let kept = "answers are not kept here: send what was said before in 'input'";
        absent("previous_response_id", self.previous_response_id.is_some(), kept)?;
        absent("conversation", self.conversation.is_some(), kept)?;
        absent("prompt", self.prompt.is_some(), "prompts are not kept here")?;
        let background = self.background == Some(true);
        absent("background", background, "answers for later are kept by /api/v1/generations")?;
        let cut = self.truncation.as_ref().is_some_and(|how| how != "disabled");
        absent("truncation", cut, "nothing is left out of what was said")?;
        let shown = self.top_logprobs.is_some_and(|top| top > 0);
        absent("top_logprobs", shown, "/v1/chat/completions shows probabilities")?;
        let more = |what: &String| what != "reasoning.encrypted_content";
        let include = self.include.as_ref().is_some_and(|include| include.iter().any(more));
        absent("include", include, "nothing more is told of an answer")?;
        let bounded = self.max_tool_calls.is_some() || self.parallel_tool_calls == Some(false);
        let why = "how many calls a model makes cannot be bounded here";
        absent("parallel_tool_calls", bounded, why)
    }
}

fn said(input: InputIn, messages: &mut Vec<Message>) -> Result<(), Trouble> {
    let items = match input {
        InputIn::Text(text) => {
            messages.push(Message::new(Role::User, text));
            return Ok(());
        }
        InputIn::Items(items) => items,
    };
    if items.is_empty() {
        return Err(Trouble::invalid("input", "Invalid 'input': at least one item is required."));
    }
    for (at, item) in items.into_iter().enumerate() {
        let place = format!("input[{at}]");
        match (item.kind.as_deref().unwrap_or("message"), item.call_id) {
            ("message", _) => {
                let role = role(item.role.as_deref(), &place)?;
                let content = item.content.unwrap_or(ContentIn::Parts(Vec::new()));
                messages.push(Message::new(role, content.text(&place)?));
            }
            ("function_call", Some(id)) => {
                let call = ToolCall {
                    id,
                    name: item.name.unwrap_or_default(),
                    arguments: item.arguments.unwrap_or_default(),
                };
                // Calls that follow a text of the model's are of the same turn.
                match messages.last_mut().filter(|last| last.role == Role::Assistant) {
                    Some(last) => last.tool_calls.push(call),
                    None => {
                        let message = Message::new(Role::Assistant, String::new());
                        messages.push(Message { tool_calls: vec![call], ..message });
                    }
                }
            }
            ("function_call_output", Some(id)) => {
                let output = item.output.unwrap_or_else(|| ContentIn::Text(String::new()));
                let message = Message::new(Role::Tool, output.text(&place)?);
                messages.push(Message { answers: Some(id), ..message });
            }
            ("function_call" | "function_call_output", None) => {
                let place = format!("{place}.call_id");
                let text = format!("Missing required parameter: '{place}'.");
                return Err(Trouble::invalid(place, text));
            }
            // What was thought before an earlier answer is not told again.
            ("reasoning", _) => {}
            (kind, _) => {
                let text = format!("an item of type '{kind}' is not read here");
                return Err(Trouble::invalid(place, text));
            }
        }
    }
    Ok(())
}

fn role(role: Option<&str>, place: &str) -> Result<Role, Trouble> {
    match role {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system" | "developer") => Ok(Role::System),
        other => {
            let text = format!("'{}' is no role of a message", other.unwrap_or_default());
            Err(Trouble::invalid(format!("{place}.role"), text))
        }
    }
}

impl ContentIn {
    fn text(self, place: &str) -> Result<String, Trouble> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let mut said = String::new();
        for (at, part) in parts.into_iter().enumerate() {
            match (part.kind.as_str(), part.text, part.refusal) {
                ("input_text" | "output_text" | "text", Some(text), _)
                | ("refusal", _, Some(text)) => said.push_str(&text),
                (kind, ..) => {
                    let text = format!("a part of type '{kind}' is not read here: text is");
                    return Err(Trouble::invalid(format!("{place}.content[{at}]"), text));
                }
            }
        }
        Ok(said)
    }
}

fn tool((at, tool): (usize, ToolIn)) -> Result<Tool, Trouble> {
    if tool.kind != "function" {
        let text = format!("a tool of type '{}' is not run here: functions are called", tool.kind);
        return Err(Trouble::invalid(format!("tools[{at}].type"), text));
    }
    let parameters = tool.parameters.filter(|parameters| !parameters.is_null());
    Ok(Tool {
        name: tool.name,
        description: tool.description,
        parameters: parameters.unwrap_or_else(|| json!({"type": "object"})),
    })
}

fn tool_choice(choice: Option<ChoiceIn>, tools: &[Tool]) -> Result<ToolChoice, Trouble> {
    let wrong = |text: String| Err(Trouble::invalid("tool_choice", text));
    match choice {
        None => Ok(ToolChoice::Auto),
        Some(ChoiceIn::Word(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::Never),
            "required" if !tools.is_empty() => Ok(ToolChoice::Required),
            _ => wrong(format!("'{word}' is not possible here")),
        },
        Some(ChoiceIn::Named { kind, name }) if kind == "function" => {
            if tools.iter().any(|tool| tool.name == name) {
                return Ok(ToolChoice::Named(name));
            }
            wrong(format!("Tool choice '{name}' is none of 'tools'."))
        }
        Some(ChoiceIn::Named { kind, .. }) => wrong(format!("'{kind}' is not known here")),
    }
}

fn format(text: Option<TextIn>) -> Result<Format, Trouble> {
    let Some(format) = text.and_then(|text| text.format) else { return Ok(Format::Text) };
    match (format.kind.as_str(), format.schema) {
        ("text", _) => Ok(Format::Text),
        ("json_object", _) => Ok(Format::Json),
        ("json_schema", Some(schema)) => {
            Ok(Format::Schema { name: format.name.unwrap_or_default(), schema })
        }
        ("json_schema", None) => {
            let place = "text.format.schema";
            Err(Trouble::invalid(place, format!("Missing required parameter: '{place}'.")))
        }
        (kind, _) => {
            Err(Trouble::invalid("text.format.type", format!("'{kind}' is not known here")))
        }
    }
}
