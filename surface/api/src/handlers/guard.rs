//! The guard's rules. Each part is read and replaced by itself; all share one revision.

use std::convert::identity;

use axum::extract::State;
use axum::response::Response;
use futures::future::BoxFuture;
use http::StatusCode;
use oag_guard::{Book, KillScope, Limits, PolicySet, permissions};
use oag_pilot::{Pilot, Versioned, kinds};
use oag_types::{KindName, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, IfMatch, Segment, with_etag};
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
            .add(
                put_policies.reads::<PoliciesView>().answers::<PoliciesView>(),
                put_part::<PoliciesView>,
            )
            .add(limits.answers::<LimitsView>(), get_part::<LimitsView>)
            .add(put_limits.reads::<LimitsView>().answers::<LimitsView>(), put_part::<LimitsView>)
            .add(freezes.answers::<FreezesView>(), get_part::<FreezesView>)
            .add(
                put_freezes.reads::<FreezesView>().answers::<FreezesView>(),
                put_part::<FreezesView>,
            )
            .add(rules.answers::<ApprovalRulesView>(), get_part::<ApprovalRulesView>)
            .add(
                put_rules.reads::<ApprovalRulesView>().answers::<ApprovalRulesView>(),
                put_part::<ApprovalRulesView>,
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

/// A part of the rules that is read by itself.
trait Part: Serialize {
    fn of(book: Book, revision: Option<u64>) -> Self;
}

/// A part that is replaced by itself, as a whole.
trait Replaced: Part + DeserializeOwned + Send + 'static {
    /// The revision it was read at, when it came along.
    fn revision(&self) -> Option<u64>;

    /// Puts it in the place of what is there.
    fn save<'a>(
        self,
        pilot: &'a Pilot,
        session: &'a Session,
        expected: Option<u64>,
    ) -> BoxFuture<'a, Result<Versioned<Book>, Problem>>;
}

macro_rules! parts {
    ($($view:ident { $field:ident: $from:expr, $save:ident($into:expr) })+) => {$(
        impl Part for $view {
            fn of(book: Book, revision: Option<u64>) -> Self {
                let from: fn(Book) -> _ = $from;
                Self { $field: from(book), revision }
            }
        }

        impl Replaced for $view {
            fn revision(&self) -> Option<u64> {
                self.revision
            }

            fn save<'a>(
                self,
                pilot: &'a Pilot,
                session: &'a Session,
                expected: Option<u64>,
            ) -> BoxFuture<'a, Result<Versioned<Book>, Problem>> {
                let value = $into(self.$field);
                Box::pin(pilot.$save(&session.tenant, &session.caller, value, expected))
            }
        }
    )+};
}

parts! {
    PoliciesView {
        policies: |book| book.policies.policies, set_policies(|policies| PolicySet { policies })
    }
    LimitsView { rules: |book| book.limits.rules, set_limits(|rules| Limits { rules }) }
    FreezesView { freezes: |book| book.freezes, set_freezes(identity) }
    ApprovalRulesView { rules: |book| book.approval_rules, set_approval_rules(identity) }
}

impl Part for KillSwitchView {
    fn of(book: Book, revision: Option<u64>) -> Self {
        Self { kill_switch: book.kill_switch, revision }
    }
}

async fn get_part<P: Part>(State(api): State<Api>, session: Session) -> Answer<Response> {
    Ok(part::<P>(api.pilot.book(&session.tenant, &session.caller).await?))
}

async fn put_part<P: Replaced>(
    State(api): State<Api>,
    session: Session,
    if_match: IfMatch,
    Body(given): Body<P>,
) -> Answer<Response> {
    let expected = if_match.or(given.revision()).required(WHAT)?;
    Ok(part::<P>(given.save(&api.pilot, &session, expected).await?))
}

fn part<P: Part>(book: Versioned<Book>) -> Response {
    let revision = book.revision;
    with_etag(StatusCode::OK, revision, &P::of(book.value, Some(revision)))
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
    with_etag(StatusCode::OK, book.revision, &AutonomyView::of(book, names))
}
