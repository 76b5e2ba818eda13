//! Questions without effects: analysis of pushed metrics, and replay of recorded signals.

use axum::extract::State;
use axum::response::Response;
use oag_guard::permissions;
use oag_ops::{Analysis, AnalyzeRequest, ReplayReport, analyze, replay};
use oag_types::{SeriesKey, Service, ServiceName};

use super::aside;
use super::signals::signals_of;
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, json};
use crate::http::problem::{Answer, Failure};
use crate::state::Api;
use crate::wire::ReplayQuestion;

const POLICIES_MAX: usize = 8;
const SERVICES_MAX: usize = 100;

pub(super) fn routes(routes: Routes) -> Routes {
    let analyze = Operation::ask("/api/v1/analyze", "analyze", "What should be done about this?")
        .about(
            "Metrics pushed once, oldest value first, with a line of context in Chinese or \
             English. Nothing is carried out: propose the plan of the answer for that.",
        )
        .permission(permissions::ANALYZE_RUN)
        .bulk()
        .reads::<AnalyzeRequest>()
        .answers::<Analysis>();
    let replay = Operation::ask("/api/v1/replay", "replay", "What would these policies have done?")
        .about(
            "Policies side by side over the recorded load of a window of time. Nothing is carried \
             out.",
        )
        .permission(permissions::ANALYZE_RUN)
        .bulk()
        .reads::<ReplayQuestion>()
        .answers::<ReplayReport>();
    routes.tag("analysis").add(analyze, run_analysis).add(replay, run_replay)
}

async fn run_analysis(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<AnalyzeRequest>,
) -> Answer<Response> {
    session.require(&api, permissions::ANALYZE_RUN, None).await?;
    let known = match (&request.service, &api.ops) {
        (Some(name), Some(ops)) => {
            // What is known of a service is used only for those who may see it.
            let seen = api.pilot.service(&session.tenant, &session.caller, name).await.is_ok();
            seen.then(|| ops.snapshot(&session.tenant, name)).flatten()
        }
        _ => None,
    };
    aside(move || Ok(json(&analyze(&request, known.as_ref())?))).await
}

async fn run_replay(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<ReplayQuestion>,
) -> Answer<Response> {
    session.require(&api, permissions::ANALYZE_RUN, None).await?;
    let count = request.policies.len();
    if count == 0 || count > POLICIES_MAX {
        return Err(Failure::field("policies", format!("give 1 to {POLICIES_MAX}")));
    }
    if request.from >= request.to {
        return Err(Failure::field("to", "must be later than from"));
    }
    let services = wanted(&api, &session, &request.services).await?;
    let hub = api.hub.clone();
    aside(move || {
        let metric = request.metric.as_deref().unwrap_or("request_rate");
        let records = services.iter().flat_map(|service| {
            let key = SeriesKey::of_service(metric, &service.name);
            let samples = hub.window(&session.tenant, &key, request.from, request.to);
            signals_of(&key, samples)
        });
        let mut records: Vec<_> = records.collect();
        records.sort_by_key(|signal| signal.sample.at);
        Ok(json(&replay(records, &services, &request.policies, &request.config)?))
    })
    .await
}

async fn wanted(api: &Api, session: &Session, names: &[ServiceName]) -> Answer<Vec<Service>> {
    let (tenant, caller) = (&session.tenant, &session.caller);
    let mut services = Vec::new();
    if names.is_empty() {
        services.extend(api.pilot.services(tenant, caller).await?.into_iter().map(|s| s.value));
    }
    for name in names.iter().take(SERVICES_MAX + 1) {
        services.push(api.pilot.service(tenant, caller, name).await?.value);
    }
    if services.is_empty() || services.len() > SERVICES_MAX {
        return Err(Failure::field("services", format!("name 1 to {SERVICES_MAX} services")));
    }
    Ok(services)
}
