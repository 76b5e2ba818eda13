use oag_serve::{
    Delta, EngineError, Event, Finish, Format, Input, Role, Thinking, ToolCallDelta, ToolChoice,
};
use serde_json::{Value, json};

use crate::world::{Reply, Script, World, end, words};

const PATH: &str = "/v1/messages";

fn asks(more: Value) -> Value {
    let mut request = json!({
        "model": "glm", "max_tokens": 9, "messages": [{"role": "user", "content": "why"}],
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// The events of a stream: each has its own name inside.
fn events(reply: &Reply) -> Vec<Value> {
    let events = reply.body.split("\n\n").filter(|event| !event.is_empty()).map(|event| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let document: Value = serde_json::from_str(data).unwrap();
        assert_eq!(document["type"], name);
        document
    });
    events.collect()
}

/// A thought, a word and a call.
fn everything() -> Script {
    let call = |id: Option<&str>, arguments: &str| {
        let (id, name) = (id.map(str::to_owned), id.map(|_| "stock".to_owned()));
        let call = ToolCallDelta { index: 0, id, name, arguments: arguments.to_owned() };
        Ok(Event::Delta(Delta { tool_calls: vec![call], ..Delta::default() }))
    };
    let thought = Delta { reasoning: "hm".to_owned(), ..Delta::default() };
    vec![
        Ok(Event::Delta(thought)),
        Ok(Event::Delta(Delta::text("Be"))),
        Ok(Event::Delta(Delta::text("cause"))),
        call(Some("c1"), "{\"id\":"),
        call(None, "1}"),
        Ok(end(Finish::ToolCalls, 4)),
    ]
}

#[tokio::test]
async fn a_whole_answer_has_anthropics_form() {
    let world = World::new();
    world.says(everything());
    let key = [("x-api-key", "good")];
    let request = asks(json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}));
    let reply = world.send("POST", PATH, &key, request.to_string()).await;
    let mut answer = reply.json();
    assert!(answer["id"].take().as_str().unwrap().starts_with("msg_"));
    let wanted = json!({
        "id": null, "type": "message", "role": "assistant", "model": "glm",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "Because"},
            {"type": "tool_use", "id": "c1", "name": "stock", "input": {"id": 1}},
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 4,
                  "cache_creation_input_tokens": 0},
    });
    assert_eq!(answer, wanted);
    assert!(reply.header("request-id").starts_with("req_"));
    assert_eq!(world.asked().thinking, Thinking::On);
}

#[tokio::test]
async fn everything_that_is_asked_reaches_the_engine() {
    let world = World::new();
    let request = asks(json!({
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "库存？"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "text", "text": "I look"},
                {"type": "tool_use", "id": "c1", "name": "stock", "input": {"id": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "3"}]},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": true},
                {"type": "text", "text": "and?"}]},
        ],
        "tools": [{"name": "stock", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "stock"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"a": 1}}},
        "temperature": 0.5, "top_k": 3, "stop_sequences": ["END"], "metadata": {"user_id": "u"},
    }));
    let reply = world.post(PATH, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let asked = world.asked();
    let Input::Chat { messages, tools, tool_choice } = &asked.input else { unreachable!() };
    let said: Vec<(Role, &str, Option<&str>)> =
        messages.iter().map(|m| (m.role, m.text.as_str(), m.answers.as_deref())).collect();
    let wanted = [
        (Role::System, "be brief", None),
        (Role::User, "库存？", None),
        (Role::Assistant, "I look", None),
        (Role::Tool, "3", Some("c1")),
        (Role::Tool, "error: no", Some("c2")),
        (Role::User, "and?", None),
    ];
    assert_eq!(said, wanted);
    assert_eq!(messages[2].tool_calls[0].arguments, "{\"id\":1}");
    assert_eq!((tools.len(), tool_choice), (1, &ToolChoice::Named("stock".to_owned())));
    assert_eq!(
        (asked.limits.tokens_max, &asked.limits.stop[..]),
        (Some(9), &["END".to_owned()][..])
    );
    let format = Format::Schema { name: "answer".to_owned(), schema: json!({"a": 1}) };
    assert_eq!(asked.format, format);
    assert_eq!((asked.sampling.temperature, asked.sampling.top_k), (Some(0.5), Some(3)));
}

#[tokio::test]
async fn a_stream_has_its_blocks_one_after_the_other() {
    let world = World::new();
    world.says(everything());
    let request = asks(json!({"stream": true, "thinking": {"type": "adaptive"}}));
    let reply = world.post(PATH, &request).await;
    let all = events(&reply);
    let lines: Vec<String> = all
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().unwrap();
            let block = event["content_block"]["type"].as_str().unwrap_or_default();
            let delta = event["delta"]["type"].as_str().unwrap_or_default();
            format!("{kind} {} {block}{delta}", event["index"])
                .replace("null ", "")
                .trim()
                .to_owned()
        })
        .collect();
    let wanted = [
        "message_start",
        "ping",
        "content_block_start 0 thinking",
        "content_block_delta 0 thinking_delta",
        "content_block_stop 0",
        "content_block_start 1 text",
        "content_block_delta 1 text_delta",
        "content_block_delta 1 text_delta",
        "content_block_stop 1",
        "content_block_start 2 tool_use",
        "content_block_delta 2 input_json_delta",
        "content_block_delta 2 input_json_delta",
        "content_block_stop 2",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(lines, wanted);
    let last = &all[13];
    assert_eq!(last["delta"], json!({"stop_reason": "tool_use", "stop_sequence": null}));
    assert_eq!(last["usage"]["output_tokens"], 4);

    // Thoughts that were not asked for are not shown.
    world.says(everything());
    let all = events(&world.post(PATH, &asks(json!({"stream": true}))).await);
    assert_eq!(all[2]["content_block"]["type"], "text");
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_and_does_not_stop() {
    let world = World::new();
    let broken = EngineError::BrokeOff("the worker was lost".to_owned());
    world.says(vec![Ok(Event::Delta(Delta::text("Be"))), Err(broken)]);
    let all = events(&world.post(PATH, &asks(json!({"stream": true}))).await);
    let last = all.last().unwrap();
    assert_eq!(
        (&last["type"], &last["error"]["type"]),
        (&json!("error"), &json!("overloaded_error"))
    );
}

#[tokio::test]
async fn errors_have_anthropics_form() {
    let world = World::new();
    let error = |reply: &Reply, status: u16| {
        assert_eq!(reply.status, status, "{}", reply.body);
        let mut document = reply.json();
        assert_eq!(document["type"], "error");
        document["error"].take()
    };
    let reply = world.send("POST", PATH, &[("x-api-key", "bad")], "{}".to_owned()).await;
    assert_eq!(error(&reply, 401)["type"], "authentication_error");
    let reply = world.send("POST", PATH, &[("x-api-key", "fast")], "{}".to_owned()).await;
    assert_eq!(error(&reply, 429)["type"], "rate_limit_error");
    assert_eq!(reply.header("retry-after"), "9");
    let reply = world.post(PATH, &asks(json!({"model": "other"}))).await;
    assert_eq!(error(&reply, 404)["type"], "not_found_error");
    for (request, named) in [
        (asks(json!({"max_tokens": 0})), "max_tokens"),
        (asks(json!({"colour": 1})), "colour"),
        (asks(json!({"temperature": 1.5})), "temperature"),
        (asks(json!({"messages": []})), "messages"),
        (asks(json!({"messages": [{"role": "king", "content": "x"}]})), "messages.0.role"),
        (asks(json!({"messages": [{"role": "assistant", "content": "x"}]})), "messages.0"),
        (
            asks(json!({"messages": [{"role": "user", "content": [{"type": "image"}]}]})),
            "messages.0.content.0",
        ),
        (asks(json!({"tool_choice": {"type": "any"}})), "tool_choice"),
        (asks(json!({"tools": [{"type": "web_search", "name": "w"}]})), "tools.0.type"),
        (json!({"model": "glm", "messages": []}), "max_tokens"),
    ] {
        let error = error(&world.post(PATH, &request).await, 400);
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
    }
    assert!(world.engine.asked.lock().unwrap().is_empty());
    world.says(words(&[]));
    assert_eq!(world.post(PATH, &asks(json!({}))).await.status, 200);
}
