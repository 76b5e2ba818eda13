//! A gateway over an engine that says what it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use futures::{StreamExt, stream};
use http::{Extensions, HeaderMap, Request};
use oag_gateway::{Door, GatewayConfig, GatewayParts, Visitor};
use oag_runtime::{RandomIds, SystemClock};
use oag_serve::{
    Delta, Embeddings, Ending, Engine, EngineError, EngineStats, Engines, Event, Events, Finish,
    Generation, ModelCard, Skill, Usage,
};
use oag_types::{Code, Problem, Tenant};
use serde_json::Value;
use tower::ServiceExt;

/// What an engine says: parts and an end, or why not.
pub(crate) type Script = Vec<Result<Event, EngineError>>;

/// Says what it is told to, and remembers what it was asked.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) scripts: Mutex<VecDeque<Result<Script, EngineError>>>,
    pub(crate) asked: Mutex<Vec<Generation>>,
}

#[async_trait]
impl Engine for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![ModelCard {
            name: "glm".to_owned(),
            skills: vec![Skill::Chat, Skill::Complete, Skill::Embed],
            window_tokens: Some(4_096),
            about: "says what it is told to".to_owned(),
        }]
    }

    fn stats(&self) -> EngineStats {
        EngineStats::default()
    }

    async fn generate(&self, request: Generation) -> Result<Events, EngineError> {
        self.asked.lock().unwrap().push(request);
        let script = self.scripts.lock().unwrap().pop_front();
        Ok(stream::iter(script.unwrap_or_else(|| Ok(words(&["hello"])))?).boxed())
    }

    async fn embed(&self, _: &str, texts: Vec<String>) -> Result<Embeddings, EngineError> {
        let vectors = texts.iter().map(|text| vec![text.len() as f32, 0.5]).collect();
        let usage = Usage { prompt: texts.len() as u32, ..Usage::default() };
        Ok(Embeddings { vectors, usage: Some(usage) })
    }

    async fn detokenize(&self, _: &str, tokens: Vec<u32>) -> Result<String, EngineError> {
        Ok(tokens.iter().map(|token| format!("t{token} ")).collect())
    }
}

/// The parts of a text, and its end.
pub(crate) fn words(words: &[&str]) -> Script {
    let mut script: Script =
        words.iter().map(|word| Ok(Event::Delta(Delta::text(*word)))).collect();
    script.push(Ok(end(Finish::Stop, words.len() as u32)));
    script
}

pub(crate) fn end(finish: Finish, answer: u32) -> Event {
    let usage = Usage { prompt: 7, cached: 4, answer, reasoning: 0 };
    Event::End(Ending { finish, usage: Some(usage) })
}

struct Key;

#[async_trait]
impl Door for Key {
    async fn admit(&self, headers: &HeaderMap, _: &Extensions) -> Result<Visitor, Problem> {
        match headers.get("authorization").and_then(|value| value.to_str().ok()) {
            Some("Bearer good") => {
                let tenant = Tenant::default_tenant();
                Ok(Visitor { tenant, user: "usr_1".to_owned(), scopes: Vec::new() })
            }
            Some("Bearer poor") => {
                Err(Problem::new(Code::FORBIDDEN, "the permission model:use is missing"))
            }
            Some("Bearer fast") => {
                Err(Problem::new(Code::OVERLOADED, "too many requests").retry_after(9))
            }
            _ => Err(Problem::new(Code::UNAUTHENTICATED, "no valid key")),
        }
    }
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The documents of a stream, and whether it was said to be whole.
    pub(crate) fn events(&self) -> (Vec<Value>, bool) {
        assert!(self.header("content-type").starts_with("text/event-stream"), "{}", self.body);
        let lines = self.body.split("\n\n").filter(|event| !event.is_empty());
        let mut data: Vec<&str> =
            lines.map(|event| event.strip_prefix("data: ").unwrap()).collect();
        let whole = data.last() == Some(&"[DONE]");
        if whole {
            data.pop();
        }
        (data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect(), whole)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The error of an answer, which has OpenAI's form.
    pub(crate) fn error(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        let mut document = self.json();
        let error = document["error"].take();
        let mut names: Vec<&String> = error.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["code", "message", "param", "type"]);
        error
    }
}

/// A gateway.
pub(crate) struct World {
    pub(crate) engine: Arc<Told>,
    router: Router,
}

impl World {
    pub(crate) fn new() -> Self {
        let engine = Arc::new(Told::default());
        let engines = Engines::new();
        engines.put(Arc::clone(&engine) as Arc<dyn Engine>);
        let config = GatewayConfig { body_bytes_max: 10_000, ..GatewayConfig::default() };
        let router = oag_gateway::router(GatewayParts {
            door: Arc::new(Key),
            engines: Arc::new(engines),
            clock: SystemClock::shared(),
            ids: Arc::new(RandomIds),
            config,
        });
        Self { engine, router: router.unwrap() }
    }

    /// What the engine says next.
    pub(crate) fn says(&self, script: Script) {
        self.engine.scripts.lock().unwrap().push_back(Ok(script));
    }

    /// What it says next in place of an answer.
    pub(crate) fn refuses(&self, error: EngineError) {
        self.engine.scripts.lock().unwrap().push_back(Err(error));
    }

    /// What it was asked last.
    pub(crate) fn asked(&self) -> Generation {
        self.engine.asked.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[("authorization", "Bearer good")], body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[("authorization", "Bearer good")], String::new()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }
}
