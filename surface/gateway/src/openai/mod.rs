//! OpenAI's API: conversations, plain text, vectors, models.

mod answer;
mod chat;
mod embeddings;
mod logprobs;
mod message;
mod models;
mod params;
mod responses;
mod stream;
mod text;

use axum::Router;
use axum::routing::{any, get, post};

use crate::edge;
use crate::state::Gateway;

/// Its routes.
pub(crate) fn routes() -> Router<Gateway> {
    let other = edge::unknown_method;
    Router::new()
        .route("/v1/chat/completions", post(chat::complete).fallback(other))
        .route("/v1/completions", post(text::complete).fallback(other))
        .route("/v1/embeddings", post(embeddings::embed).fallback(other))
        .route("/v1/models", get(models::list).fallback(other))
        .route("/v1/models/{*model}", get(models::read).fallback(other))
        .route("/v1/{*path}", any(edge::unknown_path))
        .merge(responses::routes())
}
