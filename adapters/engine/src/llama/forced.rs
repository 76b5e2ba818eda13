//! Answers that must be a tool call: the grammar of a call in the way that a model writes them.

use std::fmt::Write as _;

use oag_serve::{EngineError, Tool};
use serde_json::Value;

use super::tools::Style;

/// The grammar of a call of one of these tools; `thinks`: the prompt ends inside a thought, which is
/// ended first.
pub(super) fn grammar(style: Style, tools: &[&Tool], thinks: bool) -> Result<String, EngineError> {
    let mut rules = String::new();
    let mut calls = Vec::new();
    for (at, tool) in tools.iter().enumerate() {
        let refuse = |why: String| EngineError::refused("tools", format!("{}: {why}", tool.name));
        let schema = arguments(&tool.parameters);
        let own = llama_cpp_2::json_schema_to_grammar(&schema.to_string())
            .map_err(|_| refuse("no call can be written to its parameters".to_owned()))?;
        let prefix = format!("t{at}-");
        rules.push_str(&renamed(&own, &prefix));
        rules.push('\n');
        let name = Value::String(tool.name.clone()).to_string();
        let root = format!("{prefix}root");
        calls.push(match style {
            Style::Tagged => {
                let (open, close) = (
                    format!("<tool_call>\n{{\"name\": {name}, \"arguments\": "),
                    "}\n</tool_call>",
                );
                format!("{} {root} {}", literal(&open), literal(close))
            }
            Style::Json => {
                let open = format!("{{\"name\": {name}, \"parameters\": ");
                format!("{} {root} {}", literal(&open), literal("}"))
            }
            Style::Lines => format!("{} {root}", literal(&format!("{}\n", tool.name))),
        });
    }
    let thought = if thinks { literal("\n</think>\n\n") } else { String::new() };
    let _ = writeln!(rules, "root ::= {thought} ({})", calls.join(" | "));
    Ok(rules)
}

/// What arguments may be: objects, also where nothing is said of them.
fn arguments(parameters: &Value) -> Value {
    match parameters {
        Value::Object(fields) if !fields.is_empty() => parameters.clone(),
        _ => serde_json::json!({"type": "object"}),
    }
}

/// A text as grammars have it.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// A grammar whose rules all have a prefix to their names, so that it stands beside others.
fn renamed(grammar: &str, prefix: &str) -> String {
    let mut renamed = String::with_capacity(grammar.len() * 2);
    let mut letters = grammar.chars().peekable();
    // What ends a text, a set of letters or a count, inside of one.
    let mut until: Option<char> = None;
    let mut in_name = false;
    while let Some(letter) = letters.next() {
        let name = until.is_none() && (letter.is_ascii_alphanumeric() || letter == '-');
        if name && !in_name {
            renamed.push_str(prefix);
        }
        in_name = name;
        renamed.push(letter);
        match (until, letter) {
            (Some(_), '\\') => renamed.extend(letters.next()),
            (Some(end), _) if end == letter => until = None,
            (None, '"') => until = Some('"'),
            (None, '[') => until = Some(']'),
            (None, '{') => until = Some('}'),
            (None, '#') => until = Some('\n'),
            _ => {}
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_renamed_and_texts_are_not() {
        let grammar =
            "root ::= \"{\\\"a\\\"\" space [a-z\\]]{0,15} item-1? # root\nitem-1 ::= root | \"x\"";
        let wanted = "p-root ::= \"{\\\"a\\\"\" p-space [a-z\\]]{0,15} p-item-1? # root\n\
                      p-item-1 ::= p-root | \"x\"";
        assert_eq!(renamed(grammar, "p-"), wanted);
    }

    #[test]
    fn each_way_of_writing_has_its_frame() {
        let tool = Tool { name: "stock".into(), description: None, parameters: json!({}) };
        let root = |style, thinks| {
            let grammar = grammar(style, &[&tool, &tool], thinks).unwrap();
            grammar.lines().last().unwrap().to_owned()
        };
        assert_eq!(
            root(Style::Lines, false),
            "root ::=  (\"stock\\n\" t0-root | \"stock\\n\" t1-root)"
        );
        let json = root(Style::Json, true);
        assert!(
            json.starts_with("root ::= \"\\n</think>\\n\\n\" (\"{\\\"name\\\": \\\"stock\\\""),
            "{json}"
        );
        assert!(root(Style::Tagged, false).contains("\"<tool_call>\\n{\\\"name\\\""));
    }
}
