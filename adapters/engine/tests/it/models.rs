//! The tiny models of `tests/data`, run in processes of their own.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use oag_engine::{Local, LocalConfig, MemoryKind};
use oag_runtime::{ShutdownHandle, Supervisor};
use oag_serve::{
    Collected, Context, Delta, Engine, EngineError, Event, Generation, Input, Limits, Sampling,
};
use oag_types::Tenant;
use serde::Deserialize;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Every layout there is a model of.
pub(crate) const ALL: [&str; 4] = ["glm4", "chatglm", "llama", "qwen3"];

/// What the reference implementation answers.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) prompt: Vec<u32>,
    pub(crate) answer: Vec<u32>,
}

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

pub(crate) fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub(crate) fn cases(kind: &str) -> Outcome<Vec<Case>> {
    let text = std::fs::read_to_string(file(&format!("{kind}.json")))?;
    let reference: Reference = serde_json::from_str(&text)?;
    Ok(reference.cases)
}

/// Settings under which nothing is rounded more than by the reference.
pub(crate) fn config(kind: &str) -> LocalConfig {
    let mut config = LocalConfig::new("tiny", file(&format!("{kind}.gguf")));
    config.program = Some(PathBuf::from(env!("CARGO_BIN_EXE_oag-engine-child")));
    config.memory = MemoryKind::F32;
    config.threads = Some(1);
    config.restart_ms = 10;
    config
}

/// An engine, and what its task runs under.
pub(crate) fn start(config: LocalConfig) -> Outcome<(Local, Supervisor)> {
    let supervisor = Supervisor::new(ShutdownHandle::new());
    Ok((Local::start(config, &supervisor)?, supervisor))
}

pub(crate) async fn engine(kind: &str, change: impl FnOnce(&mut LocalConfig)) -> Outcome<Local> {
    let mut config = config(kind);
    change(&mut config);
    let (engine, _) = start(config)?;
    engine.loaded().await?;
    Ok(engine)
}

/// A request for the likeliest tokens after a text.
pub(crate) fn greedy(text: &str, tokens: u32) -> Generation {
    let context = Context::new(Tenant::default_tenant(), "req-1".to_owned());
    let mut asked = Generation::new("tiny", Input::Text(text.to_owned()), context);
    asked.sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    asked.limits = Limits { tokens_max: Some(tokens), stop: Vec::new() };
    asked
}

/// A whole answer, and the tokens it was given out with.
pub(crate) async fn whole(
    engine: &Local,
    asked: Generation,
) -> Result<(Collected, Vec<u32>), EngineError> {
    let parts = parts(engine, asked).await?;
    let mut all = Collected::default();
    let mut tokens = Vec::new();
    for event in parts {
        if let Event::Delta(Delta { tokens: more, .. }) = &event {
            tokens.extend(more);
        }
        all.take(event);
    }
    Ok((all, tokens))
}

/// An answer part by part.
pub(crate) async fn parts(engine: &Local, asked: Generation) -> Result<Vec<Event>, EngineError> {
    let mut events = engine.generate(asked).await?;
    let mut parts = Vec::new();
    while let Some(event) = events.next().await {
        parts.push(event?);
    }
    Ok(parts)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) -> Outcome<()> {
    for _ in 0..3_000 {
        if so() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("never came about: {what}").into())
}
