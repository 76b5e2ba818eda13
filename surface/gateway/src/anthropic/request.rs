//! What is asked, in Anthropic's words.

use oag_serve::{
    Context, Format, Generation, Input, Limits, Message, Role, Sampling, Thinking, Tool, ToolCall,
    ToolChoice,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::trouble::Trouble;

/// Most texts at which an answer stops.
const STOPS_MAX: usize = 16;

/// What is asked. What begins with a line changes nothing in an answer here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagesRequest {
    pub(super) model: String,
    max_tokens: u32,
    messages: Vec<TurnIn>,
    system: Option<ContentIn>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
    pub(super) stream: Option<bool>,
    tools: Option<Vec<ToolIn>>,
    tool_choice: Option<ChoiceIn>,
    thinking: Option<ThinkingIn>,
    output_config: Option<OutputIn>,
    #[serde(rename = "metadata")]
    _metadata: Option<IgnoredAny>,
    #[serde(rename = "service_tier")]
    _service_tier: Option<IgnoredAny>,
    #[serde(rename = "cache_control")]
    _cache_control: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnIn {
    role: String,
    content: ContentIn,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ContentIn {
    Text(String),
    Blocks(Vec<BlockIn>),
}

/// A block of any type; what its type does not have is left out.
#[derive(Debug, Deserialize)]
struct BlockIn {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    tool_use_id: Option<String>,
    content: Option<ContentIn>,
    is_error: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct ToolIn {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: String,
    description: Option<String>,
    input_schema: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ChoiceIn {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct ThinkingIn {
    #[serde(rename = "type")]
    kind: String,
}

/// What an answer is to be like.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputIn {
    format: Option<FormatIn>,
    /// How hard to try; models here are not told.
    #[serde(rename = "effort")]
    _effort: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatIn {
    #[serde(rename = "type")]
    kind: String,
    schema: Value,
}

impl MessagesRequest {
    /// Whether thoughts are shown: only to those who asked for them.
    pub(super) fn thinks(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking.kind != "disabled")
    }

    /// As the domain knows it.
    pub(super) fn generation(self, context: Context) -> Result<Generation, Trouble> {
        if self.max_tokens == 0 {
            return Err(Trouble::invalid("max_tokens", "max_tokens: must be at least 1"));
        }
        let thinking = match self.thinking.as_ref().map(|thinking| thinking.kind.as_str()) {
            None => Thinking::ModelsChoice,
            Some("enabled" | "adaptive") => Thinking::On,
            Some("disabled") => Thinking::Off,
            Some(kind) => {
                let text = format!("thinking.type: '{kind}' is not known");
                return Err(Trouble::invalid("thinking.type", text));
            }
        };
        let stop = self.stop_sequences.unwrap_or_default();
        if stop.len() > STOPS_MAX || stop.iter().any(String::is_empty) {
            let text = format!("stop_sequences: at most {STOPS_MAX}, none of them empty");
            return Err(Trouble::invalid("stop_sequences", text));
        }
        let sampling = Sampling {
            temperature: share("temperature", self.temperature)?,
            top_p: share("top_p", self.top_p)?.map(|share| share.max(f32::MIN_POSITIVE)),
            top_k: self.top_k,
            ..Sampling::default()
        };
        let mut messages = Vec::with_capacity(self.messages.len() + 1);
        if let Some(system) = self.system {
            messages.push(Message::new(Role::System, system.text("system")?));
        }
        turns(self.messages, &mut messages)?;
        let format = match self.output_config.and_then(|output| output.format) {
            None => Format::Text,
            Some(FormatIn { kind, schema }) if kind == "json_schema" => {
                Format::Schema { name: "answer".to_owned(), schema }
            }
            Some(FormatIn { kind, .. }) => {
                let text = format!("output_config.format.type: '{kind}' is not known");
                return Err(Trouble::invalid("output_config.format.type", text));
            }
        };
        let tools = tools(self.tools.unwrap_or_default())?;
        let tool_choice = tool_choice(self.tool_choice, &tools)?;
        let input = Input::Chat { messages, tools, tool_choice };
        Ok(Generation {
            limits: Limits { tokens_max: Some(self.max_tokens), stop },
            sampling,
            thinking,
            format,
            ..Generation::new(self.model, input, context)
        })
    }
}

fn share(param: &'static str, value: Option<f32>) -> Result<Option<f32>, Trouble> {
    match value {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(Trouble::invalid(param, format!("{param}: must be from 0 to 1")))
        }
        value => Ok(value),
    }
}

fn turns(turns: Vec<TurnIn>, messages: &mut Vec<Message>) -> Result<(), Trouble> {
    let count = turns.len();
    if count == 0 {
        return Err(Trouble::invalid("messages", "messages: at least one message is required"));
    }
    for (at, turn) in turns.into_iter().enumerate() {
        let place = format!("messages.{at}.content");
        match turn.role.as_str() {
            "user" => user(turn.content, &place, messages)?,
            "assistant" if at + 1 == count => {
                let text = format!(
                    "messages.{at}: the last turn is the user's; answers are not \
                                    gone on with here"
                );
                return Err(Trouble::unsupported("messages", text));
            }
            "assistant" => messages.push(assistant(turn.content, &place)?),
            role => {
                let text = format!("messages.{at}.role: '{role}' is neither user nor assistant");
                return Err(Trouble::invalid(format!("messages.{at}.role"), text));
            }
        }
    }
    Ok(())
}

/// Results of tools, each a turn of its own, and what else is said.
fn user(content: ContentIn, place: &str, messages: &mut Vec<Message>) -> Result<(), Trouble> {
    let blocks = match content {
        ContentIn::Text(text) => {
            messages.push(Message::new(Role::User, text));
            return Ok(());
        }
        ContentIn::Blocks(blocks) => blocks,
    };
    let mut said = String::new();
    let mut results = 0;
    for (at, block) in blocks.into_iter().enumerate() {
        let place = format!("{place}.{at}");
        match block.kind.as_str() {
            "text" => said.push_str(&block.text(&place)?),
            "tool_result" => {
                let Some(call) = block.tool_use_id else {
                    let text = format!("{place}.tool_use_id: field required");
                    return Err(Trouble::invalid(place, text));
                };
                let text = block.content.map(|content| content.text(&place)).transpose()?;
                let mut text = text.unwrap_or_default();
                if block.is_error == Some(true) {
                    text.insert_str(0, "error: ");
                }
                messages.push(Message { answers: Some(call), ..Message::new(Role::Tool, text) });
                results += 1;
            }
            kind => return Err(unread(kind, place)),
        }
    }
    if !said.is_empty() || results == 0 {
        messages.push(Message::new(Role::User, said));
    }
    Ok(())
}

fn assistant(content: ContentIn, place: &str) -> Result<Message, Trouble> {
    let blocks = match content {
        ContentIn::Text(text) => return Ok(Message::new(Role::Assistant, text)),
        ContentIn::Blocks(blocks) => blocks,
    };
    let mut message = Message::new(Role::Assistant, String::new());
    for (at, block) in blocks.into_iter().enumerate() {
        let place = format!("{place}.{at}");
        match (block.kind.as_str(), block.id, block.name) {
            ("text", ..) => message.text.push_str(block.text.as_deref().unwrap_or_default()),
            // What was thought before an earlier answer is not told again.
            ("thinking" | "redacted_thinking", ..) => {}
            ("tool_use", Some(id), Some(name)) => {
                let arguments = block.input.unwrap_or_else(|| serde_json::json!({})).to_string();
                message.tool_calls.push(ToolCall { id, name, arguments });
            }
            ("tool_use", ..) => {
                let text = format!("{place}: id and name are required");
                return Err(Trouble::invalid(place, text));
            }
            (kind, ..) => return Err(unread(kind, place)),
        }
    }
    Ok(message)
}

fn unread(kind: &str, place: String) -> Trouble {
    let text = format!("{place}: a block of type '{kind}' is not read here");
    Trouble::invalid(place, text)
}

impl BlockIn {
    fn text(&self, place: &str) -> Result<String, Trouble> {
        let missing =
            || Trouble::invalid(place.to_owned(), format!("{place}.text: field required"));
        self.text.clone().ok_or_else(missing)
    }
}

impl ContentIn {
    /// Its text, where it may have nothing else.
    fn text(self, place: &str) -> Result<String, Trouble> {
        let blocks = match self {
            Self::Text(text) => return Ok(text),
            Self::Blocks(blocks) => blocks,
        };
        let mut said = String::new();
        for (at, block) in blocks.into_iter().enumerate() {
            let place = format!("{place}.{at}");
            if block.kind != "text" {
                return Err(unread(&block.kind, place));
            }
            said.push_str(&block.text(&place)?);
        }
        Ok(said)
    }
}

fn tools(tools: Vec<ToolIn>) -> Result<Vec<Tool>, Trouble> {
    let tool = |(at, tool): (usize, ToolIn)| match tool.kind.as_deref() {
        None | Some("custom") => Ok(Tool {
            name: tool.name,
            description: tool.description,
            parameters: tool.input_schema.unwrap_or_else(|| serde_json::json!({"type": "object"})),
        }),
        Some(kind) => {
            let text = format!("tools.{at}.type: a tool of type '{kind}' is not run here");
            Err(Trouble::invalid(format!("tools.{at}.type"), text))
        }
    };
    tools.into_iter().enumerate().map(tool).collect()
}

fn tool_choice(choice: Option<ChoiceIn>, tools: &[Tool]) -> Result<ToolChoice, Trouble> {
    let wrong = |text: String| Err(Trouble::invalid("tool_choice", text));
    let Some(choice) = choice else { return Ok(ToolChoice::Auto) };
    if choice.disable_parallel_tool_use == Some(true) {
        let text = "tool_choice.disable_parallel_tool_use: how many calls a model makes cannot be \
                    bounded here";
        return Err(Trouble::unsupported("tool_choice.disable_parallel_tool_use", text));
    }
    match (choice.kind.as_str(), choice.name) {
        ("auto", _) => Ok(ToolChoice::Auto),
        ("none", _) => Ok(ToolChoice::Never),
        ("any", _) if !tools.is_empty() => Ok(ToolChoice::Required),
        ("any", _) => wrong("tool_choice: 'any' needs tools".to_owned()),
        ("tool", Some(name)) if tools.iter().any(|tool| tool.name == name) => {
            Ok(ToolChoice::Named(name))
        }
        ("tool", name) => {
            wrong(format!("tool_choice.name: '{}' is none of tools", name.unwrap_or_default()))
        }
        (kind, _) => wrong(format!("tool_choice.type: '{kind}' is not known")),
    }
}
