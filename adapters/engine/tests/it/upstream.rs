//! Upstreams: what is asked of them, what comes of their answers, and what of their failures.

use std::time::Duration;

use futures::StreamExt;
use oag_engine::{Dialect, Upstream, UpstreamConfig, UpstreamModel};
use oag_serve::{
    Collected, Context, Ending, Engine, EngineError, Event, Finish, Format, Generation, Input,
    Message, Role, Thinking, Tool, ToolCall, ToolChoice, Usage,
};
use oag_types::Tenant;
use serde_json::json;
use tokio::time::Instant;

use crate::server::{Script, Server};

fn asked(text: &str) -> Generation {
    let mut context = Context::new(Tenant::default_tenant(), "req-1".to_owned());
    context.user = Some("anna".to_owned());
    Generation::new("glm-4-plus", Input::question(text), context)
}

fn upstream(server: &Server, change: impl FnOnce(&mut UpstreamConfig)) -> Upstream {
    let mut config = UpstreamConfig::new("test", server.url());
    config.models = vec![UpstreamModel::new("glm-4-plus")];
    config.retry.pause_ms = 1;
    change(&mut config);
    Upstream::new(config).unwrap()
}

async fn whole(engine: &Upstream, asked: Generation) -> Result<Collected, EngineError> {
    let mut events = engine.generate(asked).await?;
    let mut all = Collected::default();
    while let Some(event) = events.next().await {
        assert!(all.ending.is_none(), "nothing comes after the end");
        all.take(event?);
    }
    Ok(all)
}

const HELLO: [&str; 5] = [
    r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
    r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"你好"},"finish_reason":null}]}"#,
    r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}]}"#,
    r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#,
    "[DONE]",
];

#[tokio::test]
async fn an_answer_comes_in_parts_and_ends_with_what_it_took() {
    let server = Server::start([Script::events(&HELLO)]).await;
    let engine = upstream(&server, |config| {
        config.key = Some("id.secret".to_owned().into());
        config.models[0].upstream = Some("zai-org/glm".to_owned());
    });
    let mut events = engine.generate(asked("hello")).await.unwrap();
    assert_eq!(engine.stats().busy, 1);
    let mut parts = Vec::new();
    while let Some(event) = events.next().await {
        parts.push(event.unwrap());
    }
    let usage = Usage { prompt: 7, answer: 2, ..Usage::default() };
    let end = Event::End(Ending { finish: Finish::Stop, usage: Some(usage) });
    let text = |text: &str| Event::Delta(oag_serve::Delta::text(text));
    assert_eq!(parts, [text("你好"), text("!"), end]);
    drop(events);
    assert_eq!((engine.stats().busy, engine.stats().answers), (0, 1));
    let asked = server.asked().remove(0);
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.authorization.as_deref(), Some("Bearer id.secret"));
    assert_eq!(asked.request_id.as_deref(), Some("req-1"));
    assert_eq!(
        asked.body,
        json!({"model": "zai-org/glm", "stream": true, "stream_options": {"include_usage": true},
            "user": "anna", "messages": [{"role": "user", "content": "hello"}]})
    );
}

#[tokio::test]
async fn what_was_thought_and_tools_are_told_apart_from_text() {
    let server = Server::start([Script::events(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"stock?"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"stock","arguments":"{\"sku\""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":\"A1\"}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ])])
    .await;
    let engine = upstream(&server, |_| ());
    let mut asked = asked("how many?");
    let call = |arguments: &str| ToolCall {
        id: "call_0".into(),
        name: "stock".into(),
        arguments: arguments.into(),
    };
    asked.input = Input::Chat {
        messages: vec![
            Message::new(Role::System, "You sell."),
            Message { tool_calls: vec![call("{}")], ..Message::new(Role::Assistant, "") },
            Message { answers: Some("call_0".into()), ..Message::new(Role::Tool, "no sku") },
        ],
        tools: vec![Tool {
            name: "stock".into(),
            description: Some("what is left".into()),
            parameters: json!({"type": "object"}),
        }],
        tool_choice: ToolChoice::Named("stock".into()),
    };
    asked.thinking = Thinking::Off;
    asked.format = Format::Schema { name: "answer".into(), schema: json!({"type": "object"}) };
    let all = whole(&engine, asked).await.unwrap();
    assert_eq!((all.text.as_str(), all.reasoning.as_str()), ("", "stock?"));
    assert_eq!(all.tool_calls, [ToolCall { id: "call_1".into(), ..call("{\"sku\":\"A1\"}") }]);
    assert_eq!(all.ending.unwrap().finish, Finish::ToolCalls);
    let body = server.asked().remove(0).body;
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "You sell."},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_0",
                "type": "function", "function": {"name": "stock", "arguments": "{}"}}]},
            {"role": "tool", "content": "no sku", "tool_call_id": "call_0"},
        ])
    );
    assert_eq!(body["tool_choice"], json!({"type": "function", "function": {"name": "stock"}}));
    assert_eq!(body["response_format"]["json_schema"]["strict"], json!(true));
    assert_eq!(body["chat_template_kwargs"], json!({"enable_thinking": false}));
}

#[tokio::test]
async fn zhipu_is_asked_in_its_own_words() {
    let server = Server::start([Script::events(&[
        r#"{"id":"20","created":1,"model":"glm-4-plus","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"想","content":""}}]}"#,
        r#"{"id":"20","created":1,"model":"glm-4-plus","choices":[{"index":0,"finish_reason":"stop","delta":{"role":"assistant","content":"好"}}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        "[DONE]",
    ])])
    .await;
    let engine = upstream(&server, |config| config.dialect = Dialect::Zhipu);
    let mut greedy = asked("在吗");
    greedy.sampling.temperature = Some(0.0);
    greedy.sampling.top_p = Some(0.7);
    greedy.limits.tokens_max = Some(64);
    greedy.thinking = Thinking::On;
    let all = whole(&engine, greedy.clone()).await.unwrap();
    assert_eq!((all.text.as_str(), all.reasoning.as_str()), ("好", "想"));
    let usage = Usage { prompt: 5, cached: 4, answer: 3, reasoning: 0 };
    assert_eq!(all.ending.unwrap().usage, Some(usage));
    assert_eq!(
        server.asked().remove(0).body,
        json!({"model": "glm-4-plus", "stream": true, "do_sample": false, "top_p": 0.7,
            "max_tokens": 64, "request_id": "req-1", "user_id": "anna",
            "thinking": {"type": "enabled"}, "messages": [{"role": "user", "content": "在吗"}]})
    );
    // What it cannot do is refused here, not dropped.
    let mut seeded = greedy.clone();
    seeded.sampling.seed = Some(1);
    let mut forced = greedy;
    if let Input::Chat { tool_choice, .. } = &mut forced.input {
        *tool_choice = ToolChoice::Required;
    }
    for (field, asked) in [("seed", seeded), ("tool_choice", forced)] {
        let error = whole(&engine, asked).await.unwrap_err();
        assert!(matches!(error, EngineError::Refused { field: told, .. } if told == field));
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_server_that_ignores_streaming_is_understood() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let server = Server::start([Script::json(200, body)]).await;
    let all = whole(&upstream(&server, |_| ()), asked("x")).await.unwrap();
    assert_eq!((all.text.as_str(), all.ending.unwrap().finish), ("whole", Finish::Length));
}

#[tokio::test]
async fn a_busy_upstream_is_asked_again_when_it_says_so_and_no_oftener_than_the_budget() {
    let busy = || Script::json(429, r#"{"error":{"message":"slow down","code":null}}"#);
    let server = Server::start([busy().header("retry-after", "0.2"), Script::events(&HELLO)]).await;
    let engine = upstream(&server, |_| ());
    let began = Instant::now();
    assert_eq!(whole(&engine, asked("x")).await.unwrap().text, "你好!");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(engine.stats().retries, 1);
    // It asks for a minute: that is for the caller to wait.
    let server = Server::start([busy().header("retry-after", "60")]).await;
    let error = whole(&upstream(&server, |_| ()), asked("x")).await.unwrap_err();
    assert_eq!(error, EngineError::Overloaded { retry_after: Duration::from_secs(60) });
    assert!(error.may_be_tried_again());
    assert_eq!(server.asked().len(), 1);
    // Down for good: 40 requests make 40 and a tenth, and what was saved up.
    let server = Server::start([Script::json(503, "")]).await;
    let engine = upstream(&server, |config| config.retry.saved_max = 2.0);
    for _ in 0..40 {
        let error = whole(&engine, asked("x")).await.unwrap_err();
        assert_eq!(error, EngineError::Unavailable("503".to_owned()));
    }
    let most = 40 + 2 + 4;
    assert!((most - 1..=most).contains(&server.asked().len()), "{}", server.asked().len());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    let part = [HELLO[1]];
    for script in [Script::events(&part), Script::events(&part).breaking()] {
        let server = Server::start([script]).await;
        let engine = upstream(&server, |_| ());
        let mut events = engine.generate(asked("x")).await.unwrap();
        assert!(matches!(events.next().await, Some(Ok(Event::Delta(_)))));
        let error = events.next().await.unwrap().unwrap_err();
        assert!(matches!(error, EngineError::BrokeOff(_)) && !error.may_be_tried_again());
        assert!(events.next().await.is_none());
        assert_eq!(server.asked().len(), 1, "what began is not done again");
    }
    // Before the first part it is as if it had never begun.
    for script in [Script::events(&[]), Script::events(&[]).breaking()] {
        let server = Server::start([script]).await;
        let error = whole(&upstream(&server, |_| ()), asked("x")).await.unwrap_err();
        assert!(matches!(error, EngineError::Unavailable(_)), "{error}");
    }
}

#[tokio::test]
async fn time_runs_out_for_silence_for_pauses_and_for_requests() {
    let slow = Script::events(&HELLO[1..]).slowly(Duration::from_secs(30));
    let server = Server::start([slow]).await;
    let engine = upstream(&server, |config| config.pause_max_ms = 100);
    let error = whole(&engine, asked("x")).await.unwrap_err();
    assert_eq!(error, EngineError::BrokeOff("nothing came for 0.1 s".to_owned()));
    let engine = upstream(&server, |_| ());
    let mut hasty = asked("x");
    hasty.context.within = Some(Duration::from_millis(100));
    assert_eq!(whole(&engine, hasty).await.unwrap_err(), EngineError::Late);
    let mut silent = Script::events(&HELLO);
    silent.parts[0].0 = Duration::from_secs(30);
    let server = Server::start([silent]).await;
    let engine = upstream(&server, |config| config.first_part_ms = 100);
    let error = whole(&engine, asked("x")).await.unwrap_err();
    assert!(matches!(error, EngineError::Unavailable(_)), "{error}");
    assert_eq!(engine.stats().busy, 0);
}

#[tokio::test]
async fn an_answer_nobody_wants_any_more_is_given_up_at_the_upstream() {
    let slow = Script::events(&HELLO[1..]).slowly(Duration::from_secs(30));
    let server = Server::start([slow]).await;
    let engine = upstream(&server, |config| config.concurrent_max = 1);
    let mut events = engine.generate(asked("x")).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(Event::Delta(_)))));
    // Its slot is taken as long as it goes on.
    let error = whole(&engine, asked("y")).await.unwrap_err();
    assert_eq!(error, EngineError::Overloaded { retry_after: Duration::from_secs(1) });
    drop(events);
    assert_eq!(engine.stats().busy, 0);
    let until = Instant::now() + Duration::from_secs(10);
    while server.dropped() == 0 {
        assert!(Instant::now() < until, "the upstream was not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn errors_name_who_can_mend_them_and_no_secret() {
    let cases = [
        (401, r#"{"error":{"code":"1002","message":"Authorization Token非法"}}"#),
        (
            400,
            r#"{"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}}"#,
        ),
        (400, r#"{"error":{"code":"1210","message":"API 调用参数有误"}}"#),
    ];
    let mut told = Vec::new();
    for (status, body) in cases {
        let server = Server::start([Script::json(status, body)]).await;
        let engine = upstream(&server, |config| {
            config.dialect = Dialect::Zhipu;
            config.key = Some("id.secret".to_owned().into());
        });
        told.push(whole(&engine, asked("x")).await.unwrap_err());
        assert_eq!(server.asked().len(), 1);
        assert!(!format!("{engine:?}{:?}", told.last()).contains("secret"));
    }
    assert!(matches!(told[0], EngineError::NotAccepted(_)));
    assert!(matches!(told[1], EngineError::Filtered(_)));
    assert!(matches!(told[2], EngineError::Refused { .. }));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = UpstreamConfig::new("gone", format!("http://{free}/v1"));
    config.models = vec![UpstreamModel::new("glm-4-plus")];
    let engine = Upstream::new(config).unwrap();
    let error = whole(&engine, asked("x")).await.unwrap_err();
    assert!(error.to_string().contains("no connection"), "{error}");
    let mut other = asked("x");
    other.model = "glm-5".to_owned();
    let error = whole(&engine, other).await.unwrap_err();
    assert!(matches!(error, EngineError::NoModelLoaded { model, .. } if model == "glm-5"));
}

#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let body = r#"{"data":[{"index":1,"embedding":[0.5]},{"index":0,"embedding":[0.25]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let server = Server::start([Script::json(200, body)]).await;
    let engine = upstream(&server, |config| config.models[0].embeds = true);
    let texts = vec!["a".to_owned(), "b".to_owned()];
    let found = engine.embed("glm-4-plus", texts).await.unwrap();
    assert_eq!(found.vectors, [[0.25], [0.5]]);
    assert_eq!(server.asked()[0].body, json!({"model": "glm-4-plus", "input": ["a", "b"]}));
    let error = upstream(&server, |_| ()).embed("glm-4-plus", vec![]).await.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }));
}

#[test]
fn settings_that_cannot_work_are_named() {
    let of = |change: fn(&mut UpstreamConfig)| {
        let mut config = UpstreamConfig::new("test", "http://127.0.0.1:1/v1");
        config.models = vec![UpstreamModel::new("m")];
        change(&mut config);
        Upstream::new(config).unwrap_err().field
    };
    assert_eq!(of(|config| config.url = "ftp://x".into()), "url");
    assert_eq!(of(|config| config.url = "nowhere".into()), "url");
    assert_eq!(of(|config| config.models.clear()), "models");
    assert_eq!(of(|config| config.models.push(UpstreamModel::new("m"))), "models");
    assert_eq!(of(|config| config.first_part_ms = 0), "first_part_ms");
    assert_eq!(of(|config| config.concurrent_max = 0), "concurrent_max");
    assert_eq!(of(|config| config.retry.share = f64::NAN), "retry.share");
    assert_eq!(of(|config| config.key = Some("a\nb".to_owned().into())), "key");
}
