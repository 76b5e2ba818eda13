//! Settings of an upstream.

use serde::{Deserialize, Serialize};

use crate::SetupError;

/// Most bytes of an error's body that are read.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;
/// Most bytes of one part of an answer.
pub(super) const PART_BYTES_MAX: usize = 8 << 20;
/// Most bytes of an answer that comes whole.
pub(super) const WHOLE_BYTES_MAX: usize = 64 << 20;

/// How an upstream departs from OpenAI's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Not at all.
    #[default]
    #[serde(rename = "openai")]
    OpenAi,
    /// Zhipu's `/api/paas/v4`: `request_id` and `user_id` in the body, `thinking` as an object,
    /// `do_sample` for greedy decoding, no penalties, seeds or probabilities, tools at the model's
    /// choice only, errors with Zhipu's numbers.
    Zhipu,
}

/// A model of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamModel {
    /// The name under which it is served here, such as `glm-4-plus`.
    pub name: String,
    /// Its name there; the same when absent.
    #[serde(default)]
    pub upstream: Option<String>,
    /// Most tokens of prompt and answer together, where it is known.
    #[serde(default)]
    pub window_tokens: Option<u32>,
    /// Whether it continues plain text (`/completions`).
    #[serde(default)]
    pub completes: bool,
    /// Whether it turns text into vectors (`/embeddings`).
    #[serde(default)]
    pub embeds: bool,
}

impl UpstreamModel {
    /// A model for conversations that has the same name here and there.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            upstream: None,
            window_tokens: None,
            completes: false,
            embeds: false,
        }
    }

    pub(super) fn upstream_name(&self) -> &str {
        self.upstream.as_deref().unwrap_or(&self.name)
    }
}

/// When and how often a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Tries of one request, the first included.
    pub tries_max: u32,
    /// Retries for each request, over all of them: 0.1 adds a tenth to an upstream that is down.
    pub share: f64,
    /// Retries that may be saved up.
    pub saved_max: f64,
    /// Pause before the second try, in milliseconds; doubled before each further one.
    pub pause_ms: u64,
    /// The longest pause, in milliseconds. An upstream that asks for a longer one is not tried.
    pub pause_max_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { tries_max: 3, share: 0.1, saved_max: 10.0, pause_ms: 200, pause_max_ms: 5_000 }
    }
}

/// Settings of an upstream. All times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its name, for logs and metrics.
    pub name: String,
    /// Up to the version, such as `https://open.bigmodel.cn/api/paas/v4` or
    /// `http://127.0.0.1:8000/v1`. Redirects are not followed.
    pub url: String,
    /// How it departs from OpenAI's protocol.
    #[serde(default)]
    pub dialect: Dialect,
    /// The key, sent as it is as a bearer token; none for servers without one.
    #[serde(default, skip_serializing)]
    pub key: Option<Key>,
    /// Its models.
    pub models: Vec<UpstreamModel>,
    /// Requests at once; more are told to come again.
    #[serde(default = "concurrent_max")]
    pub concurrent_max: usize,
    /// When those are told to come again.
    #[serde(default = "busy_retry_ms")]
    pub busy_retry_ms: u64,
    /// Connections that are kept open without use.
    #[serde(default = "idle_connections_max")]
    pub idle_connections_max: usize,
    /// How long connecting may take.
    #[serde(default = "connect_ms")]
    pub connect_ms: u64,
    /// How long it may be until the first part of an answer.
    #[serde(default = "first_part_ms")]
    pub first_part_ms: u64,
    /// How long it may be between two parts.
    #[serde(default = "pause_max_ms")]
    pub pause_max_ms: u64,
    /// When requests are tried again.
    #[serde(default)]
    pub retry: RetryConfig,
}

/// A key, which no log shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl From<String> for Key {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

const fn concurrent_max() -> usize {
    64
}

const fn busy_retry_ms() -> u64 {
    1_000
}

const fn idle_connections_max() -> usize {
    32
}

const fn connect_ms() -> u64 {
    3_000
}

const fn first_part_ms() -> u64 {
    60_000
}

const fn pause_max_ms() -> u64 {
    30_000
}

impl UpstreamConfig {
    /// Of a server with OpenAI's protocol, everything else at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            dialect: Dialect::OpenAi,
            key: None,
            models: Vec::new(),
            concurrent_max: concurrent_max(),
            busy_retry_ms: busy_retry_ms(),
            idle_connections_max: idle_connections_max(),
            connect_ms: connect_ms(),
            first_part_ms: first_part_ms(),
            pause_max_ms: pause_max_ms(),
            retry: RetryConfig::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), SetupError> {
        let wrong = |field, problem: &str| Err(SetupError { field, problem: problem.to_owned() });
        let url = reqwest::Url::parse(&self.url);
        match url.map(|url| url.scheme().to_owned()).as_deref() {
            Ok("http" | "https") => {}
            Ok(_) => return wrong("url", "must begin with http:// or https://"),
            Err(error) => return wrong("url", &format!("is no address: {error}")),
        }
        if self.models.is_empty() {
            return wrong("models", "name at least one");
        }
        for (at, model) in self.models.iter().enumerate() {
            if model.name.trim().is_empty() {
                return wrong("models", "a model needs a name");
            }
            if self.models.iter().take(at).any(|other| other.name == model.name) {
                return wrong("models", &format!("{:?} stands twice", model.name));
            }
        }
        let times = [
            ("connect_ms", self.connect_ms),
            ("first_part_ms", self.first_part_ms),
            ("pause_max_ms", self.pause_max_ms),
        ];
        if let Some((field, _)) = times.into_iter().find(|(_, time)| *time == 0) {
            return wrong(field, "must be above 0");
        }
        if self.concurrent_max == 0 || self.concurrent_max > tokio::sync::Semaphore::MAX_PERMITS {
            return wrong("concurrent_max", "must be above 0");
        }
        let retry = &self.retry;
        if retry.tries_max == 0 {
            return wrong("retry.tries_max", "must be above 0; 1 never tries again");
        }
        if !(0.0..=1.0).contains(&retry.share) {
            return wrong("retry.share", "must be from 0 to 1");
        }
        if !(0.0..=1e6).contains(&retry.saved_max) {
            return wrong("retry.saved_max", "must be from 0 to 1,000,000");
        }
        Ok(())
    }
}
