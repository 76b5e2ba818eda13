//! Anthropic's API: `POST /v1/messages`.

mod answer;
mod request;
mod stream;

use axum::Router;
use axum::extract::State;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::HeaderName;
use http::header::RETRY_AFTER;

use self::request::MessagesRequest;
use crate::choices;
use crate::edge::{self, Json, json};
use crate::state::{Asked, Gateway};
use crate::trouble::Trouble;

/// Where Anthropic's clients look for the id of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Its routes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/messages", post(answer).fallback(edge::unknown_method))
        .route_layer(map_response(in_its_form))
}

async fn answer(
    State(gateway): State<Gateway>,
    asked: Asked,
    Json(request): Json<MessagesRequest>,
) -> Result<Response, Trouble> {
    let engine = gateway.engine(&request.model)?;
    let (streams, thinks, model) =
        (request.stream.unwrap_or(false), request.thinks(), request.model.clone());
    let generation = request.generation(asked.context(gateway.config.answer_ms))?;
    let id = format!("msg_{}", gateway.ids.uuid().simple());
    let mut answers = choices::begin(&*engine, generation, 1).await?;
    if streams {
        let events = answers.pop().ok_or_else(Trouble::internal)?;
        return Ok(stream::stream(id, model, events, thinks));
    }
    let all = choices::whole(answers).await?;
    let all = all.first().ok_or_else(Trouble::internal)?;
    Ok(json(&answer::message(&id, &model, all, thinks)?))
}

/// Errors are written as its clients know them.
async fn in_its_form(mut response: Response) -> Response {
    let Some(trouble) = response.extensions_mut().remove::<Trouble>() else { return response };
    let (status, document) = answer::error(&trouble);
    let mut told = json(&document);
    *told.status_mut() = status;
    if let Some(seconds) = response.headers_mut().remove(RETRY_AFTER) {
        told.headers_mut().insert(RETRY_AFTER, seconds);
    }
    told.into_response()
}
