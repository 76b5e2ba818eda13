use oag_serve::{
    Delta, EngineError, Event, Finish, Format, Input, Message, Role, Thinking, TokenLogprob,
    ToolCallDelta, ToolChoice,
};
use serde_json::{Value, json};

use crate::world::{World, end, words};

const PATH: &str = "/v1/chat/completions";

fn asks(more: Value) -> Value {
    let mut request = json!({"model": "glm", "messages": [{"role": "user", "content": "why"}]});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

#[tokio::test]
async fn a_whole_answer_has_openais_form() {
    let world = World::new();
    world.says(words(&["Because", " so."]));
    let reply = world.post(PATH, &asks(json!({}))).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let mut answer = reply.json();
    assert!(answer["id"].take().as_str().unwrap().starts_with("chatcmpl-"));
    assert!(answer["created"].take().as_i64().unwrap() > 1_700_000_000);
    let wanted = json!({
        "id": null, "created": null, "object": "chat.completion", "model": "glm",
        "system_fingerprint": null,
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": "Because so.", "refusal": null},
        }],
        "usage": {
            "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    });
    assert_eq!(answer, wanted);
    assert!(reply.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn everything_that_is_asked_reaches_the_engine() {
    let world = World::new();
    let schema = json!({"type": "object"});
    let tool = json!({"type": "function", "function": {"name": "stock", "parameters": schema}});
    let request = json!({
        "model": "glm",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "be "},
                                              {"type": "text", "text": "brief"}]},
            {"role": "user", "content": "库存？", "name": "li"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
        ],
        "tools": [tool], "tool_choice": {"type": "function", "function": {"name": "stock"}},
        "max_completion_tokens": 5, "temperature": 0.5, "top_p": 0.25, "seed": -1, "stop": "END",
        "presence_penalty": 0.5, "frequency_penalty": -0.5, "logprobs": true, "top_logprobs": 2,
        "reasoning_effort": "none", "user": "u", "metadata": {"a": "b"}, "store": false,
        "response_format": {"type": "json_schema",
                            "json_schema": {"name": "s", "schema": schema, "strict": true}},
    });
    let reply = world.post(PATH, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let asked = world.asked();
    let Input::Chat { messages, tools, tool_choice } = &asked.input else { unreachable!() };
    let said: Vec<(Role, &str)> = messages.iter().map(|m| (m.role, m.text.as_str())).collect();
    let wanted = [
        (Role::System, "be brief"),
        (Role::User, "库存？"),
        (Role::Assistant, ""),
        (Role::Tool, "3"),
    ];
    assert_eq!(said, wanted);
    let Message { tool_calls, .. } = &messages[2];
    assert_eq!((tool_calls[0].id.as_str(), tool_calls[0].name.as_str()), ("c1", "stock"));
    assert_eq!(messages[3].answers.as_deref(), Some("c1"));
    assert_eq!((tools[0].name.as_str(), &tools[0].parameters), ("stock", &schema));
    assert_eq!(*tool_choice, ToolChoice::Named("stock".to_owned()));
    assert_eq!((asked.limits.tokens_max, asked.limits.stop), (Some(5), vec!["END".to_owned()]));
    let sampling = asked.sampling;
    assert_eq!((sampling.temperature, sampling.top_p), (Some(0.5), Some(0.25)));
    assert_eq!((sampling.seed, asked.logprobs), (Some(u64::MAX), Some(2)));
    assert_eq!(asked.thinking, Thinking::Off);
    assert_eq!(asked.format, Format::Schema { name: "s".to_owned(), schema });
    assert_eq!(asked.context.user.as_deref(), Some("usr_1"));
    assert_eq!(asked.context.request, reply.header("x-request-id"));
}

#[tokio::test]
async fn a_stream_has_a_role_parts_an_end_and_the_usage_only_when_asked() {
    let world = World::new();
    for include in [false, true] {
        world.says(words(&["Be", "cause"]));
        let mut request = asks(json!({"stream": true}));
        if include {
            request["stream_options"] = json!({"include_usage": true});
        }
        let reply = world.post(PATH, &request).await;
        let (events, whole) = reply.events();
        assert!(whole);
        let deltas: Vec<&Value> = events.iter().map(|e| &e["choices"][0]["delta"]).collect();
        let said = [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "Be"}),
            json!({"content": "cause"}),
            json!({}),
        ];
        assert_eq!(deltas[..4], said.iter().collect::<Vec<_>>());
        assert_eq!(events[3]["choices"][0]["finish_reason"], "stop");
        let same = |event: &Value| event["id"] == events[0]["id"];
        assert!(events.iter().all(same) && events[0]["object"] == "chat.completion.chunk");
        if include {
            assert!(events[..4].iter().all(|event| event.get("usage") == Some(&Value::Null)));
            assert_eq!((&events[4]["choices"], events.len()), (&json!([]), 5));
            assert_eq!(events[4]["usage"]["total_tokens"], 9);
        } else {
            assert!(events.iter().all(|event| event.get("usage").is_none()) && events.len() == 4);
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_and_is_not_done() {
    let world = World::new();
    let broken = EngineError::BrokeOff("the worker was lost".to_owned());
    world.says(vec![Ok(Event::Delta(Delta::text("Be"))), Err(broken)]);
    world.says(vec![Ok(Event::Delta(Delta::text("Be")))]);
    for _ in 0..2 {
        let (events, whole) = world.post(PATH, &asks(json!({"stream": true}))).await.events();
        assert!(!whole && events.len() == 3, "{events:?}");
        assert_eq!(events[2]["error"]["type"], "server_error");
        assert!(events[2]["error"]["message"].as_str().unwrap().contains("broke off"));
    }
    // Whoever waits for the whole hears it by the status.
    world.says(vec![Ok(Event::Delta(Delta::text("Be")))]);
    let reply = world.post(PATH, &asks(json!({}))).await;
    assert_eq!((reply.status, &reply.json()["choices"]), (503, &Value::Null));
}

fn call(index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> Event {
    let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
    let call = ToolCallDelta { index, id, name, arguments: arguments.to_owned() };
    Event::Delta(Delta { tool_calls: vec![call], ..Delta::default() })
}

#[tokio::test]
async fn calls_and_thoughts_are_told_apart_from_text() {
    let world = World::new();
    let thought = Delta { reasoning: "hm".to_owned(), ..Delta::default() };
    let script = || {
        vec![
            Ok(Event::Delta(thought.clone())),
            Ok(call(0, Some("c1"), Some("stock"), "{\"id\":")),
            Ok(call(0, None, None, "1}")),
            Ok(end(Finish::ToolCalls, 4)),
        ]
    };
    let tools = json!([{"type": "function", "function": {"name": "stock"}}]);
    world.says(script());
    let answer = world.post(PATH, &asks(json!({"tools": tools}))).await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let wanted = json!({
        "role": "assistant", "content": null, "refusal": null, "reasoning_content": "hm",
        "tool_calls": [{"id": "c1", "type": "function",
                        "function": {"name": "stock", "arguments": "{\"id\":1}"}}],
    });
    assert_eq!(choice["message"], wanted);

    world.says(script());
    let request = asks(json!({"tools": tools, "stream": true}));
    let (events, _) = world.post(PATH, &request).await.events();
    let delta = |at: usize| &events[at]["choices"][0]["delta"];
    assert_eq!(delta(1), &json!({"reasoning_content": "hm"}));
    let first = json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                       "function": {"name": "stock", "arguments": "{\"id\":"}}]});
    assert_eq!(delta(2), &first);
    assert_eq!(delta(3), &json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}));
}

#[tokio::test]
async fn several_answers_and_their_probabilities() {
    let world = World::new();
    let logprob =
        TokenLogprob {
            token: "好".to_owned(), logprob: -0.5, top: vec![("好".to_owned(), -0.5)]
        };
    let said = Delta { text: "好".to_owned(), logprobs: vec![logprob], ..Delta::default() };
    for _ in 0..4 {
        world.says(vec![Ok(Event::Delta(said.clone())), Ok(end(Finish::Length, 1))]);
    }
    let more = json!({"n": 2, "seed": 5, "logprobs": true, "top_logprobs": 1});
    let answer = world.post(PATH, &asks(more.clone())).await.json();
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!((choices.len(), &choices[1]["index"]), (2, &json!(1)));
    let token = json!({"token": "好", "logprob": -0.5, "bytes": [229, 165, 189]});
    let mut shown = token.clone();
    shown["top_logprobs"] = json!([token]);
    assert_eq!(choices[0]["logprobs"], json!({"content": [shown], "refusal": null}));
    // The prompt is read once.
    assert_eq!(
        (&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]),
        (&json!(7), &json!(2))
    );
    let seeds: Vec<_> =
        world.engine.asked.lock().unwrap().iter().map(|asked| asked.sampling.seed).collect();
    assert_eq!(seeds, [Some(5), Some(6)]);

    let mut request = asks(more);
    request["stream"] = json!(true);
    let (events, whole) = world.post(PATH, &request).await.events();
    let ends = events.iter().filter(|event| event["choices"][0]["finish_reason"] == "length");
    assert_eq!((ends.count(), whole), (2, true));
}
