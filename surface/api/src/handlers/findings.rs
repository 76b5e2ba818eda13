//! Findings, stories and notifications.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use oag_guard::permissions;
use oag_pilot::Story;
use oag_types::{Finding, NotificationId, StoryId};
use serde::Deserialize;

use super::{ListParams, page_or_watch, watch_all};
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Params, Segment, json, with_etag};
use crate::http::page::ListScope;
use crate::http::problem::Answer;
use crate::state::Api;
use crate::wire::{FindingView, NotificationView, StoryDetail, StoryView};

pub(super) fn routes(routes: Routes) -> Routes {
    let findings = Operation::get("/api/v1/findings", "listFindings", "Findings, newest first")
        .permission(permissions::FINDING_VIEW)
        .paged()
        .watched()
        .answers_page::<FindingView>();
    let stories = Operation::get("/api/v1/stories", "listStories", "Stories, newest first")
        .permission(permissions::FINDING_VIEW)
        .paged()
        .watched()
        .answers_page::<StoryView>();
    let story =
        Operation::get("/api/v1/stories/{id}", "getStory", "A story, from signal to ledger")
            .permission(permissions::FINDING_VIEW)
            .answers::<StoryDetail>();
    let notices =
        Operation::get("/api/v1/notifications", "listNotifications", "Messages, newest first")
            .permission(permissions::PLAN_VIEW)
            .paged()
            .watched()
            .answers_page::<NotificationView>();
    let seen = Operation::post(
        "/api/v1/notifications/{id}/seen",
        "seeNotification",
        "Mark a message as seen",
    )
    .permission(permissions::PLAN_VIEW)
    .answers::<NotificationView>();
    let events = Operation::get("/api/v1/events", "watchEverything", "Changes of everything")
        .about(
            "Server-sent events of everything the caller may see: each with the revision as its \
             id, and a bookmark every 15 seconds. A client that comes back sends Last-Event-ID, \
             or `from_revision`. An answer 410 means that the past asked for is no longer kept: \
             list again, then watch from the revision of the list.",
        )
        .watched();
    routes
        .tag("findings")
        .add(findings, list_findings)
        .add(stories, list_stories)
        .add(story, get_story)
        .add(notices, list_notifications)
        .add(seen, see_notification)
        .add(events, watch_everything)
}

async fn list_findings(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Answer<Response> {
    let scope = ListScope::new("findings", &session.tenant, &[]);
    let request = params.page(&api, &scope)?;
    let page = api.pilot.findings(&session.tenant, &session.caller, request).await?;
    let list = ("finding", scope, page);
    page_or_watch::<Finding, FindingView>(&api, &session, params, &headers, list).await
}

async fn list_stories(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Answer<Response> {
    let scope = ListScope::new("stories", &session.tenant, &[]);
    let request = params.page(&api, &scope)?;
    let page = api.pilot.stories(&session.tenant, &session.caller, request).await?;
    let list = ("story", scope, page);
    page_or_watch::<Story, StoryView>(&api, &session, params, &headers, list).await
}

async fn get_story(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<StoryId>,
) -> Answer<Response> {
    let story = api.pilot.story(&session.tenant, &session.caller, id).await?;
    Ok(json(&StoryDetail::from(story)))
}

async fn list_notifications(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Answer<Response> {
    let scope = ListScope::new("notifications", &session.tenant, &[]);
    let request = params.page(&api, &scope)?;
    let page = api.pilot.notifications(&session.tenant, &session.caller, request).await?;
    let list = ("notification", scope, page);
    page_or_watch::<_, NotificationView>(&api, &session, params, &headers, list).await
}

async fn see_notification(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<NotificationId>,
) -> Answer<Response> {
    let seen = api.pilot.see_notification(&session.tenant, &session.caller, id).await?;
    Ok(with_etag(StatusCode::OK, seen.revision, &NotificationView::from(seen)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventParams {
    from_revision: Option<u64>,
    /// Always so here; accepted for uniformity.
    #[serde(default, rename = "watch")]
    _watch: bool,
}

async fn watch_everything(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<EventParams>,
) -> Answer<Response> {
    watch_all(&api, &session, &headers, params.from_revision).await
}
