//! `POST /v1/responses`. Nothing is kept: each request brings all that was said before.

mod answer;
mod request;
mod stream;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;

use self::answer::{Echo, Status};
use self::request::ResponsesRequest;
use crate::choices;
use crate::edge::{self, Json, json};
use crate::state::{Asked, Gateway};
use crate::trouble::Trouble;

/// Its route.
pub(super) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/responses", post(answer).fallback(edge::unknown_method))
}

async fn answer(
    State(gateway): State<Gateway>,
    asked: Asked,
    Json(request): Json<ResponsesRequest>,
) -> Result<Response, Trouble> {
    let engine = gateway.engine(&request.model)?;
    let streams = request.stream.unwrap_or(false);
    let id = gateway.ids.uuid().simple().to_string();
    let (generation, asked) = request.generation(asked.context(gateway.config.answer_ms))?;
    let echo = Echo { id, created_at: gateway.now_s(), asked };
    let answers = choices::begin(&*engine, generation, 1).await;
    let mut answers = answers.map_err(|error| Trouble::from(error).asked_in("input"))?;
    if streams {
        let events = answers.pop().ok_or_else(Trouble::internal)?;
        return Ok(stream::stream(echo, events));
    }
    let answers = choices::whole(answers).await?;
    let all = answers.first().ok_or_else(Trouble::internal)?;
    let ending = all.ending.ok_or_else(Trouble::internal)?;
    let items = answer::items(&echo.id, all);
    Ok(json(&echo.response(Status::Over(ending), &items)))
}
