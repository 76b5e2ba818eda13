//! How models write that they want tools called.

use serde_json::{Map, Value};

/// A way of writing calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Between `<tool_call>` and `</tool_call>`, anywhere in the answer: JSON (Qwen, Hermes), or
    /// the name and then keys and values in marks of their own (GLM-4.5 and later).
    Tagged,
    /// The answer is the tool's name in a line and JSON arguments after it (GLM-4).
    Lines,
    /// The answer is a JSON object with `name` and `parameters` (Llama).
    Json,
}

impl Style {
    /// The one that a chat template teaches; none when it knows no tools.
    pub(super) fn of(template: &str) -> Option<Self> {
        let has = |mark| template.contains(mark);
        if !has("tools") {
            None
        } else if has("<tool_call>") {
            Some(Self::Tagged)
        } else if has("observation") {
            Some(Self::Lines)
        } else {
            Some(Self::Json)
        }
    }
}

/// A tool and its arguments as JSON text.
pub(super) type Call = (String, String);

/// Whether an answer that begins like this is a call as a whole; `Some(false)`: it may be.
pub(super) fn begins_bare(style: Style, names: &[String], said: &[u8]) -> Option<bool> {
    match style {
        Style::Tagged => None,
        Style::Json => said.starts_with(b"{").then_some(true),
        Style::Lines => match said.iter().position(|byte| *byte == b'\n') {
            None => names.iter().any(|name| name.as_bytes().starts_with(said)).then_some(false),
            Some(end) => {
                let line = said[..end].trim_ascii();
                let known = names.iter().any(|name| name.as_bytes() == line);
                let rest = said[end..].trim_ascii_start();
                (known && (rest.is_empty() || rest.starts_with(b"{"))).then_some(!rest.is_empty())
            }
        },
    }
}

/// The calls of an answer that is nothing else; none when it is something else after all.
pub(super) fn bare_calls(style: Style, names: &[String], text: &str) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, json) = match style {
            Style::Lines => {
                let (name, json) = rest.split_once('\n')?;
                (Some(name.trim()), json)
            }
            Style::Tagged | Style::Json => (None, rest),
        };
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        let value = values.next()?.ok()?;
        rest = json.get(values.byte_offset()..)?.trim_start_matches([';', ',']).trim();
        let call = match name {
            Some(name) => (name.to_owned(), value.is_object().then(|| value.to_string())?),
            None => json_call(&value)?,
        };
        if !names.contains(&call.0) {
            return None;
        }
        calls.push(call);
    }
    (!calls.is_empty()).then_some(calls)
}

/// The call between two marks; none when it is none.
pub(super) fn tagged_call(inner: &str) -> Option<Call> {
    let inner = inner.trim();
    if inner.starts_with('{') {
        return json_call(&serde_json::from_str(inner).ok()?);
    }
    let (name, mut rest) = match inner.find("<arg_key>") {
        Some(at) => inner.split_at(at),
        None => (inner, ""),
    };
    let name = name.trim();
    let plain = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let mut arguments = Map::new();
    while let Some((key, after)) = between(rest, "<arg_key>", "</arg_key>") {
        let (value, after) = between(after, "<arg_value>", "</arg_value>")?;
        let text = || Value::String(value.to_owned());
        let value = serde_json::from_str(value).unwrap_or_else(|_| text());
        arguments.insert(key.trim().to_owned(), value);
        rest = after;
    }
    Some((name.to_owned(), Value::Object(arguments).to_string()))
}

fn json_call(value: &Value) -> Option<Call> {
    let name = value.get("name")?.as_str()?;
    let arguments = value.get("arguments").or_else(|| value.get("parameters"));
    let arguments = match arguments {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Some((name.to_owned(), arguments))
}

/// What stands between two marks, and what comes after them.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(open)?.1.split_once(close)
}
