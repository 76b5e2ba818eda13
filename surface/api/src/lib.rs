//! The HTTP surface: REST, watches, probes, metrics, and who is calling.
//!
//! Owns: routes and their OpenAPI document, wire types, the one mapping of error kinds to HTTP,
//! API keys and tokens at the edge, idempotency keys, pages, watches, and the listener. Refuses:
//! deciding anything (handlers take a request apart, call the domain and write its answer), SQL,
//! and knowing which adapters are behind the ports.

// First: the others are written with its macros.
#[macro_use]
mod shape;

mod auth;
mod config;
mod doc;
mod handlers;
mod http;
mod metrics;
mod pages;
mod probe;
mod serve;
mod state;
mod wire;

use axum::Router;
use axum::middleware::from_fn_with_state;
use oag_runtime::{OnError, TaskKind};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;

pub use crate::auth::Entrance;
pub use crate::config::{ApiConfig, ApiError, IssuerConfig, JwtConfig};
pub use crate::http::problem::{FieldError, ProblemDocument};
pub use crate::http::watch::{Bookmark, WatchEvent};
pub use crate::probe::{Component, Health, Probe, Question};
pub use crate::serve::serve;
pub use crate::state::{ApiParts, ProcessFigures};

use crate::http::edge;
use crate::state::Api;

/// Time between two sweeps of idempotency keys.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(600);

/// The whole API.
pub struct Surface {
    /// Its routes, and answers for all others.
    pub router: Router,
    /// Lets callers of other surfaces in, by the same keys and tokens.
    pub entrance: Entrance,
}

/// The whole API. Begins a task that forgets old idempotency keys, so it is called inside a
/// runtime.
///
/// # Errors
/// When a setting has no meaning, or the keys of an issuer cannot be read.
pub fn surface(parts: ApiParts) -> Result<Surface, ApiError> {
    let (routes, document) = handlers::routes().finish();
    let api = Api::new(parts, document)?;
    begin_sweeps(&api);
    let bytes_max = api.config.bulk_bytes_max.max(api.config.body_bytes_max);
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(api.clone(), edge::surround))
        .layer(CatchPanicLayer::custom(edge::panicked))
        // What arrives is bounded before it is unpacked, and again when it is read.
        .layer(RequestBodyLimitLayer::new(bytes_max))
        .layer(RequestDecompressionLayer::new().gzip(true).pass_through_unaccepted(true));
    let entrance = Entrance::of(&api);
    let router = routes
        .fallback(edge::unknown_path)
        .method_not_allowed_fallback(edge::unknown_method)
        .layer(layers)
        .with_state(api);
    Ok(Surface { router, entrance })
}

/// The OpenAPI document, pretty JSON with a final newline.
#[must_use]
pub fn openapi_json() -> String {
    handlers::routes().finish().1
}

fn begin_sweeps(api: &Api) {
    let supervisor = api.supervisor.clone();
    let api = api.clone();
    let sweeps = async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            match crate::http::idempotency::sweep(&api).await {
                Ok(0) => {}
                Ok(forgotten) => tracing::debug!(forgotten, "old idempotency keys forgotten"),
                Err(failure) => tracing::warn!(code = %failure.code(), "sweep failed"),
            }
        }
        #[expect(unreachable_code, reason = "gives the task its type")]
        Ok::<(), std::convert::Infallible>(())
    };
    supervisor.spawn("idempotency sweep", TaskKind::Intake, OnError::Log, sweeps);
}
