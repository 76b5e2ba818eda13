use oag_serve::{
    Delta, EngineError, Event, Finish, Format, Input, Role, Thinking, ToolCallDelta, ToolChoice,
};
use serde_json::{Value, json};

use crate::world::{Reply, Script, World, end, words};

const PATH: &str = "/v1/responses";

fn events(reply: &Reply) -> Vec<Value> {
    let events = reply.body.split("\n\n").filter(|event| !event.is_empty()).map(|event| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let document: Value = serde_json::from_str(data).unwrap();
        assert_eq!(document["type"], name);
        document
    });
    let events: Vec<Value> = events.collect();
    let numbers: Vec<u64> =
        events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    events
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
async fn a_whole_answer_has_its_items_and_what_was_asked() {
    let world = World::new();
    world.says(everything());
    let tool = json!({"type": "function", "name": "stock", "parameters": {"type": "object"},
                      "strict": true});
    let request = json!({"model": "glm", "input": "why", "instructions": "be brief",
                         "tools": [tool], "store": true, "max_output_tokens": 9});
    let reply = world.post(PATH, &request).await;
    let answer = reply.json();
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    assert!(answer["id"].as_str().unwrap().starts_with("resp_"));
    let kinds: Vec<&Value> =
        answer["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(answer["output"][1]["content"][0]["text"], "Because");
    let call = &answer["output"][2];
    assert_eq!((&call["call_id"], &call["arguments"]), (&json!("c1"), &json!("{\"id\":1}")));
    let usage = json!({"input_tokens": 7, "input_tokens_details": {"cached_tokens": 4},
                       "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 0},
                       "total_tokens": 11});
    assert_eq!(answer["usage"], usage);
    assert_eq!(
        (&answer["instructions"], &answer["max_output_tokens"]),
        (&json!("be brief"), &json!(9))
    );
    assert_eq!((&answer["tools"][0]["name"], &answer["store"]), (&json!("stock"), &json!(false)));
}

#[tokio::test]
async fn everything_that_is_asked_reaches_the_engine() {
    let world = World::new();
    let request = json!({
        "model": "glm",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "库存？"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look"}]},
            {"type": "function_call", "call_id": "c1", "name": "stock", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "3"},
            {"role": "developer", "content": "short"},
        ],
        "tools": [{"type": "function", "name": "stock"}],
        "tool_choice": {"type": "function", "name": "stock"},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {"a": 1}, "strict": true}},
        "reasoning": {"effort": "none"}, "temperature": 0.5, "max_output_tokens": 3,
    });
    let reply = world.post(PATH, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let asked = world.asked();
    let Input::Chat { messages, tool_choice, .. } = &asked.input else { unreachable!() };
    let said: Vec<(Role, &str, usize)> =
        messages.iter().map(|m| (m.role, m.text.as_str(), m.tool_calls.len())).collect();
    let wanted = [
        (Role::User, "库存？", 0),
        (Role::Assistant, "I look", 1),
        (Role::Tool, "3", 0),
        (Role::System, "short", 0),
    ];
    assert_eq!(said, wanted);
    assert_eq!(*tool_choice, ToolChoice::Named("stock".to_owned()));
    assert_eq!(asked.format, Format::Schema { name: "s".to_owned(), schema: json!({"a": 1}) });
    assert_eq!((asked.thinking, asked.limits.tokens_max), (Thinking::Off, Some(3)));
}

#[tokio::test]
async fn a_stream_has_its_items_one_after_the_other() {
    let world = World::new();
    world.says(everything());
    let request = json!({"model": "glm", "input": "why", "stream": true});
    let all = events(&world.post(PATH, &request).await);
    let lines: Vec<String> = all
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().unwrap().strip_prefix("response.").unwrap();
            format!("{kind} {}", event["output_index"]).replace(" null", "")
        })
        .collect();
    let wanted = [
        "created",
        "in_progress",
        "output_item.added 0",
        "reasoning_text.delta 0",
        "reasoning_text.done 0",
        "output_item.done 0",
        "output_item.added 1",
        "content_part.added 1",
        "output_text.delta 1",
        "output_text.delta 1",
        "output_text.done 1",
        "content_part.done 1",
        "output_item.done 1",
        "output_item.added 2",
        "function_call_arguments.delta 2",
        "function_call_arguments.delta 2",
        "function_call_arguments.done 2",
        "output_item.done 2",
        "completed",
    ];
    assert_eq!(lines, wanted);
    let last = &all.last().unwrap()["response"];
    assert_eq!(last["output"].as_array().unwrap().len(), 3);
    assert_eq!(last["output"][1]["content"][0]["text"], "Because");
    assert_eq!(
        (&last["status"], &last["usage"]["total_tokens"]),
        (&json!("completed"), &json!(11))
    );

    // What is cut off by its limit is not complete; what breaks is not over.
    let mut cut = words(&["Be"]);
    cut[1] = Ok(end(Finish::Length, 1));
    world.says(cut);
    let all = events(&world.post(PATH, &request).await);
    let last = all.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    let broken = EngineError::BrokeOff("the worker was lost".to_owned());
    world.says(vec![Ok(Event::Delta(Delta::text("Be"))), Err(broken)]);
    let all = events(&world.post(PATH, &request).await);
    assert_eq!(all.last().unwrap()["type"], "error");
}

#[tokio::test]
async fn what_is_not_done_is_refused_by_name() {
    let world = World::new();
    let with = |more: Value| {
        let mut request = json!({"model": "glm", "input": "why"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    for (request, param) in [
        (with(json!({"previous_response_id": "resp_1"})), "previous_response_id"),
        (with(json!({"background": true})), "background"),
        (with(json!({"truncation": "auto"})), "truncation"),
        (with(json!({"tools": [{"type": "web_search"}]})), "tools[0].type"),
        (with(json!({"tool_choice": "required"})), "tool_choice"),
        (with(json!({"max_output_tokens": 0})), "max_output_tokens"),
        (with(json!({"input": []})), "input"),
        (with(json!({"input": [{"type": "item_reference", "id": "x"}]})), "input[0]"),
        (with(json!({"input": [{"type": "function_call_output"}]})), "input[0].call_id"),
        (with(json!({"input": [{"role": "king", "content": "x"}]})), "input[0].role"),
        (with(json!({"colour": 1})), "colour"),
        (json!({"model": "glm"}), "input"),
    ] {
        let error = world.post(PATH, &request).await.error(400);
        assert_eq!(error["param"], param, "{request}");
    }
    assert!(world.engine.asked.lock().unwrap().is_empty());
}
