//! The catalogue of services, their state, logs, load and breakers.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use futures::StreamExt;
use futures::stream;
use http::{HeaderMap, StatusCode};
use oag_guard::permissions;
use oag_pilot::{ActionWish, Observed, Proposal};
use oag_types::{Code, KindName, Origin, Problem, ServiceName};
use serde::Deserialize;

use super::plans::whole;
use super::{ListParams, aside, watch_of};
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, IfMatch, Params, Segment, json, with_etag};
use crate::http::page::{ListScope, page_size};
use crate::http::problem::{Answer, Failure};
use crate::shape::Shape;
use crate::state::Api;
use crate::wire::{
    BreakerView, ItemsView, LoadView, LogsView, PageView, PlanView, ReasonRequest, Service,
};

const OBSERVED_AT_ONCE: usize = 16;
const LOAD_STEPS_MAX: usize = 2_880;

pub(super) fn routes(routes: Routes) -> Routes {
    let list = Operation::get("/api/v1/services", "listServices", "The services one may see")
        .permission(permissions::SERVICE_VIEW)
        .paged()
        .watched()
        .answers_page::<Service>();
    let read = Operation::get("/api/v1/services/{name}", "getService", "One service")
        .permission(permissions::SERVICE_VIEW)
        .answers::<Service>();
    let put = Operation::put("/api/v1/services/{name}", "putService", "Create or change a service")
        .about(
            "An existing service needs `If-Match` or `revision` in the body. 201 when it is new.",
        )
        .permission(permissions::SERVICE_CREATE)
        .reads::<Service>()
        .answers::<Service>()
        .also(StatusCode::CREATED);
    let delete =
        Operation::delete("/api/v1/services/{name}", "deleteService", "Take a service out")
            .about("Its executor stops what runs. `If-Match` may be left out.")
            .permission(permissions::SERVICE_DELETE);
    let observed =
        Operation::get("/api/v1/services/{name}/observed", "observeService", "Its present state")
            .permission(permissions::SERVICE_VIEW)
            .answers::<Observed>();
    let logs = Operation::get("/api/v1/services/{name}/logs", "getLogs", "Its last output")
        .permission(permissions::LOG_VIEW)
        .parameter("limit", Shape::COUNT, "Most lines, 1 to 5,000; 200 when left out.")
        .answers::<LogsView>();
    let load = Operation::get("/api/v1/services/{name}/load", "getLoad", "Its load and forecast")
        .permission(permissions::SIGNAL_VIEW)
        .parameter("metric", Shape::Text, "The metric; `request_rate` when left out.")
        .parameter("steps", Shape::COUNT, "How many steps back, 1 to 2,880; 120 when left out.")
        .answers::<LoadView>();
    breaker_routes(
        routes
            .tag("services")
            .add(list, list_services)
            .add(read, get_service)
            .add(put, put_service)
            .add(delete, delete_service)
            .add(observed, observe_service)
            .add(logs, get_logs)
            .add(load, get_load),
    )
}

fn breaker_routes(routes: Routes) -> Routes {
    let list = Operation::get("/api/v1/breakers", "listBreakers", "Circuit breakers of services")
        .permission(permissions::SERVICE_VIEW)
        .answers_items::<BreakerView>();
    let about = "Makes a plan of the kind `breaker` and applies it; the guard judges it as any \
                 other. The answer is the plan.";
    let trip = Operation::post("/api/v1/breakers/{service}/trip", "tripBreaker", "Open a breaker")
        .about(about)
        .permission(permissions::BREAKER_OPERATE)
        .reads::<ReasonRequest>()
        .answers_with::<PlanView>(StatusCode::ACCEPTED);
    let reset =
        Operation::post("/api/v1/breakers/{service}/reset", "resetBreaker", "Close a breaker")
            .about(about)
            .permission(permissions::BREAKER_OPERATE)
            .reads::<ReasonRequest>()
            .answers_with::<PlanView>(StatusCode::ACCEPTED);
    routes.add(list, list_breakers).add(trip, trip_breaker).add(reset, reset_breaker)
}

async fn list_services(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Answer<Response> {
    if params.watch {
        return watch_of(&api, &session, "service", &headers, params.from_revision).await;
    }
    let scope = ListScope::new("services", &session.tenant, &[]);
    let after = params.page_token.as_deref().map(|token| scope.after(token)).transpose()?;
    let size = page_size(&api.config, params.page_size)?;
    // Read before the list: a watch from here repeats a change rather than missing one.
    let store = api.pilot.store();
    let revision =
        store.revision(&session.tenant).await.map_err(crate::http::idempotency::store_failure)?;
    let mut services = api.pilot.services(&session.tenant, &session.caller).await?;
    // They come by name, which is their id.
    services.retain(|s| after.as_deref().is_none_or(|after| s.value.name.as_str() > after));
    let more = services.len() > size;
    services.truncate(size);
    let last = services.last().filter(|_| more);
    Ok(json(&PageView {
        next_page_token: last.map(|service| scope.token(service.value.name.as_str())),
        items: services.into_iter().map(Service::from).collect(),
        revision,
    }))
}

async fn get_service(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<ServiceName>,
) -> Answer<Response> {
    let found = api.pilot.service(&session.tenant, &session.caller, &name).await?;
    Ok(with_etag(StatusCode::OK, found.revision, &Service::from(found)))
}

async fn put_service(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<ServiceName>,
    if_match: IfMatch,
    Body(service): Body<Service>,
) -> Answer<Response> {
    if service.name != name {
        let text = format!("is '{}', but the path says '{name}'", service.name);
        return Err(Failure::field("name", text));
    }
    let (tenant, caller) = (&session.tenant, &session.caller);
    let base = if_match.or(service.revision);
    let exists = api.pilot.service(tenant, caller, &name).await.is_ok();
    let expected = if exists { base.required("the service")? } else { base.optional() };
    let saved = api.pilot.put_service(tenant, caller, service.entry(), expected).await?;
    let status = if exists { StatusCode::OK } else { StatusCode::CREATED };
    Ok(with_etag(status, saved.revision, &Service::from(saved)))
}

async fn delete_service(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<ServiceName>,
    if_match: IfMatch,
) -> Answer<StatusCode> {
    let expected = if_match.optional();
    api.pilot.delete_service(&session.tenant, &session.caller, &name, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn observe_service(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<ServiceName>,
) -> Answer<Response> {
    Ok(json(&api.pilot.observe(&session.tenant, &session.caller, &name).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogParams {
    limit: Option<usize>,
}

async fn get_logs(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<ServiceName>,
    Params(params): Params<LogParams>,
) -> Answer<Response> {
    let limit = params.limit.unwrap_or(200);
    let items = api.pilot.logs(&session.tenant, &session.caller, &name, limit).await?;
    Ok(json(&LogsView { items }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadParams {
    metric: Option<String>,
    steps: Option<usize>,
}

async fn get_load(
    State(api): State<Api>,
    session: Session,
    Segment(name): Segment<ServiceName>,
    Params(params): Params<LoadParams>,
) -> Answer<Response> {
    let service = api.pilot.service(&session.tenant, &session.caller, &name).await?.value;
    session.require(&api, permissions::SIGNAL_VIEW, Some(&service)).await?;
    let metric = params.metric.unwrap_or_else(|| "request_rate".to_owned());
    let steps = params.steps.unwrap_or(120).clamp(1, LOAD_STEPS_MAX);
    let (hub, tenant, now) = (api.hub.clone(), session.tenant, api.clock.now());
    aside(move || {
        let view = hub.view(&tenant, &service, &metric, steps, now);
        let forecast = hub.forecast(&tenant, &service, &metric, now);
        let metrics = hub.metrics(&tenant, &service.name);
        let mut load = LoadView::of(service.name, metric, metrics, view);
        if let Some(forecast) = forecast {
            load.forecast = Some(forecast.mean);
            load.forecast_low = Some(forecast.lo);
            load.forecast_high = Some(forecast.hi);
        }
        Ok(json(&load))
    })
    .await
}

async fn list_breakers(State(api): State<Api>, session: Session) -> Answer<Response> {
    let services = api.pilot.services(&session.tenant, &session.caller).await?;
    let names = services.into_iter().map(|service| service.value.name);
    let items: Vec<BreakerView> = stream::iter(names)
        .map(|name| {
            let (api, session) = (api.clone(), session.clone());
            async move {
                let seen = api.pilot.observe(&session.tenant, &session.caller, &name).await;
                breaker_of(name, seen)
            }
        })
        .buffered(OBSERVED_AT_ONCE)
        .collect()
        .await;
    Ok(json(&ItemsView { items }))
}

fn breaker_of(service: ServiceName, seen: Result<Observed, Problem>) -> BreakerView {
    let Ok(seen) = seen else {
        return BreakerView { service, state: "unknown".to_owned(), facts: BTreeMap::new() };
    };
    let state = seen.text("breaker").unwrap_or("none").to_owned();
    let about = |field: &String| field.starts_with("breaker.") || field.starts_with("breaker_");
    let facts = seen.fields.into_iter().filter(|(field, _)| about(field)).collect();
    BreakerView { service, state, facts }
}

async fn trip_breaker(
    State(api): State<Api>,
    session: Session,
    Segment(service): Segment<ServiceName>,
    Body(request): Body<ReasonRequest>,
) -> Answer<Response> {
    operate_breaker(&api, &session, service, "open", request.reason).await
}

async fn reset_breaker(
    State(api): State<Api>,
    session: Session,
    Segment(service): Segment<ServiceName>,
    Body(request): Body<ReasonRequest>,
) -> Answer<Response> {
    operate_breaker(&api, &session, service, "closed", request.reason).await
}

async fn operate_breaker(
    api: &Api,
    session: &Session,
    service: ServiceName,
    state: &str,
    reason: String,
) -> Answer<Response> {
    let (tenant, caller) = (&session.tenant, &session.caller);
    let proposal = Proposal {
        story: None,
        origin: Origin::Request,
        reason,
        findings: Vec::new(),
        actions: vec![ActionWish {
            kind: KindName::new("breaker"),
            service,
            params: serde_json::json!({ "state": state }),
            expect: Vec::new(),
        }],
        expires_in_ms: None,
    };
    let plan = api.pilot.propose(tenant, caller, proposal).await?;
    if plan.value.verdict.decision == oag_types::Decision::Deny {
        let deny = |reason: &&oag_types::Reason| reason.decision == oag_types::Decision::Deny;
        let reasons = plan.value.verdict.reasons.iter().filter(deny);
        let text: Vec<&str> = reasons.map(|reason| reason.text.as_str()).collect();
        return Err(Failure::new(Code::GUARD_DENIED, text.join("; ")));
    }
    let (id, digest) = (plan.value.id(), plan.value.digest);
    Ok(whole(StatusCode::ACCEPTED, api.pilot.apply(tenant, caller, id, &digest).await?))
}
