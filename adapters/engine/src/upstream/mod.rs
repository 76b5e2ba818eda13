//! Servers that speak OpenAI's protocol: vLLM, `SGLang`, llama.cpp's own, OpenAI, Zhipu.
//!
//! A request is tried again only while nothing of its answer was given, on connection failures,
//! 429, 502, 503 and 504, and only within a budget that is filled by requests: when an upstream is
//! down, retries add a fixed share to its load and no more (as in Finagle's retry budget).

mod budget;
mod config;
mod failure;
mod reply;
mod request;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use oag_serve::{
    Embeddings, Engine, EngineError, EngineStats, Events, Generation, ModelCard, Skill,
};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::SetupError;
use budget::Budget;
pub use config::{Dialect, RetryConfig, UpstreamConfig, UpstreamModel};
use failure::{Failure, chain};
use stream::Answer;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Asks one upstream.
#[derive(Debug)]
pub struct Upstream {
    config: UpstreamConfig,
    client: reqwest::Client,
    slots: Arc<Semaphore>,
    budget: Budget,
    answers: AtomicU64,
    retries: AtomicU64,
    /// Tokens of answers, as their ends tell.
    tokens: Arc<AtomicU64>,
}

/// A request as it goes over the wire.
struct Call {
    path: &'static str,
    body: Value,
    request_id: String,
    /// When the answer is of no use any more.
    until: Option<Instant>,
}

impl Upstream {
    /// For a server. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn new(config: UpstreamConfig) -> Result<Self, SetupError> {
        config.check()?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may install one at the same moment; either is the same.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = &config.key {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.reveal())).map_err(|_| {
                    let problem = "has characters that no header can carry".to_owned();
                    SetupError { field: "key", problem }
                })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut client = reqwest::Client::builder();
        if config.url.starts_with("http://") {
            // Reading all authorities of the machine, which a small one may not have, is for TLS.
            client = client.tls_certs_only([]);
        }
        let client = client
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_millis(config.connect_ms))
            .pool_max_idle_per_host(config.idle_connections_max)
            .build()
            .map_err(|error| SetupError { field: "url", problem: chain(&error) })?;
        Ok(Self {
            client,
            slots: Arc::new(Semaphore::new(config.concurrent_max)),
            budget: Budget::new(config.retry),
            answers: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            tokens: Arc::default(),
            config,
        })
    }

    fn model(&self, name: &str) -> Result<&UpstreamModel, EngineError> {
        self.config.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let remedy = format!("name it among the models of {:?}", self.config.name);
            EngineError::NoModelLoaded { model: name.to_owned(), remedy }
        })
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_| EngineError::Overloaded {
            retry_after: Duration::from_millis(self.config.busy_retry_ms),
        })
    }

    /// Sends until there is an answer, the budget is spent, or the time is over.
    async fn ask(&self, call: &Call) -> Result<reqwest::Response, EngineError> {
        self.budget.request();
        let mut tries = 1;
        loop {
            let failure = match self.send(call).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let Some(pause) = self.pause_before_retry(&failure, tries, call.until) else {
                return Err(failure.error);
            };
            tracing::debug!(upstream = self.config.name, tries, %failure, "trying again");
            tokio::time::sleep(pause).await;
            self.retries.fetch_add(1, Ordering::Relaxed);
            tries += 1;
        }
    }

    /// How long to wait before the next try; none when there is none.
    fn pause_before_retry(
        &self,
        failure: &Failure,
        tries: u32,
        until: Option<Instant>,
    ) -> Option<Duration> {
        let retry = &self.config.retry;
        if !failure.again || tries >= retry.tries_max {
            return None;
        }
        let backoff = Duration::from_millis(retry.pause_ms) * 2_u32.saturating_pow(tries - 1);
        let pause = failure.after.unwrap_or(backoff);
        // What the upstream asks for is kept, or nothing is tried at all.
        let in_time = until.is_none_or(|until| Instant::now() + pause < until);
        let short = pause <= Duration::from_millis(retry.pause_max_ms);
        (short && in_time && self.budget.retry()).then_some(pause)
    }

    async fn send(&self, call: &Call) -> Result<reqwest::Response, Failure> {
        let url = format!("{}{}", self.config.url.trim_end_matches('/'), call.path);
        let mut request =
            self.client.post(url).header(ACCEPT, "application/json, text/event-stream");
        if let Ok(id) = HeaderValue::from_str(&call.request_id) {
            request = request.header(X_REQUEST_ID, id);
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(call.body.to_string());
        let first = Instant::now() + Duration::from_millis(self.config.first_part_ms);
        let until = call.until.map_or(first, |until| until.min(first));
        let response = match tokio::time::timeout_at(until, request.send()).await {
            Ok(answer) => answer.map_err(|error| Failure::connection(&error))?,
            Err(_) if call.until == Some(until) => return Err(Failure::late()),
            Err(_) => return Err(Failure::silent(self.config.first_part_ms)),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let after = failure::retry_after(response.headers());
        let text = stream::read_whole(response, config::ERROR_BYTES_MAX, until).await;
        Err(failure::refused(self.config.dialect, status, after, &text.unwrap_or_default()))
    }
}

#[async_trait]
impl Engine for Upstream {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn models(&self) -> Vec<ModelCard> {
        let card = |model: &UpstreamModel| {
            let mut skills = vec![Skill::Chat, Skill::Tools];
            if model.completes {
                skills.insert(0, Skill::Complete);
            }
            if model.embeds {
                skills.push(Skill::Embed);
            }
            if self.config.dialect == Dialect::OpenAi {
                skills.push(Skill::Logprobs);
            }
            ModelCard {
                name: model.name.clone(),
                skills,
                window_tokens: model.window_tokens,
                about: format!("{} at {}", model.upstream_name(), self.config.url),
            }
        };
        self.config.models.iter().map(card).collect()
    }

    fn stats(&self) -> EngineStats {
        let slots = u32::try_from(self.config.concurrent_max).unwrap_or(u32::MAX);
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        EngineStats {
            slots,
            busy: slots.saturating_sub(free),
            waiting: 0,
            answers: self.answers.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            tokens: self.tokens.load(Ordering::Relaxed),
        }
    }

    async fn generate(&self, asked: Generation) -> Result<Events, EngineError> {
        let model = self.model(&asked.model)?;
        let (path, body) = request::body(self.config.dialect, model, &asked)?;
        let slot = self.slot()?;
        let until = asked.context.within.map(|within| Instant::now() + within);
        let call = Call { path, body, request_id: asked.context.request.clone(), until };
        let response = self.ask(&call).await?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        let pause_max = Duration::from_millis(self.config.pause_max_ms);
        let first_max = Duration::from_millis(self.config.first_part_ms);
        Answer::new(response, slot, until, Arc::clone(&self.tokens))
            .begin(first_max, pause_max)
            .await
    }

    async fn embed(&self, model: &str, texts: Vec<String>) -> Result<Embeddings, EngineError> {
        let model = self.model(model)?;
        if !model.embeds {
            let problem = format!("{:?} makes no embeddings", model.name);
            return Err(EngineError::refused("model", problem));
        }
        let count = texts.len();
        let body = serde_json::json!({"model": model.upstream_name(), "input": texts});
        let _slot = self.slot()?;
        let call = Call { path: "/embeddings", body, request_id: String::new(), until: None };
        let response = self.ask(&call).await?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + Duration::from_millis(self.config.first_part_ms);
        let text = stream::read_whole(response, config::WHOLE_BYTES_MAX, until)
            .await
            .map_err(EngineError::Unavailable)?;
        reply::embeddings(&text, count).map_err(EngineError::Unavailable)
    }
}
