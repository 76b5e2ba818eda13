//! Who is calling: API keys and tokens at the edge.

mod address;
mod entrance;
mod jwt;
mod known;
mod throttle;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName};
use oag_guard::Resource;
use oag_pilot::Caller;
use oag_store_port::Change;
use oag_types::{Code, Digest, ErrorKind, PrincipalId, Problem, Service, ServiceName, Tenant};

use self::address::address;
use self::jwt::TokenError;
use self::known::Name;
pub use entrance::Entrance;
pub(crate) use jwt::Tokens;
pub(crate) use known::Known;
pub(crate) use throttle::Throttle;

use crate::http::problem::{Answer, Failure};
use crate::http::watch::Topic;
use crate::state::Api;

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const X_TENANT: HeaderName = HeaderName::from_static("x-tenant");
const KEY_PREFIX: &str = "oag_";

/// A caller and the tenant its credential belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) tenant: Tenant,
    pub(crate) caller: Arc<Caller>,
    credential: Credential,
}

/// What was presented, kept for as long as the request lives. Never shown.
#[derive(Clone)]
struct Credential(Arc<str>);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(hidden)")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

impl Session {
    /// Whether the caller may do this: to a service, or to the tenant as a whole.
    pub(crate) async fn require(
        &self,
        api: &Api,
        permission: &str,
        service: Option<&Service>,
    ) -> Answer<()> {
        let resource = service.map_or_else(Resource::tenant, |service| {
            Resource::service(service.name.clone(), service.group.clone())
        });
        let required = api.pilot.require(&self.tenant, &self.caller, permission, &resource);
        required.await.map_err(Into::into)
    }

    /// The same for a service of the catalogue by name. Who holds the permission on the whole
    /// tenant may also name what is not in the catalogue.
    pub(crate) async fn require_on(
        &self,
        api: &Api,
        permission: &str,
        name: Option<&ServiceName>,
    ) -> Answer<()> {
        let whole = self.require(api, permission, None).await;
        let (Err(refused), Some(name)) = (&whole, name) else { return whole };
        if refused.code() != Code::FORBIDDEN {
            return whole;
        }
        let service = api.pilot.service(&self.tenant, &self.caller, name).await?.value;
        self.require(api, permission, Some(&service)).await
    }

    /// Whether the caller may see this change: by permission on the whole tenant, or because the
    /// thing itself is shown to it.
    pub(crate) async fn may_see(&self, api: &Api, topic: Topic, change: &Change) -> bool {
        let whole = Resource::tenant();
        let (tenant, caller) = (&self.tenant, &self.caller);
        if api.pilot.require(tenant, caller, topic.permission, &whole).await.is_ok() {
            return true;
        }
        match topic.resource {
            "service" => match change.id.parse::<ServiceName>() {
                Ok(name) => api.pilot.service(tenant, caller, &name).await.is_ok(),
                Err(_) => false,
            },
            "plan" => match change.id.parse() {
                Ok(id) => api.pilot.plan(tenant, caller, id).await.is_ok(),
                Err(_) => false,
            },
            _ => false,
        }
    }

    /// Asks once more who this is, for what lasts longer than a request: key, token and principal
    /// may have ended, and roles may be others. False when nobody is let in with this credential
    /// any more; a store that does not answer ends nothing.
    pub(crate) async fn renew(&mut self, api: &Api) -> bool {
        match identify(api, &self.credential.0).await {
            Ok(session) => {
                *self = session;
                true
            }
            Err(failure) => failure.code().kind != ErrorKind::Unauthenticated,
        }
    }
}

/// The caller behind a request.
pub(crate) async fn session_of(
    api: &Api,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Answer<Session> {
    let presented = presented(headers)?;
    let from = address(extensions, headers, &api.config.trusted_proxies);
    let now = api.clock.monotonic();
    if let Err(seconds) = api.throttle.admit(from, presented, now) {
        let text = "too many failed attempts to authenticate from this address";
        return Err(Problem::new(Code::OVERLOADED, text).retry_after(seconds).into());
    }
    let session = match identify(api, presented).await {
        Ok(session) => {
            api.throttle.succeeded(presented, now);
            session
        }
        Err(failure) => {
            if failure.code().kind == ErrorKind::Unauthenticated {
                api.throttle.failed(from, presented, now);
                api.http_metrics.auth_failed();
            }
            return Err(failure);
        }
    };
    check_tenant(&session, headers)?;
    Ok(session)
}

async fn identify(api: &Api, presented: &str) -> Answer<Session> {
    let credential = Credential(presented.into());
    if presented.starts_with(KEY_PREFIX) {
        let tenant = api.config.tenant.clone();
        let caller = holder(api, &tenant, presented).await?;
        return Ok(Session { tenant, caller, credential });
    }
    let (now, passed) = (api.clock.now(), api.clock.monotonic());
    let subject = api.tokens.verify(presented, now, passed).await.map_err(|error| match error {
        TokenError::Invalid | TokenError::UnknownKey => unauthenticated(),
        TokenError::Expired => Failure::new(Code::CREDENTIALS_EXPIRED, "the token has expired"),
    })?;
    let tenant = subject.tenant.unwrap_or_else(|| api.config.tenant.clone());
    let caller = principal(api, &tenant, subject.principal).await?;
    let scopes = subject.permissions;
    let caller = Arc::new(Caller { scopes, ..Caller::clone(&caller) });
    Ok(Session { tenant, caller, credential })
}

/// Who holds an API key.
async fn holder(api: &Api, tenant: &Tenant, presented: &str) -> Answer<Arc<Caller>> {
    let name = Name::Key(Digest::of(presented.as_bytes()));
    let look = match api.known.find(&name, api.clock.monotonic(), api.clock.now()) {
        Ok(caller) => return Ok(caller),
        Err(look) => look,
    };
    let found = api.pilot.authenticate_until(tenant, presented).await;
    let (caller, ends_at) = found.map_err(alike)?;
    let caller = Arc::new(caller);
    api.known.keep(name, look, &caller, ends_at);
    Ok(caller)
}

/// The principal that a token stands for.
async fn principal(api: &Api, tenant: &Tenant, id: PrincipalId) -> Answer<Arc<Caller>> {
    let name = Name::Principal(tenant.clone(), id);
    let look = match api.known.find(&name, api.clock.monotonic(), api.clock.now()) {
        Ok(caller) => return Ok(caller),
        Err(look) => look,
    };
    let caller = Arc::new(api.pilot.caller_of(tenant, id).await.map_err(alike)?);
    api.known.keep(name, look, &caller, None);
    Ok(caller)
}

/// Whatever is wrong with credentials is said in the same words, so that nobody learns which part
/// was right. Only the holder of a credential that was good once is told that its time is over.
fn alike(problem: Problem) -> Failure {
    if problem.code == Code::UNAUTHENTICATED { unauthenticated() } else { problem.into() }
}

pub(crate) fn unauthenticated() -> Failure {
    let text = "send an API key or a token as 'Authorization: Bearer …' or 'X-Auth-Token: …'";
    Failure::new(Code::UNAUTHENTICATED, text)
}

fn presented(headers: &HeaderMap) -> Answer<&str> {
    let bearer = headers.get(AUTHORIZATION).map(|value| {
        let text = value.to_str().ok()?;
        let (scheme, rest) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
    });
    let token = headers.get(X_AUTH_TOKEN).map(|value| value.to_str().ok().map(str::trim));
    // With both, both must say the same: a proxy's and a client's credential are never mixed up.
    let presented = match (bearer, token) {
        (Some(bearer), Some(token)) if bearer != token => None,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => None,
    };
    presented.filter(|text| !text.is_empty()).ok_or_else(unauthenticated)
}

fn check_tenant(session: &Session, headers: &HeaderMap) -> Answer<()> {
    let Some(wanted) = headers.get(X_TENANT) else { return Ok(()) };
    if wanted.as_bytes() == session.tenant.as_str().as_bytes() {
        return Ok(());
    }
    let text = format!("these credentials belong to the tenant '{}'", session.tenant);
    Err(Failure::new(Code::FORBIDDEN, text))
}
