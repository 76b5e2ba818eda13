//! Turns of a conversation, and tools.

use oag_serve::{Format, Message, Role, Tool, ToolCall, ToolChoice};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::trouble::Trouble;

/// One turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TurnIn {
    role: String,
    #[serde(default)]
    content: Option<ContentIn>,
    #[serde(default)]
    tool_calls: Option<Vec<CallIn>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    /// Who of several people; models are not told.
    #[serde(default, rename = "name")]
    _name: Option<IgnoredAny>,
    #[serde(default, rename = "refusal")]
    _refusal: Option<IgnoredAny>,
    #[serde(default, rename = "annotations")]
    _annotations: Option<IgnoredAny>,
    /// What was thought before an earlier answer is not told again.
    #[serde(default, rename = "reasoning_content", alias = "reasoning")]
    _reasoning: Option<IgnoredAny>,
    #[serde(default)]
    audio: Option<IgnoredAny>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
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
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CallIn {
    id: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    function: CalledIn,
}

#[derive(Debug, Deserialize)]
struct CalledIn {
    name: String,
    #[serde(default)]
    arguments: String,
}

/// A tool.
#[derive(Debug, Deserialize)]
pub(super) struct ToolIn {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    function: Option<FunctionIn>,
}

#[derive(Debug, Deserialize)]
struct FunctionIn {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
}

/// Whether tools are to be called.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ChoiceIn {
    Word(String),
    Named {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        function: Option<NameIn>,
    },
}

#[derive(Debug, Deserialize)]
pub(super) struct NameIn {
    name: String,
}

/// The form of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct FormatIn {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    json_schema: Option<SchemaIn>,
}

#[derive(Debug, Deserialize)]
struct SchemaIn {
    name: String,
    #[serde(default)]
    schema: Option<Value>,
}

impl TurnIn {
    pub(super) fn message(self, at: usize) -> Result<Message, Trouble> {
        let place = |part: &str| format!("messages[{at}].{part}");
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            other => {
                let message = format!(
                    "Invalid value: '{other}'. Supported values are: 'system', 'developer', \
                     'user', 'assistant', and 'tool'."
                );
                return Err(Trouble::invalid(place("role"), message));
            }
        };
        if self.audio.is_some() || self.function_call.is_some() {
            let text = "audio and function_call are not read here; calls are in tool_calls";
            return Err(Trouble::invalid(place("content"), text));
        }
        let calls = self.tool_calls.unwrap_or_default();
        if self.content.is_none() && (role != Role::Assistant || calls.is_empty()) {
            let message = format!("Missing required parameter: '{}'.", place("content"));
            return Err(Trouble::invalid(place("content"), message));
        }
        if role == Role::Tool && self.tool_call_id.is_none() {
            let message = format!("Missing required parameter: '{}'.", place("tool_call_id"));
            return Err(Trouble::invalid(place("tool_call_id"), message));
        }
        let text = match self.content {
            None => String::new(),
            Some(ContentIn::Text(text)) => text,
            Some(ContentIn::Parts(parts)) => said(parts, &place("content"))?,
        };
        let tool_calls = calls.into_iter().map(|call| call.call(&place("tool_calls")));
        let tool_calls = tool_calls.collect::<Result<_, _>>()?;
        Ok(Message { role, text, tool_calls, answers: self.tool_call_id })
    }
}

/// The text of parts; models here read nothing else.
fn said(parts: Vec<PartIn>, place: &str) -> Result<String, Trouble> {
    let mut said = String::new();
    for (at, part) in parts.into_iter().enumerate() {
        match (part.kind.as_str(), part.text, part.refusal) {
            ("text" | "input_text" | "output_text", Some(text), _) | ("refusal", _, Some(text)) => {
                said.push_str(&text)
            }
            (kind, ..) => {
                let place = format!("{place}[{at}]");
                let message = format!("a part of type '{kind}' is not read here: text is");
                return Err(Trouble::invalid(place, message));
            }
        }
    }
    Ok(said)
}

impl CallIn {
    fn call(self, place: &str) -> Result<ToolCall, Trouble> {
        if self.kind.is_some_and(|kind| kind != "function") {
            return Err(Trouble::invalid(
                place.to_owned(),
                "only calls of functions are read here",
            ));
        }
        let CalledIn { name, arguments } = self.function;
        Ok(ToolCall { id: self.id, name, arguments })
    }
}

/// Tools as the domain knows them.
pub(super) fn tools(tools: Vec<ToolIn>) -> Result<Vec<Tool>, Trouble> {
    let tool = |(at, tool): (usize, ToolIn)| match (tool.kind.as_str(), tool.function) {
        ("function", Some(FunctionIn { name, description, parameters })) => {
            let parameters = parameters.unwrap_or_else(|| serde_json::json!({"type": "object"}));
            Ok(Tool { name, description, parameters })
        }
        ("function", None) => {
            let place = format!("tools[{at}].function");
            let message = format!("Missing required parameter: '{place}'.");
            Err(Trouble::invalid(place, message))
        }
        (kind, _) => {
            let message = format!("a tool of type '{kind}' is not run here: functions are called");
            Err(Trouble::invalid(format!("tools[{at}].type"), message))
        }
    };
    tools.into_iter().enumerate().map(tool).collect()
}

/// Whether tools are to be called, as the domain knows it.
pub(super) fn tool_choice(choice: Option<ChoiceIn>, tools: &[Tool]) -> Result<ToolChoice, Trouble> {
    let wrong = |text: String| Err(Trouble::invalid("tool_choice", text));
    match choice {
        None => Ok(ToolChoice::Auto),
        Some(ChoiceIn::Word(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::Never),
            "required" if !tools.is_empty() => Ok(ToolChoice::Required),
            "required" => wrong("'tool_choice' is only allowed when 'tools' are.".to_owned()),
            _ => wrong(format!(
                "Invalid value: '{word}'. Supported values are: 'none', 'auto', and 'required'."
            )),
        },
        Some(ChoiceIn::Named { kind, function: Some(NameIn { name }) }) if kind == "function" => {
            if tools.iter().any(|tool| tool.name == name) {
                return Ok(ToolChoice::Named(name));
            }
            wrong(format!("Tool choice '{name}' is none of 'tools'."))
        }
        Some(ChoiceIn::Named { kind, .. }) => {
            wrong(format!("a choice of type '{kind}' is not known here: name a function"))
        }
    }
}

/// The form of an answer, as the domain knows it.
pub(super) fn format(format: Option<FormatIn>) -> Result<Format, Trouble> {
    let Some(format) = format else { return Ok(Format::Text) };
    match (format.kind.as_str(), format.json_schema) {
        ("text", _) => Ok(Format::Text),
        ("json_object", _) => Ok(Format::Json),
        ("json_schema", Some(SchemaIn { name, schema })) => {
            let schema = schema.unwrap_or_else(|| serde_json::json!({}));
            Ok(Format::Schema { name, schema })
        }
        ("json_schema", None) => {
            let place = "response_format.json_schema";
            Err(Trouble::invalid(place, format!("Missing required parameter: '{place}'.")))
        }
        (kind, _) => {
            let message = format!(
                "Invalid value: '{kind}'. Supported values are: 'text', 'json_object', and \
                 'json_schema'."
            );
            Err(Trouble::invalid("response_format.type", message))
        }
    }
}
