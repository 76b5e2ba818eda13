//! A request in an upstream's words.

use oag_serve::{
    EngineError, Format, Generation, Input, Message, Role, Sampling, Thinking, Tool, ToolChoice,
};
use serde_json::{Map, Value, json};

use super::{Dialect, UpstreamModel};

/// Where a request goes and what it says.
///
/// # Errors
/// `Refused` for what the upstream cannot do; nothing is left out in silence.
pub(super) fn body(
    dialect: Dialect,
    model: &UpstreamModel,
    asked: &Generation,
) -> Result<(&'static str, Value), EngineError> {
    if !asked.resume.is_empty() {
        return Err(EngineError::refused(
            "resume",
            "an upstream cannot go on with another's answer",
        ));
    }
    let mut body = Map::new();
    body.insert("model".into(), json!(model.upstream_name()));
    body.insert("stream".into(), json!(true));
    let path = match &asked.input {
        Input::Text(_) if !model.completes => {
            let problem =
                format!("{:?} does not continue plain text, only conversations", model.name);
            return Err(EngineError::refused("prompt", problem));
        }
        Input::Text(text) => {
            body.insert("prompt".into(), json!(text));
            "/completions"
        }
        Input::Chat { messages, tools, tool_choice } => {
            let messages: Vec<Value> = messages.iter().map(message).collect();
            body.insert("messages".into(), messages.into());
            add_tools(dialect, &mut body, tools, tool_choice)?;
            "/chat/completions"
        }
    };
    if let Some(most) = asked.limits.tokens_max {
        body.insert("max_tokens".into(), json!(most));
    }
    if !asked.limits.stop.is_empty() {
        body.insert("stop".into(), json!(asked.limits.stop));
    }
    match dialect {
        Dialect::OpenAi => openai(&mut body, asked),
        Dialect::Zhipu => zhipu(&mut body, asked)?,
    }
    Ok((path, Value::Object(body)))
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut value = json!({"role": role, "content": message.text});
    let Some(fields) = value.as_object_mut() else { return value };
    if !message.tool_calls.is_empty() {
        let call = |call: &oag_serve::ToolCall| {
            json!({"id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments}})
        };
        fields.insert("tool_calls".into(), message.tool_calls.iter().map(call).collect());
        if message.text.is_empty() {
            fields.insert("content".into(), Value::Null);
        }
    }
    if let Some(answers) = &message.answers {
        fields.insert("tool_call_id".into(), json!(answers));
    }
    value
}

fn add_tools(
    dialect: Dialect,
    body: &mut Map<String, Value>,
    tools: &[Tool],
    choice: &ToolChoice,
) -> Result<(), EngineError> {
    let forced = matches!(choice, ToolChoice::Required | ToolChoice::Named(_));
    if dialect == Dialect::Zhipu && forced {
        let problem = "this upstream lets the model choose; a call cannot be required".to_owned();
        return Err(EngineError::refused("tool_choice", problem));
    }
    // Where a model is to call none, it is shown none: not every upstream knows `none`.
    if tools.is_empty() || *choice == ToolChoice::Never {
        return Ok(());
    }
    let tool = |tool: &Tool| {
        json!({"type": "function", "function": {"name": tool.name,
            "description": tool.description, "parameters": tool.parameters}})
    };
    body.insert("tools".into(), tools.iter().map(tool).collect());
    let choice = match choice {
        ToolChoice::Auto | ToolChoice::Never => json!("auto"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    };
    body.insert("tool_choice".into(), choice);
    Ok(())
}

fn openai(body: &mut Map<String, Value>, asked: &Generation) {
    body.insert("stream_options".into(), json!({"include_usage": true}));
    let Sampling { temperature, top_p, top_k, seed, presence_penalty, frequency_penalty } =
        asked.sampling;
    add(body, "temperature", temperature.map(number));
    add(body, "top_p", top_p.map(number));
    add(body, "top_k", top_k.map(Value::from));
    add(body, "seed", seed.map(Value::from));
    add(body, "presence_penalty", presence_penalty.map(number));
    add(body, "frequency_penalty", frequency_penalty.map(number));
    add(body, "user", asked.context.user.clone().map(Value::from));
    match &asked.format {
        Format::Text => {}
        Format::Json => add(body, "response_format", Some(json!({"type": "json_object"}))),
        Format::Schema { name, schema } => {
            let schema = json!({"name": name, "schema": schema, "strict": true});
            add(
                body,
                "response_format",
                Some(json!({"type": "json_schema", "json_schema": schema})),
            );
        }
    }
    if let Some(top) = asked.logprobs {
        match asked.input {
            Input::Text(_) => add(body, "logprobs", Some(top.into())),
            Input::Chat { .. } => {
                add(body, "logprobs", Some(true.into()));
                add(body, "top_logprobs", Some(top.into()));
            }
        }
    }
    // Where vLLM and SGLang keep the switch of models that think.
    let enable = match asked.thinking {
        Thinking::ModelsChoice => return,
        Thinking::On => true,
        Thinking::Off => false,
    };
    add(body, "chat_template_kwargs", Some(json!({"enable_thinking": enable})));
}

fn zhipu(body: &mut Map<String, Value>, asked: &Generation) -> Result<(), EngineError> {
    let refused = |field, what: &str| {
        let problem = format!("this upstream knows no {what}");
        Err(EngineError::refused(field, problem))
    };
    let sampling = &asked.sampling;
    if sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0) {
        return refused("presence_penalty", "penalties");
    }
    if sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0) {
        return refused("frequency_penalty", "penalties");
    }
    if sampling.top_k.is_some() {
        return refused("top_k", "limit to the likeliest tokens");
    }
    if sampling.seed.is_some() {
        return refused("seed", "seeds");
    }
    if asked.logprobs.is_some() {
        return refused("logprobs", "probabilities of tokens");
    }
    match &asked.format {
        Format::Text => {}
        Format::Json => add(body, "response_format", Some(json!({"type": "json_object"}))),
        Format::Schema { .. } => return refused("response_format", "schemas, only `json_object`"),
    }
    match sampling.temperature {
        // It takes temperatures above 0 only; greedy decoding has a switch of its own.
        Some(0.0) => add(body, "do_sample", Some(false.into())),
        temperature => add(body, "temperature", temperature.map(number)),
    }
    add(body, "top_p", sampling.top_p.map(number));
    add(body, "request_id", Some(asked.context.request.clone().into()));
    add(body, "user_id", asked.context.user.clone().map(Value::from));
    let thinking = match asked.thinking {
        Thinking::ModelsChoice => None,
        Thinking::On => Some(json!({"type": "enabled"})),
        Thinking::Off => Some(json!({"type": "disabled"})),
    };
    add(body, "thinking", thinking);
    Ok(())
}

fn add(body: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value);
    }
}

/// A number as it was given: 0.7, not the next double to the nearest single.
fn number(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
