//! The gateway: the APIs that clients of language models speak, over the engines of this process.
//!
//! Owns: the wire forms of those APIs, their errors, and how answers become streams. Refuses:
//! deciding who may come in (a [`Door`] does), running models (engines do), and the product's own
//! API (`oag-api`).

mod anthropic;
mod choices;
mod config;
mod door;
mod edge;
mod openai;
mod plain;
mod state;
mod trouble;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use oag_runtime::{Clock, IdSource};
use oag_serve::Engines;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

pub use crate::config::GatewayConfig;
pub use crate::door::{Door, Visitor};

use crate::state::Gateway;

/// What the gateway is made of.
pub struct GatewayParts {
    /// Who is let in.
    pub door: Arc<dyn Door>,
    /// What answers.
    pub engines: Arc<Engines>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of requests.
    pub ids: Arc<dyn IdSource>,
    /// Settings.
    pub config: GatewayConfig,
}

/// Every route of the gateway. It has no fallback: it is merged with others.
///
/// # Errors
/// Which setting has no meaning, and why.
pub fn router(parts: GatewayParts) -> Result<Router, (&'static str, String)> {
    parts.config.check()?;
    let gateway = Gateway::new(parts);
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(gateway.clone(), edge::surround))
        .layer(CatchPanicLayer::custom(edge::panicked))
        // How much is read is bounded after unpacking.
        .layer(RequestDecompressionLayer::new().gzip(true).pass_through_unaccepted(true));
    let routes = openai::routes().merge(anthropic::routes()).merge(plain::routes());
    Ok(routes.layer(layers).with_state(gateway))
}
