//! Asking models: answers, tokens.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use oag_guard::permissions;
use oag_serve::{Collected, Context, Engine, EngineError, Event, Events};
use oag_types::{Code, Problem};
use serde_json::json;

use super::fleet::fleet;
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, Segment, json as answer_json};
use crate::http::problem::{Answer, Failure, REQUEST_ID};
use crate::state::Api;
use crate::wire::{
    DetokenizeRequest, GenerateRequest, GenerateView, TextView, TokenizeRequest, TokensView, finish,
};

pub(super) fn routes(routes: Routes) -> Routes {
    let generate =
        Operation::ask("/api/v1/models/{model}/generate", "generate", "Ask a model for an answer")
            .about(
                "With `stream` the answer comes as server-sent events: `delta` with `text` and \
         `reasoning`, then `end` with `finish`, `prompt_tokens` and `answer_tokens`, or `error` \
         with a problem document. Leaving ends the work.",
            )
            .permission(permissions::MODEL_USE)
            .bulk()
            .reads::<GenerateRequest>()
            .answers::<GenerateView>();
    let tokenize = Operation::ask(
        "/api/v1/models/{model}/tokenize",
        "tokenize",
        "Turn a text into a model's tokens",
    )
    .permission(permissions::MODEL_USE)
    .reads::<TokenizeRequest>()
    .answers::<TokensView>();
    let detokenize = Operation::ask(
        "/api/v1/models/{model}/detokenize",
        "detokenize",
        "Turn a model's tokens into text",
    )
    .permission(permissions::MODEL_USE)
    .reads::<DetokenizeRequest>()
    .answers::<TextView>();
    routes
        .tag("fleet")
        .add(generate, generate_text)
        .add(tokenize, tokenize_text)
        .add(detokenize, detokenize_tokens)
}

async fn generate_text(
    State(api): State<Api>,
    session: Session,
    Segment(model): Segment<String>,
    Body(request): Body<GenerateRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    let stream = request.stream;
    let mut context = Context::new(session.tenant.clone(), request_id());
    context.user = Some(session.caller.principal.id.to_string());
    let generation = request.generation(model.clone(), context)?;
    let events = fleet(&api)?.generate(generation).await.map_err(failure)?;
    if stream {
        return Ok(Sse::new(in_parts(events)).into_response());
    }
    Ok(answer_json(&GenerateView::of(model, whole(events).await?)))
}

async fn whole(mut events: Events) -> Answer<Collected> {
    let mut all = Collected::default();
    while let Some(event) = events.next().await {
        all.take(event.map_err(failure)?);
    }
    Ok(all)
}

/// An answer as events; its error is one, too.
fn in_parts(events: Events) -> BoxStream<'static, Result<SseEvent, Infallible>> {
    let id = request_id();
    let parts = stream::unfold((events, id), async |(mut events, id)| {
        let (name, data) = match events.next().await? {
            Ok(Event::Delta(delta)) if delta.text.is_empty() && delta.reasoning.is_empty() => {
                ("delta", json!({ "text": "" }))
            }
            Ok(Event::Delta(delta)) => (
                "delta",
                match delta.reasoning.as_str() {
                    "" => json!({ "text": delta.text }),
                    thought => json!({ "text": delta.text, "reasoning": thought }),
                },
            ),
            Ok(Event::End(ending)) => {
                let usage = ending.usage;
                let end = json!({
                    "finish": finish(ending.finish),
                    "prompt_tokens": usage.map(|usage| usage.prompt),
                    "answer_tokens": usage.map(|usage| usage.answer),
                });
                ("end", end)
            }
            Err(error) => {
                let mut problem = failure(error).document();
                // The request itself is answered; only its id is left of it.
                problem.request_id.clone_from(&id);
                ("error", serde_json::to_value(problem).unwrap_or_default())
            }
        };
        let event = SseEvent::default().event(name).data(data.to_string());
        Some((Ok(event), (events, id)))
    });
    parts.boxed()
}

async fn tokenize_text(
    State(api): State<Api>,
    session: Session,
    Segment(model): Segment<String>,
    Body(request): Body<TokenizeRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    let tokens = fleet(&api)?.tokenize(&model, request.text).await.map_err(failure)?;
    Ok(answer_json(&TokensView { tokens }))
}

async fn detokenize_tokens(
    State(api): State<Api>,
    session: Session,
    Segment(model): Segment<String>,
    Body(request): Body<DetokenizeRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    let text = fleet(&api)?.detokenize(&model, request.tokens).await.map_err(failure)?;
    Ok(answer_json(&TextView { text }))
}

/// What goes wrong with an engine, as callers are told.
fn failure(error: EngineError) -> Failure {
    let text = error.to_string();
    match error {
        EngineError::NoModelLoaded { .. } => Problem::new(Code::NO_MODEL_LOADED, text).into(),
        EngineError::Refused { field, problem } => Problem::field(field, problem).into(),
        EngineError::Overloaded { retry_after } => {
            let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1);
            Problem::new(Code::OVERLOADED, text).retry_after(seconds).into()
        }
        EngineError::Filtered(_) => Problem::field("prompt", text).into(),
        EngineError::Unavailable(_)
        | EngineError::BrokeOff(_)
        | EngineError::NotAccepted(_)
        | EngineError::Late => Problem::new(Code::MODEL_UNAVAILABLE, text).into(),
    }
}

fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}
