//! How conversations are put to a model: by the Jinja template in its file.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as JinjaValue};
use minijinja::{Environment, Error, ErrorKind, context};
use oag_serve::{EngineError, Message, Role, Thinking, Tool};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Value, json};

use super::quote::Quote;
use super::tools::Style;

const NAME: &str = "chat";
/// How much a template may calculate; a long conversation takes a thousandth.
const FUEL: u64 = 100_000_000;

/// A model's template.
#[derive(Debug)]
pub(super) struct Chat {
    jinja: Environment<'static>,
    style: Option<Style>,
    thinks: bool,
    begin: String,
    end: String,
    quote: Quote,
}

impl Chat {
    /// The one of a model.
    ///
    /// # Errors
    /// Why there is none that can be used.
    pub(super) fn of(model: &LlamaModel) -> Result<Self, String> {
        let template =
            model.chat_template(None).map_err(|_| "it has no chat template".to_owned())?;
        let template = template.to_string().map_err(|error| error.to_string())?;
        let vocabulary = model.vocab();
        let shown = |token: LlamaToken| {
            let bytes =
                if token.0 < 0 { Vec::new() } else { vocabulary.token_to_piece(token, true, None) };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let ends = (shown(vocabulary.bos()), shown(vocabulary.eos()));
        Self::new(template, ends, Quote::of(model)?)
    }

    fn new(template: String, (begin, end): (String, String), quote: Quote) -> Result<Self, String> {
        let style = Style::of(&template);
        let thinks = template.contains("<think>") || template.contains("enable_thinking");
        let mut jinja = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        jinja.set_syntax(syntax.map_err(|error| error.to_string())?);
        jinja.set_fuel(Some(FUEL));
        jinja.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        jinja.add_function("raise_exception", |message: String| -> Result<JinjaValue, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        jinja.add_filter("tojson", to_json);
        jinja
            .add_template_owned(NAME, template)
            .map_err(|error| format!("its chat template cannot be read: {error}"))?;
        Ok(Self { jinja, style, thinks, begin, end, quote })
    }

    /// How it wants tools called; none when it knows no tools.
    pub(super) const fn style(&self) -> Option<Style> {
        self.style
    }

    /// Whether it marks what it thinks.
    pub(super) const fn thinks(&self) -> bool {
        self.thinks
    }

    /// The text that the model goes on from. Marks in what is said are quoted.
    pub(super) fn render(
        &self,
        messages: &[Message],
        tools: &[Tool],
        thinking: Thinking,
    ) -> Result<String, EngineError> {
        let refuse = |error: Error| {
            let problem = format!("the model's chat template does not accept them: {error}");
            EngineError::refused("messages", problem)
        };
        let quoted = |value| self.quote.value(value);
        let messages: Vec<Value> = messages.iter().map(message).map(quoted).collect();
        let tools: Option<Vec<Value>> =
            (!tools.is_empty()).then(|| tools.iter().map(tool).map(quoted).collect());
        let thinking = match thinking {
            Thinking::ModelsChoice => JinjaValue::UNDEFINED,
            Thinking::On => JinjaValue::from(true),
            Thinking::Off => JinjaValue::from(false),
        };
        let template = self.jinja.get_template(NAME).map_err(refuse)?;
        template
            .render(context! {
                messages => Serde(messages),
                tools => Serde(tools),
                add_generation_prompt => true,
                enable_thinking => thinking,
                bos_token => &self.begin,
                eos_token => &self.end,
            })
            .map_err(refuse)
    }
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut value = json!({"role": role, "content": message.text});
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            // Templates write arguments as JSON themselves.
            let arguments: Value = serde_json::from_str(&call.arguments)
                .unwrap_or_else(|_| Value::String(call.arguments.clone()));
            let function = json!({"name": call.name, "arguments": arguments});
            json!({"id": call.id, "type": "function", "function": function})
        });
        value["tool_calls"] = calls.collect();
    }
    if let Some(call) = &message.answers {
        value["tool_call_id"] = Value::String(call.clone());
    }
    value
}

fn tool(tool: &Tool) -> Value {
    let function = json!({
        "name": tool.name,
        "description": tool.description.clone().unwrap_or_default(),
        "parameters": tool.parameters,
    });
    json!({"type": "function", "function": function})
}

/// JSON as templates were made for: with blanks after `,` and `:`, and nothing escaped.
fn to_json(value: &JinjaValue, options: Kwargs) -> Result<JinjaValue, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // What else is said there changes nothing here.
    let _: (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    let wrong = |error: serde_json::Error| {
        Error::new(ErrorKind::BadSerialization, "not JSON").with_source(error)
    };
    let mut bytes = Vec::new();
    match indent {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced)),
        Some(indent) => {
            let blanks = " ".repeat(indent.min(16));
            let pretty = serde_json::ser::PrettyFormatter::with_indent(blanks.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, pretty))
        }
    }
    .map_err(wrong)?;
    Ok(JinjaValue::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use oag_serve::ToolCall;

    use super::*;

    fn chat(template: &str) -> Result<Chat, String> {
        let ends = ("<s>".to_owned(), "</s>".to_owned());
        Chat::new(template.to_owned(), ends, Quote::new(std::iter::empty())?)
    }

    #[test]
    fn templates_see_what_they_were_made_for() {
        let template = "{% if tools %}{{ tools[0]['function'] | tojson }}\n{% endif %}\
            {% for m in messages %}{{ m.role.upper() }}:{{ m['content'].strip() }}\
            {% for call in m.tool_calls %}[{{ call.function.arguments.items() | list }}]{% endfor %}\
            {% if m.tool_call_id is defined %}({{ m.tool_call_id }}){% endif %}\
            {% endfor %}{% if enable_thinking is defined and not enable_thinking %}/quick{% endif %}";
        let chat = chat(template).unwrap();
        let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: r#"{"a":1}"#.into() };
        let mut asks = Message::new(Role::Assistant, "");
        asks.tool_calls.push(call);
        let mut told = Message::new(Role::Tool, "3");
        told.answers = Some("c1".to_owned());
        let tool = Tool {
            name: "f".into(),
            description: Some("a < b".into()),
            parameters: json!({"type": "object"}),
        };
        let messages = [Message::new(Role::User, " hi "), asks, told];
        let text = chat.render(&messages, &[tool], Thinking::Off).unwrap();
        assert_eq!(
            text,
            "{\"description\": \"a < b\", \"name\": \"f\", \"parameters\": {\"type\": \"object\"}}\n\
             USER:hiASSISTANT:[[('a', 1)]]TOOL:3(c1)/quick"
        );
    }

    #[test]
    fn what_a_template_refuses_is_the_callers_to_change() {
        let refuses = chat("{{ raise_exception('roles must alternate') }}").unwrap();
        let error = refuses.render(&[], &[], Thinking::ModelsChoice).unwrap_err();
        assert!(error.to_string().contains("roles must alternate"), "{error}");
        assert!(chat("{% nothing %}").is_err());
    }
}
