//! The guard's rules. Each part is read and replaced by itself; all share one revision.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use oag_guard::{Book, KillScope, Limits, PolicySet, permissions};
use oag_pilot::{Versioned, kinds};
use oag_types::KindName;
use serde::Serialize;

use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, IfMatch, Revised, Segment, with_etag};
use crate::http::problem::Answer;
use crate::state::Api;
use crate::wire::{
    ApprovalRulesView, AutonomyChange, AutonomyView, FreezesView, KillSwitchChange, KillSwitchView,
    LimitsView, PoliciesView,
};

const WHAT: &str = "the rules of the guard";

pub(super) fn routes(routes: Routes) -> Routes {
    let about = "Replaces the whole part. `If-Match`, or `revision` in the body, is needed.";
    let read = |path, id, summary| Operation::get(path, id, summary).permission("guard:view");
    let write = |path, id, summary| Operation::put(path, id, summary).about(about);
    let policies = read("/api/v1/policies", "getPolicies", "Who may do what");
    let put_policies = write("/api/v1/policies", "putPolicies", "Replace the policies")
        .permission(permissions::POLICY_WRITE);
    let limits = read("/api/v1/limits", "getLimits", "How much, how fast, how often");
    let put_limits = write("/api/v1/limits", "putLimits", "Replace the limits")
        .permission(permissions::GUARD_WRITE);
    let freezes = read("/api/v1/freezes", "getFreezes", "When nothing is changed");
    let put_freezes = write("/api/v1/freezes", "putFreezes", "Replace the freezes")
        .permission(permissions::GUARD_WRITE);
    let rules = read("/api/v1/approval-rules", "getApprovalRules", "Whose agreement is needed");
    let put_rules =
        write("/api/v1/approval-rules", "putApprovalRules", "Replace the rules of approval")
            .permission(permissions::GUARD_WRITE);
    switches(
        routes
            .tag("guard")
            .add(policies.answers::<PoliciesView>(), get_part::<PoliciesView>)
            .add(put_policies.reads::<PoliciesView>().answers::<PoliciesView>(), put_policies_part)
            .add(limits.answers::<LimitsView>(), get_part::<LimitsView>)
            .add(put_limits.reads::<LimitsView>().answers::<LimitsView>(), put_limits_part)
            .add(freezes.answers::<FreezesView>(), get_part::<FreezesView>)
            .add(put_freezes.reads::<FreezesView>().answers::<FreezesView>(), put_freezes_part)
            .add(rules.answers::<ApprovalRulesView>(), get_part::<ApprovalRulesView>)
            .add(
                put_rules.reads::<ApprovalRulesView>().answers::<ApprovalRulesView>(),
                put_approval_rules_part,
            ),
    )
}

fn switches(routes: Routes) -> Routes {
    let switch = Operation::get("/api/v1/kill-switch", "getKillSwitch", "Whether anything acts")
        .permission(permissions::GUARD_VIEW)
        .answers::<KillSwitchView>();
    let put_switch =
        Operation::put("/api/v1/kill-switch", "putKillSwitch", "Switch the kill switch")
            .about("Needs no revision: it must work at once.")
            .permission(permissions::KILLSWITCH_OPERATE)
            .no_if_match()
            .reads::<KillSwitchChange>()
            .answers::<KillSwitchView>();
    let ladder = Operation::get("/api/v1/autonomy", "getAutonomy", "The ladder of autonomy")
        .permission(permissions::GUARD_VIEW)
        .answers::<AutonomyView>();
    let put_kind =
        Operation::put("/api/v1/autonomy/{kind}", "putAutonomy", "Set a kind's rung and ceiling")
            .permission(permissions::AUTONOMY_WRITE)
            .no_if_match()
            .reads::<AutonomyChange>()
            .answers::<AutonomyView>();
    routes
        .add(switch, get_part::<KillSwitchView>)
        .add(put_switch, put_kill_switch)
        .add(ladder, get_autonomy)
        .add(put_kind, put_autonomy)
}

async fn get_part<W>(State(api): State<Api>, session: Session) -> Answer<Response>
where
    W: From<Versioned<Book>> + Serialize,
{
    let book = api.pilot.book(&session.tenant, &session.caller).await?;
    Ok(part::<W>(book))
}

fn part<W: From<Versioned<Book>> + Serialize>(book: Versioned<Book>) -> Response {
    with_etag(StatusCode::OK, book.revision, W::from(book))
}

async fn put_policies_part(
    State(api): State<Api>,
    session: Session,
    if_match: IfMatch,
    Revised { value, revision }: Revised<PoliciesView>,
) -> Answer<Response> {
    let expected = if_match.or(revision).required(WHAT)?;
    let policies = PolicySet { policies: value.policies };
    let saved = api.pilot.set_policies(&session.tenant, &session.caller, policies, expected);
    saved.await.map(part::<PoliciesView>).map_err(Into::into)
}

async fn put_limits_part(
    State(api): State<Api>,
    session: Session,
    if_match: IfMatch,
    Revised { value, revision }: Revised<LimitsView>,
) -> Answer<Response> {
    let expected = if_match.or(revision).required(WHAT)?;
    let limits = Limits { rules: value.rules };
    let saved = api.pilot.set_limits(&session.tenant, &session.caller, limits, expected);
    saved.await.map(part::<LimitsView>).map_err(Into::into)
}

async fn put_freezes_part(
    State(api): State<Api>,
    session: Session,
    if_match: IfMatch,
    Revised { value, revision }: Revised<FreezesView>,
) -> Answer<Response> {
    let expected = if_match.or(revision).required(WHAT)?;
    let saved = api.pilot.set_freezes(&session.tenant, &session.caller, value.freezes, expected);
    saved.await.map(part::<FreezesView>).map_err(Into::into)
}

async fn put_approval_rules_part(
    State(api): State<Api>,
    session: Session,
    if_match: IfMatch,
    Revised { value, revision }: Revised<ApprovalRulesView>,
) -> Answer<Response> {
    let expected = if_match.or(revision).required(WHAT)?;
    let (tenant, caller) = (&session.tenant, &session.caller);
    let saved = api.pilot.set_approval_rules(tenant, caller, value.rules, expected);
    saved.await.map(part::<ApprovalRulesView>).map_err(Into::into)
}

async fn put_kill_switch(
    State(api): State<Api>,
    session: Session,
    Body(change): Body<KillSwitchChange>,
) -> Answer<Response> {
    let scope = change.scope.unwrap_or(KillScope::All);
    let (tenant, caller) = (&session.tenant, &session.caller);
    let saved = api.pilot.set_kill_switch(tenant, caller, change.on, scope, change.reason);
    saved.await.map(part::<KillSwitchView>).map_err(Into::into)
}

async fn get_autonomy(State(api): State<Api>, session: Session) -> Answer<Response> {
    let book = api.pilot.book(&session.tenant, &session.caller).await?;
    Ok(autonomy(book))
}

async fn put_autonomy(
    State(api): State<Api>,
    session: Session,
    Segment(kind): Segment<String>,
    Body(change): Body<AutonomyChange>,
) -> Answer<Response> {
    let kind = KindName::new(kind);
    let ceiling = change.ceiling.unwrap_or(change.rung);
    let (tenant, caller) = (&session.tenant, &session.caller);
    let saved = api.pilot.set_autonomy(tenant, caller, &kind, change.rung, ceiling, &change.reason);
    saved.await.map(autonomy).map_err(Into::into)
}

fn autonomy(book: Versioned<Book>) -> Response {
    let names = kinds().iter().map(|kind| KindName::new(kind.name()));
    with_etag(StatusCode::OK, book.revision, AutonomyView::of(book, names))
}
