//! Asking models: answers, tokens.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::StatusCode;
use oag_cluster::{KeptError, KeptStore};
use oag_guard::permissions;
use oag_serve::{Collected, Context, EngineError, Event, Events, Urgency};
use oag_types::{Code, GenerationId, Problem};
use serde_json::json;

use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, Segment, broken, json as answer_json, json_with};
use crate::http::idempotency::store_failure;
use crate::http::problem::{Answer, Failure, REQUEST_ID};
use crate::state::Api;
use crate::wire::{
    DetokenizeRequest, GenerateRequest, GenerateView, KeepRequest, KeptView, TextView,
    TokenizeRequest, TokensView, finish,
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
    let keep =
        Operation::post("/api/v1/generations", "keepGeneration", "Ask for an answer to keep")
            .about(
                "It is in the store when this answers, and is made whatever happens to clients, \
             workers or the controller meanwhile. It stays for a day after its end.",
            )
            .permission(permissions::MODEL_USE)
            .bulk()
            .reads::<KeepRequest>()
            .answers_with::<KeptView>(StatusCode::ACCEPTED);
    let kept =
        Operation::get("/api/v1/generations/{id}", "getGeneration", "An answer that is kept")
            .permission(permissions::MODEL_USE)
            .answers::<KeptView>();
    let cancel = Operation::post(
        "/api/v1/generations/{id}/cancel",
        "cancelGeneration",
        "Call an answer off",
    )
    .about("What is over stays as it is.")
    .permission(permissions::MODEL_USE)
    .answers_with::<KeptView>(StatusCode::ACCEPTED);
    routes
        .tag("fleet")
        .add(keep, keep_answer)
        .add(kept, get_kept)
        .add(cancel, cancel_kept)
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
    may_be_so_urgent(&api, &session, request.urgency()?).await?;
    let stream = request.stream;
    let generation = request.generation(model.clone(), context_of(&session))?;
    let engine = api.engines.of(&model).map_err(failure)?.engine;
    let events = engine.generate(generation).await.map_err(failure)?;
    if stream {
        return Ok(Sse::new(in_parts(events)).into_response());
    }
    Ok(answer_json(&GenerateView::of(model, whole(events).await?)))
}

async fn keep_answer(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<KeepRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    may_be_so_urgent(&api, &session, request.request.urgency()?).await?;
    let generation = request.generation(context_of(&session))?;
    let kept = keeper(&api)?.submit(&session.tenant, generation).await.map_err(unkept)?;
    Ok(json_with(StatusCode::ACCEPTED, &KeptView::from(kept)))
}

async fn get_kept(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<GenerationId>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    Ok(answer_json(&find_kept(&api, &session, id).await?))
}

async fn cancel_kept(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<GenerationId>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    let kept = find_kept(&api, &session, id).await?;
    keeper(&api)?.cancel(id);
    Ok(json_with(StatusCode::ACCEPTED, &kept))
}

/// Answers are seen by whoever asked for them.
async fn find_kept(api: &Api, session: &Session, id: GenerationId) -> Answer<KeptView> {
    let kept = keeper(api)?.get(&session.tenant, id).await.map_err(unkept)?;
    let own = session.caller.principal.id.to_string();
    let kept = kept.filter(|kept| kept.user.as_ref() == Some(&own));
    Ok(kept.ok_or_else(|| Problem::not_found("answer", id))?.into())
}

fn keeper(api: &Api) -> Answer<&KeptStore> {
    let none = || Failure::new(Code::NOT_FOUND, "this process controls no fleet");
    api.kept.as_ref().ok_or_else(none)
}

fn unkept(error: KeptError) -> Failure {
    match error {
        KeptError::Engine(error) => failure(error),
        KeptError::Store(error) => store_failure(error),
        KeptError::Damaged(error) => broken(&error),
    }
}

/// What goes before everything else is not for everybody.
async fn may_be_so_urgent(api: &Api, session: &Session, urgency: Urgency) -> Answer<()> {
    if urgency == Urgency::Critical {
        session.require(api, permissions::NODE_OPERATE, None).await?;
    }
    Ok(())
}

fn context_of(session: &Session) -> Context {
    let mut context = Context::new(session.tenant.clone(), request_id());
    context.user = Some(session.caller.principal.id.to_string());
    context.scopes = Some(session.caller.scopes.clone());
    context
}

async fn whole(mut events: Events) -> Answer<Collected> {
    let mut all = Collected::default();
    while let Some(event) = events.next().await {
        all.take(event.map_err(failure)?);
    }
    // What ends without an end is broken.
    let no_end = || failure(EngineError::BrokeOff("it said no end".to_owned()));
    all.ending.ok_or_else(no_end).map(|_| all)
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
    let engine = api.engines.of(&model).map_err(failure)?.engine;
    let tokens = engine.tokenize(&model, request.text).await.map_err(failure)?;
    Ok(answer_json(&TokensView { tokens }))
}

async fn detokenize_tokens(
    State(api): State<Api>,
    session: Session,
    Segment(model): Segment<String>,
    Body(request): Body<DetokenizeRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::MODEL_USE, None).await?;
    let engine = api.engines.of(&model).map_err(failure)?.engine;
    let text = engine.detokenize(&model, request.tokens).await.map_err(failure)?;
    Ok(answer_json(&TextView { text }))
}

/// What goes wrong with an engine, as callers are told.
pub(super) fn failure(error: EngineError) -> Failure {
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
