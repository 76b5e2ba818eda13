//! What the API can be told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use oag_types::{PrincipalId, Tenant};
use serde::{Deserialize, Serialize};

/// Settings of the API, section `api` of the configuration. Times in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// The tenant of every API key, and of tokens that name none.
    pub tenant: Tenant,
    /// Largest body, after decompression.
    pub body_bytes_max: usize,
    /// Largest body of signals, histories, analyses and replays, after decompression.
    pub bulk_bytes_max: usize,
    /// Largest request head: request line and headers together.
    pub head_bytes_max: usize,
    /// Longest path with query.
    pub uri_bytes_max: usize,
    /// How long a request may take before it is answered with 503. Work that takes effect goes on.
    pub request_timeout_ms: u64,
    /// How long an answer of a model that does not come in parts may take.
    pub generate_timeout_ms: u64,
    /// Items on a page unless `page_size` says otherwise.
    pub page_size: usize,
    /// Most items on a page.
    pub page_size_max: usize,
    /// How long the answer to an `Idempotency-Key` is kept.
    pub idempotency_ms: i64,
    /// Most watches at once.
    pub watchers_max: usize,
    /// Time between two bookmarks of a watch.
    pub bookmark_ms: u64,
    /// Time between two looks at a list that is sent whole whenever it has changed.
    pub live_ms: u64,
    /// A watch ends after this time, so that a credential does not outlive itself for long; clients
    /// go on from the last revision they saw.
    pub watch_max_ms: u64,
    /// Whether `/metrics` is shown without credentials; right on loopback.
    pub metrics_public: bool,
    /// Failed attempts to authenticate that one address may make in a minute.
    pub auth_failures_per_minute: u32,
    /// How long a caller is remembered before the store is asked again: so late are changes of keys
    /// and principals seen that another process makes. Those made by this process are seen at once.
    /// 0: the store is asked about every request.
    pub auth_cache_ms: u64,
    /// Most callers remembered.
    pub auth_cache_max: usize,
    /// Networks of proxies whose `X-Forwarded-For` and `Forwarded` are believed; none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// JSON Web Tokens that are accepted beside API keys.
    pub jwt: JwtConfig,
}

/// Which tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// Time between two looks at whether a file of keys changed.
    pub file_check_ms: u64,
    /// Who may issue them.
    pub issuers: Vec<IssuerConfig>,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self { file_check_ms: 5_000, issuers: Vec::new() }
    }
}

/// One issuer. Only Ed25519 signatures are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// The claim `aud` its tokens must have.
    pub audience: String,
    /// Its public keys, the text of a JWK set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// Its public keys, a file with a JWK set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Subjects that are not the id of a principal, and whom they stand for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<String, PrincipalId>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            tenant: Tenant::default_tenant(),
            body_bytes_max: 2 * 1_024 * 1_024,
            bulk_bytes_max: 8 * 1_024 * 1_024,
            head_bytes_max: 32 * 1_024,
            uri_bytes_max: 8 * 1_024,
            request_timeout_ms: 30_000,
            generate_timeout_ms: 600_000,
            page_size: 50,
            page_size_max: 500,
            idempotency_ms: 24 * 3_600_000,
            watchers_max: 256,
            bookmark_ms: 15_000,
            live_ms: 1_000,
            watch_max_ms: 3_600_000,
            metrics_public: true,
            auth_failures_per_minute: 20,
            auth_cache_ms: 3_000,
            auth_cache_max: 4_096,
            trusted_proxies: Vec::new(),
            jwt: JwtConfig::default(),
        }
    }
}

/// Why the API could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The keys of an issuer cannot be read.
    #[error("the keys of issuer '{issuer}' cannot be used: {reason}")]
    Jwks {
        /// Which issuer.
        issuer: String,
        /// Why.
        reason: String,
    },
    /// A setting has no meaning.
    #[error("api.{field}: {problem}")]
    Config {
        /// Which setting.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: &'static str,
    },
}

impl ApiConfig {
    /// Checks what types do not.
    ///
    /// # Errors
    /// The first setting that has no meaning.
    pub fn validate(&self) -> Result<(), ApiError> {
        let above_zero = [
            ("body_bytes_max", self.body_bytes_max),
            ("bulk_bytes_max", self.bulk_bytes_max),
            ("uri_bytes_max", self.uri_bytes_max),
            ("page_size", self.page_size),
            ("page_size_max", self.page_size_max),
            ("watchers_max", self.watchers_max),
            ("auth_cache_max", self.auth_cache_max),
        ];
        if let Some((field, _)) = above_zero.into_iter().find(|(_, value)| *value == 0) {
            return Err(ApiError::Config { field, problem: "must be above 0" });
        }
        if self.head_bytes_max < 8_192 {
            let problem = "must be at least 8192";
            return Err(ApiError::Config { field: "head_bytes_max", problem });
        }
        if self.page_size > self.page_size_max {
            let problem = "must not be above page_size_max";
            return Err(ApiError::Config { field: "page_size", problem });
        }
        for (field, value) in [
            ("request_timeout_ms", self.request_timeout_ms),
            ("bookmark_ms", self.bookmark_ms),
            ("live_ms", self.live_ms),
            ("watch_max_ms", self.watch_max_ms),
        ] {
            if value == 0 {
                return Err(ApiError::Config { field, problem: "must be above 0" });
            }
        }
        if self.idempotency_ms < 60_000 {
            let problem = "must be at least 60000: retries need the answer";
            return Err(ApiError::Config { field: "idempotency_ms", problem });
        }
        Ok(())
    }
}
