//! People, service accounts, keys, and who is calling.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use oag_guard::{Resource, permissions};
use oag_pilot::Caller;
use oag_types::{ErrorKind, KeyId, Principal, PrincipalId, Problem};
use serde::Deserialize;

use super::{ListParams, page_or_watch};
use crate::auth::Session;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Body, IfMatch, Params, Segment, json, with_etag};
use crate::http::page::ListScope;
use crate::http::problem::{Answer, Failure};
use crate::shape::Shape;
use crate::state::Api;
use crate::wire::{
    KeyMinted, KeyRequest, KeyView, PrincipalChange, PrincipalRequest, PrincipalView, WhoAmI,
};

pub(super) fn routes(routes: Routes) -> Routes {
    let whoami = Operation::get("/api/v1/whoami", "whoAmI", "Who is calling").answers::<WhoAmI>();
    let list = Operation::get("/api/v1/principals", "listPrincipals", "People and programs")
        .permission(permissions::PRINCIPAL_VIEW)
        .paged()
        .watched()
        .answers_page::<PrincipalView>();
    let create = Operation::post("/api/v1/principals", "createPrincipal", "A new one")
        .permission(permissions::PRINCIPAL_WRITE)
        .reads::<PrincipalRequest>()
        .answers_with::<PrincipalView>(StatusCode::CREATED);
    let change = Operation::put("/api/v1/principals/{id}", "putPrincipal", "Change name or roles")
        .about("Or disable it. `If-Match`, or `revision` in the body, is needed.")
        .permission(permissions::PRINCIPAL_WRITE)
        .reads::<PrincipalChange>()
        .answers::<PrincipalView>();
    let keys = Operation::get("/api/v1/keys", "listKeys", "API keys, never their secrets")
        .about("One's own keys need no permission: name oneself as `principal`.")
        .permission(permissions::KEY_VIEW)
        .parameter("principal", Shape::Text, "Only keys of this principal.")
        .paged()
        .watched()
        .answers_page::<KeyView>();
    let mint = Operation::post("/api/v1/keys", "mintKey", "A new API key")
        .about("The secret is in this answer and nowhere else; a replay does not repeat it.")
        .permission(permissions::KEY_WRITE)
        .shown_once("secret")
        .reads::<KeyRequest>()
        .answers_with::<KeyMinted>(StatusCode::CREATED);
    let revoke = Operation::post("/api/v1/keys/{id}/revoke", "revokeKey", "Revoke a key at once")
        .about("One's own keys need no permission.")
        .permission(permissions::KEY_WRITE)
        .answers::<KeyView>();
    routes
        .tag("directory")
        .add(whoami, who_am_i)
        .add(list, list_principals)
        .add(create, create_principal)
        .add(change, put_principal)
        .add(keys, list_keys)
        .add(mint, mint_key)
        .add(revoke, revoke_key)
}

async fn who_am_i(State(api): State<Api>, session: Session) -> Answer<Response> {
    let mut held = Vec::new();
    for (name, _) in permissions::ALL {
        let whole = Resource::tenant();
        match api.pilot.require(&session.tenant, &session.caller, name, &whole).await {
            Ok(()) => held.push((*name).to_owned()),
            Err(problem) if problem.kind() == oag_types::ErrorKind::Denied => {}
            Err(problem) => return Err(problem.into()),
        }
    }
    let Session { tenant, caller, .. } = session;
    let Caller { principal, key, scopes } = Caller::clone(&caller);
    let Principal { id, kind, name, roles, disabled: _ } = principal;
    Ok(json(&WhoAmI { id, kind, name, roles, tenant, key, scopes, permissions: held }))
}

async fn list_principals(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Answer<Response> {
    let scope = ListScope::new("principals", &session.tenant, &[]);
    let request = params.page(&api, &scope)?;
    let page = api.pilot.principals(&session.tenant, &session.caller, request).await?;
    let list = ("principal", scope, page);
    page_or_watch::<_, PrincipalView>(&api, &session, params, &headers, list).await
}

async fn create_principal(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<PrincipalRequest>,
) -> Answer<Response> {
    let made = api.pilot.create_principal(&session.tenant, &session.caller, request.into()).await?;
    Ok(with_etag(StatusCode::CREATED, made.revision, &PrincipalView::from(made)))
}

async fn put_principal(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<PrincipalId>,
    if_match: IfMatch,
    Body(change): Body<PrincipalChange>,
) -> Answer<Response> {
    if change.id.is_some_and(|named| named != id) {
        return Err(Failure::field("id", format!("the path says {id}")));
    }
    let expected = if_match.or(change.revision).required("the principal")?;
    let principal = Principal {
        id,
        kind: change.kind,
        name: change.name,
        roles: change.roles,
        disabled: change.disabled,
    };
    let (tenant, caller) = (&session.tenant, &session.caller);
    let saved = api.pilot.update_principal(tenant, caller, principal, expected).await;
    if may_have_come(&saved) {
        api.known.forget_principal(id);
    }
    let saved = saved?;
    Ok(with_etag(StatusCode::OK, saved.revision, &PrincipalView::from(saved)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyParams {
    principal: Option<String>,
    page_size: Option<usize>,
    page_token: Option<String>,
    #[serde(default)]
    watch: bool,
    from_revision: Option<u64>,
}

async fn list_keys(
    State(api): State<Api>,
    session: Session,
    headers: HeaderMap,
    Params(params): Params<KeyParams>,
) -> Answer<Response> {
    let scope = ListScope::new("keys", &session.tenant, &[params.principal.as_deref()]);
    let wrong = |error: oag_types::IdError| Failure::field("principal", error.to_string());
    let principal: Option<PrincipalId> =
        params.principal.map(|text| text.parse()).transpose().map_err(wrong)?;
    let list = ListParams {
        page_size: params.page_size,
        page_token: params.page_token,
        watch: params.watch,
        from_revision: params.from_revision,
    };
    let request = list.page(&api, &scope)?;
    let page = api.pilot.keys(&session.tenant, &session.caller, principal, request).await?;
    page_or_watch::<_, KeyView>(&api, &session, list, &headers, ("key", scope, page)).await
}

async fn mint_key(
    State(api): State<Api>,
    session: Session,
    Body(request): Body<KeyRequest>,
) -> Answer<Response> {
    let (key, secret) =
        api.pilot.mint_key(&session.tenant, &session.caller, request.into()).await?;
    let revision = key.revision;
    let minted = KeyMinted { key: key.into(), secret: Some(secret.expose().to_owned()) };
    Ok(with_etag(StatusCode::CREATED, revision, &minted))
}

async fn revoke_key(
    State(api): State<Api>,
    session: Session,
    Segment(id): Segment<KeyId>,
) -> Answer<Response> {
    let revoked = api.pilot.revoke_key(&session.tenant, &session.caller, id).await;
    if may_have_come(&revoked) {
        api.known.forget_key(id);
    }
    let key = revoked?;
    Ok(with_etag(StatusCode::OK, key.revision, &KeyView::from(key)))
}

/// Whether a change came, or nobody knows how far it came. What was refused changed nothing.
fn may_have_come<T>(changed: &Result<T, Problem>) -> bool {
    let refused = [ErrorKind::Invalid, ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Stale];
    changed.as_ref().err().is_none_or(|problem| !refused.contains(&problem.kind()))
}
