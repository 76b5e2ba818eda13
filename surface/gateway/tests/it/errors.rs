use std::time::Duration;

use oag_serve::EngineError;
use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn callers_who_are_not_let_in_hear_why() {
    let world = World::new();
    let body = r#"{"model": "glm", "messages": []}"#;
    for (key, status, code) in [
        ("Bearer bad", 401, "invalid_api_key"),
        ("Bearer poor", 403, "permission_denied"),
        ("Bearer fast", 429, "rate_limit_exceeded"),
    ] {
        let reply = world.send("POST", PATH, &[("authorization", key)], body.to_owned()).await;
        assert_eq!(reply.error(status)["code"], code);
        assert!(!reply.header("x-request-id").is_empty());
        let retry = if status == 429 { "9" } else { "" };
        assert_eq!(reply.header("retry-after"), retry);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let world = World::new();
    let said = json!([{"role": "user", "content": "why"}]);
    let with = |more: Value| {
        let mut request = json!({"model": "glm", "messages": said});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let only = |messages: Value| json!({"model": "glm", "messages": messages});
    for (request, param, code) in [
        (with(json!({"colour": 1})), "colour", "unknown_parameter"),
        (with(json!({"n": 0})), "n", "invalid_value"),
        (with(json!({"n": 9})), "n", "invalid_value"),
        (with(json!({"temperature": 3})), "temperature", "invalid_value"),
        (with(json!({"temperature": "hot"})), "temperature", "invalid_value"),
        (with(json!({"max_tokens": 0})), "max_tokens", "invalid_value"),
        (with(json!({"max_tokens": -1})), "max_tokens", "invalid_value"),
        (with(json!({"top_logprobs": 3})), "top_logprobs", "invalid_value"),
        (with(json!({"stop": [""]})), "stop", "invalid_value"),
        (with(json!({"logit_bias": {"5": 1}})), "logit_bias", "unsupported_parameter"),
        (with(json!({"functions": []})), "functions", "unsupported_parameter"),
        (with(json!({"modalities": ["audio"]})), "modalities", "unsupported_parameter"),
        (with(json!({"stream_options": {}})), "stream_options", "invalid_value"),
        (with(json!({"tool_choice": "required"})), "tool_choice", "invalid_value"),
        (with(json!({"tool_choice": "maybe"})), "tool_choice", "invalid_value"),
        (with(json!({"tools": [{"type": "web"}]})), "tools[0].type", "invalid_value"),
        (
            with(json!({"response_format": {"type": "xml"}})),
            "response_format.type",
            "invalid_value",
        ),
        (json!({"model": "glm"}), "messages", "invalid_value"),
        (json!({"messages": []}), "model", "invalid_value"),
        (only(json!([])), "messages", "invalid_value"),
        (only(json!([{"role": "king", "content": "x"}])), "messages[0].role", "invalid_value"),
        (only(json!([{"role": "user"}])), "messages[0].content", "invalid_value"),
        (
            only(json!([{"role": "tool", "content": "x"}])),
            "messages[0].tool_call_id",
            "invalid_value",
        ),
        (
            only(json!([{"role": "user", "content": [{"type": "image_url"}]}])),
            "messages[0].content[0]",
            "invalid_value",
        ),
    ] {
        let reply = world.post(PATH, &request).await;
        let error = reply.error(400);
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{request}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert!(world.engine.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let world = World::new();
    let key = [("authorization", "Bearer good")];
    let send = async |body: String| world.send("POST", PATH, &key, body).await;
    let error = send("{\"model\": ".to_owned()).await.error(400);
    assert!(error["message"].as_str().unwrap().starts_with("We could not parse the JSON body"));
    send("[".repeat(5_000)).await.error(400);
    send(" ".repeat(10_001)).await.error(413);
    let stated = [key[0], ("content-length", "10001")];
    world.send("POST", PATH, &stated, String::new()).await.error(413);
    let packed = [key[0], ("content-encoding", "br")];
    world.send("POST", PATH, &packed, "x".to_owned()).await.error(415);
}

#[tokio::test]
async fn what_is_not_there() {
    let world = World::new();
    let error = world.get("/v1/nothing").await.error(404);
    assert_eq!(error["code"], "unknown_url");
    let reply = world.get(PATH).await;
    reply.error(405);
    assert!(reply.header("allow").contains("POST"));
    let request = json!({"model": "other", "messages": [{"role": "user", "content": "x"}]});
    let error = world.post(PATH, &request).await.error(404);
    assert_eq!(error["code"], "model_not_found");
}

#[tokio::test]
async fn what_goes_wrong_behind_it_has_its_status() {
    let world = World::new();
    let request = json!({"model": "glm", "messages": [{"role": "user", "content": "x"}]});
    let late = || EngineError::Overloaded { retry_after: Duration::from_millis(2_100) };
    for (error, status) in [
        (late(), 503),
        (EngineError::refused("schema", "no"), 400),
        (EngineError::Unavailable("gone".to_owned()), 503),
        (EngineError::NotAccepted("key".to_owned()), 502),
        (EngineError::Late, 504),
        (EngineError::Filtered("no".to_owned()), 400),
    ] {
        world.refuses(error);
        let reply = world.post(PATH, &request).await;
        reply.error(status);
        assert_eq!(!reply.header("retry-after").is_empty(), status == 503);
    }
    world.refuses(EngineError::refused("input", "too long"));
    let text = json!({"model": "glm", "prompt": "x"});
    assert_eq!(world.post("/v1/completions", &text).await.error(400)["param"], "prompt");
    world.refuses(EngineError::refused("input", "too long"));
    assert_eq!(world.post(PATH, &request).await.error(400)["param"], "messages");
    world.refuses(late());
    assert_eq!(world.post(PATH, &request).await.header("retry-after"), "3");
}
