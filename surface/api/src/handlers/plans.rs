//! Plans and action kinds.

use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use oag_guard::permissions;
use oag_pilot::{Phase, PlanFilter, PlanRecord, Versioned, kinds};
use oag_types::{PlanId, ServiceName};
use serde::Deserialize;

use super::{ListParams, watch_of};
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, Params, Segment, json, with_etag};
use crate::http::page::ListScope;
use crate::http::problem::{Answer, Failure};
use crate::shape::Shape;
use crate::state::Api;
use crate::wire::{
    CancelRequest, DigestRequest, ItemsView, KindView, PageView, PlanView, ProposalRequest,
    ResolveRequest,
};

pub(super) fn routes(routes: Routes) -> Routes {
    let phases = "Only plans that stand here, such as `awaiting_approval`.";
    let list = Operation::get("/api/v1/plans", "listPlans", "Plans, newest first")
        .permission(permissions::PLAN_VIEW)
        .parameter("phase", Shape::Text, phases)
        .parameter("service", Shape::Text, "Only plans that act on this service.")
        .paged()
        .watched()
        .answers_page::<PlanView>();
    let propose = Operation::post("/api/v1/plans", "proposePlan", "Propose a plan")
        .about(
            "The plan is drafted against the present state, judged by the guard and recorded. It \
             does not begin by itself: apply it. With `dry_run=true` nothing is recorded, and the \
             answer, with status 200, is the plan and the verdict it would have.",
        )
        .permission(permissions::PLAN_PROPOSE)
        .parameter("dry_run", Shape::Flag, "Only say what would be recorded.")
        .reads::<ProposalRequest>()
        .answers_with::<PlanView>(StatusCode::CREATED)
        .also(StatusCode::OK);
    let read = Operation::get("/api/v1/plans/{id}", "getPlan", "One plan, with its exact bytes")
        .permission(permissions::PLAN_VIEW)
        .answers::<PlanView>();
    let kinds = Operation::get("/api/v1/kinds", "listKinds", "Action kinds and their parameters")
        .answers_items::<KindView>();
    step_routes(
        routes
            .tag("plans")
            .add(list, list_plans)
            .add(propose, propose_plan)
            .add(read, get_plan)
            .add(kinds, list_kinds),
    )
}

fn step_routes(routes: Routes) -> Routes {
    let apply = Operation::post("/api/v1/plans/{id}/apply", "applyPlan", "Set a plan to work")
        .about(
            "The digest says which bytes were read. The plan is judged again; what needs people \
             then waits for their approval, which the answer's `phase` says.",
        )
        .permission(permissions::PLAN_APPLY)
        .reads::<DigestRequest>()
        .answers_with::<PlanView>(StatusCode::ACCEPTED);
    let approve = Operation::post("/api/v1/plans/{id}/approve", "approvePlan", "Approve a plan")
        .about("Only people approve, and never their own plans. The last approval begins the work.")
        .permission(permissions::PLAN_APPROVE)
        .reads::<DigestRequest>()
        .answers_with::<PlanView>(StatusCode::ACCEPTED);
    let cancel = Operation::post("/api/v1/plans/{id}/cancel", "cancelPlan", "Call a plan off")
        .about("Before it has begun. One's own plans always, others with the permission.")
        .permission(permissions::PLAN_APPLY)
        .reads::<CancelRequest>()
        .answers::<PlanView>();
    let resolve =
        Operation::post("/api/v1/plans/{id}/resolve", "resolvePlan", "Say what an outcome was")
            .about("For a plan in the phase `outcome_unknown`: a person looked and says.")
            .permission(permissions::PLAN_APPROVE)
            .reads::<ResolveRequest>()
            .answers::<PlanView>();
    routes
        .add(apply, apply_plan)
        .add(approve, approve_plan)
        .add(cancel, cancel_plan)
        .add(resolve, resolve_plan)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanParams {
    phase: Option<String>,
    service: Option<String>,
    page_size: Option<usize>,
    page_token: Option<String>,
    #[serde(default)]
    watch: bool,
    from_revision: Option<u64>,
}

async fn list_plans(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<PlanParams>,
) -> Answer<Response> {
    let filters = [params.phase.as_deref(), params.service.as_deref()];
    let scope = ListScope::new("plans", &session.tenant, &filters);
    let phase = params.phase.as_deref().map(phase_of).transpose()?;
    let service = params.service.as_deref().map(service_of).transpose()?;
    let list = ListParams {
        page_size: params.page_size,
        page_token: params.page_token,
        watch: params.watch,
        from_revision: params.from_revision,
    };
    let request = list.page(&api, &scope)?;
    let filter = PlanFilter { phase, service };
    let page = api.pilot.plans(&session.tenant, &session.caller, filter, request).await?;
    if list.watch {
        return watch_of(&api, &session, "plan", &headers, list.from_revision).await;
    }
    Ok(json(&PageView {
        items: page.items.into_iter().map(PlanView::short).collect(),
        next_page_token: page.next.map(|next| scope.token(&next)),
        revision: page.revision,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProposeParams {
    #[serde(default)]
    dry_run: bool,
}

async fn propose_plan(
    State(api): State<Api>,
    session: Session,
    Params(params): Params<ProposeParams>,
    Body(request): Body<ProposalRequest>,
) -> Answer<Response> {
    let (tenant, caller) = (&session.tenant, &session.caller);
    if params.dry_run {
        let value = api.pilot.preview(tenant, caller, request.into()).await?;
        return Ok(json(&PlanView::whole(Versioned { value, revision: 0 })));
    }
    let plan = api.pilot.propose(tenant, caller, request.into()).await?;
    let location = format!("/api/v1/plans/{}", plan.value.id());
    let mut response = whole(StatusCode::CREATED, plan);
    if let Ok(location) = location.try_into() {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn get_plan(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<PlanId>,
) -> Answer<Response> {
    let plan = api.pilot.plan(&session.tenant, &session.caller, id).await?;
    Ok(whole(StatusCode::OK, plan))
}

async fn apply_plan(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<PlanId>,
    Body(request): Body<DigestRequest>,
) -> Answer<Response> {
    let plan = api.pilot.apply(&session.tenant, &session.caller, id, &request.digest).await?;
    Ok(whole(StatusCode::ACCEPTED, plan))
}

async fn approve_plan(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<PlanId>,
    Body(request): Body<DigestRequest>,
) -> Answer<Response> {
    let plan = api.pilot.approve(&session.tenant, &session.caller, id, &request.digest).await?;
    Ok(whole(StatusCode::ACCEPTED, plan))
}

async fn cancel_plan(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<PlanId>,
    Body(request): Body<CancelRequest>,
) -> Answer<Response> {
    let plan = api.pilot.cancel(&session.tenant, &session.caller, id, &request.reason).await?;
    Ok(whole(StatusCode::OK, plan))
}

async fn resolve_plan(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<PlanId>,
    Body(request): Body<ResolveRequest>,
) -> Answer<Response> {
    let plan = api.pilot.resolve(&session.tenant, &session.caller, id, request.resolution).await?;
    Ok(whole(StatusCode::OK, plan))
}

async fn list_kinds(_session: Session) -> Response {
    let items: Vec<KindView> = kinds().iter().map(|kind| KindView::from(*kind)).collect();
    json(&ItemsView { items })
}

pub(super) fn whole(status: StatusCode, plan: Versioned<PlanRecord>) -> Response {
    with_etag(status, plan.revision, &PlanView::whole(plan))
}

fn phase_of(text: &str) -> Answer<Phase> {
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|error| Failure::field("phase", error.to_string()))
}

pub(super) fn service_of(text: &str) -> Answer<ServiceName> {
    text.parse().map_err(|error: oag_types::NameError| Failure::field("service", error.to_string()))
}
