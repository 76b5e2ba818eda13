//! The directory of people, service accounts and their keys.

use oag_guard::{ApiKey, Book, Policy, Resource, Secret, mint, parse_key, permissions, verify};
use oag_types::{
    Code, KeyId, Permission, Principal, PrincipalId, PrincipalKind, Problem, Role, RoleBinding,
    Scope, Tenant, Timestamp,
};
use serde_json::json;

use crate::docs::{self, KEYS, PRINCIPALS, PageOf, PageRequest, to_json};
use crate::pilot::revision_mismatch;
use crate::rules::guard_problem;
use crate::{Caller, Pilot, Versioned};

/// The name of the service account under which the loop proposes.
const LOOP_ACCOUNT: &str = "autopilot";

/// What a new principal is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrincipal {
    /// Person or service account.
    pub kind: PrincipalKind,
    /// Name for people, 1 to 100 characters.
    pub name: String,
    /// Roles.
    pub roles: Vec<RoleBinding>,
}

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Whose.
    pub principal: PrincipalId,
    /// Name for people, 1 to 100 characters.
    pub name: String,
    /// What it is narrowed to; empty: everything its principal may.
    pub scopes: Vec<Permission>,
    /// When it ends; never when absent.
    pub expires_at: Option<Timestamp>,
}

impl Pilot {
    /// Makes the first admin with a key, and the loop's account, unless they exist. Returns the
    /// secret only when it was made just now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn bootstrap(&self, tenant: &Tenant) -> Result<Option<Secret>, Problem> {
        let found = docs::all::<Principal>(&*self.store, tenant, PRINCIPALS).await?;
        if !found.is_empty() {
            return Ok(None);
        }
        let admin = self.new_principal(NewPrincipal {
            kind: PrincipalKind::Person,
            name: "admin".to_owned(),
            roles: vec![RoleBinding { role: Role::new(Role::ADMIN), scope: Scope::All }],
        })?;
        let looping = self.new_principal(NewPrincipal {
            kind: PrincipalKind::ServiceAccount,
            name: LOOP_ACCOUNT.to_owned(),
            roles: vec![RoleBinding { role: Role::new(LOOP_ACCOUNT), scope: Scope::All }],
        })?;
        let (key, secret) = self.new_key(NewKey {
            principal: admin.id,
            name: "first admin key".to_owned(),
            scopes: Vec::new(),
            expires_at: None,
        })?;
        let mut batch = self.batch();
        for principal in [&admin, &looping] {
            let id = principal.id.to_string();
            let payload = json!({"created": principal, "by": "the first start"}).to_string();
            batch = batch
                .expect(docs::absent(PRINCIPALS, &id))
                .put(PRINCIPALS, id.clone(), to_json(principal)?, &principal.name)
                .ledger("identity", id, payload);
        }
        let id = key.id.to_string();
        let payload = json!({"minted": id, "principal": admin.id}).to_string();
        batch = batch
            .put(KEYS, id.clone(), to_json(&key)?, admin.id.to_string())
            .ledger("identity", id, payload);
        let _admission = self.admission.lock().await;
        let read = self.rules(tenant).await?;
        let mut book = Book::clone(&read.value);
        book.policies.policies.push(loop_policy());
        self.save_with_rules(tenant, batch, book, read.revision).await?;
        Ok(Some(secret))
    }

    /// The account under which the loop proposes.
    ///
    /// # Errors
    /// When [`Pilot::bootstrap`] was never run, or the store does not answer.
    pub async fn loop_account(&self, tenant: &Tenant) -> Result<Principal, Problem> {
        let mut accounts = self.all_principals(tenant).await?.into_iter();
        accounts
            .find(|p| p.name == LOOP_ACCOUNT && p.kind == PrincipalKind::ServiceAccount)
            .ok_or_else(|| Problem::not_found("service account", LOOP_ACCOUNT))
    }

    /// Every principal.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn principals(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        page: PageRequest,
    ) -> Result<PageOf<Versioned<Principal>>, Problem> {
        self.require(tenant, caller, permissions::PRINCIPAL_VIEW, &Resource::tenant()).await?;
        docs::page(&*self.store, tenant, PRINCIPALS, None, page, false).await
    }

    /// Every principal, for the process itself.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn all_principals(&self, tenant: &Tenant) -> Result<Vec<Principal>, Problem> {
        let found = docs::all::<Principal>(&*self.store, tenant, PRINCIPALS).await?;
        Ok(found.into_iter().map(|found| found.value).collect())
    }

    /// Creates a principal.
    ///
    /// # Errors
    /// `FORBIDDEN`, or a name that is empty or too long.
    pub async fn create_principal(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        wanted: NewPrincipal,
    ) -> Result<Versioned<Principal>, Problem> {
        self.require(tenant, caller, permissions::PRINCIPAL_WRITE, &Resource::tenant()).await?;
        let principal = self.new_principal(wanted)?;
        let id = principal.id.to_string();
        let payload = json!({"created": principal, "by": caller.principal.id}).to_string();
        let batch = self
            .batch()
            .expect(docs::absent(PRINCIPALS, &id))
            .put(PRINCIPALS, id.clone(), to_json(&principal)?, &principal.name)
            .ledger("identity", id, payload);
        let revision = self.save(tenant, batch).await?.revision;
        Ok(Versioned { value: principal, revision })
    }

    /// Changes a principal's name, roles or whether it is disabled. Its id and kind stay.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, another revision, or when the last admin would be shut out.
    pub async fn update_principal(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        changed: Principal,
        expected: Option<u64>,
    ) -> Result<Versioned<Principal>, Problem> {
        self.require(tenant, caller, permissions::PRINCIPAL_WRITE, &Resource::tenant()).await?;
        let id = changed.id.to_string();
        let before = self.find_principal(tenant, changed.id).await?;
        if let Some(wanted) = expected.filter(|wanted| *wanted != before.revision) {
            return Err(revision_mismatch("the principal", wanted, before.revision));
        }
        if changed.kind != before.value.kind {
            return Err(Problem::field("kind", "cannot be changed: make another principal"));
        }
        check_name(&changed.name)?;
        self.keep_an_admin(tenant, &changed).await?;
        let payload = json!({"before": before.value, "after": changed, "by": caller.principal.id})
            .to_string();
        let batch = self
            .batch()
            .expect(docs::unchanged(PRINCIPALS, &id, before.revision))
            .put(PRINCIPALS, id.clone(), to_json(&changed)?, &changed.name)
            .ledger("identity", id, payload);
        let revision = self.save(tenant, batch).await?.revision;
        Ok(Versioned { value: changed, revision })
    }

    /// Keys, of one principal or all; never their secrets.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn keys(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        principal: Option<PrincipalId>,
        page: PageRequest,
    ) -> Result<PageOf<Versioned<ApiKey>>, Problem> {
        if principal != Some(caller.principal.id) {
            self.require(tenant, caller, permissions::KEY_VIEW, &Resource::tenant()).await?;
        }
        let tag = principal.map(|id| id.to_string());
        docs::page(&*self.store, tenant, KEYS, tag, page, false).await
    }

    /// Makes a key. The secret is shown this once.
    ///
    /// # Errors
    /// `FORBIDDEN`, an unknown principal, a wrong scope, or an end in the past.
    pub async fn mint_key(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        wanted: NewKey,
    ) -> Result<(Versioned<ApiKey>, Secret), Problem> {
        self.require(tenant, caller, permissions::KEY_WRITE, &Resource::tenant()).await?;
        self.find_principal(tenant, wanted.principal).await?;
        if !caller.scopes.is_empty() && wanted.scopes.is_empty() {
            return Err(Problem::field("scopes", "a narrowed key cannot make one that is not"));
        }
        let (key, secret) = self.new_key(wanted)?;
        let id = key.id.to_string();
        let payload = json!({
            "minted": id, "principal": key.principal, "scopes": key.scopes,
            "expires_at": key.expires_at, "by": caller.principal.id,
        });
        let batch = self
            .batch()
            .expect(docs::absent(KEYS, &id))
            .put(KEYS, id.clone(), to_json(&key)?, key.principal.to_string())
            .ledger("identity", id, payload.to_string());
        let revision = self.save(tenant, batch).await?.revision;
        Ok((Versioned { value: key, revision }, secret))
    }

    /// Revokes a key at once. Revoking twice changes nothing.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn revoke_key(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: KeyId,
    ) -> Result<Versioned<ApiKey>, Problem> {
        let text = id.to_string();
        let found = docs::get::<ApiKey>(&*self.store, tenant, KEYS, &text)
            .await?
            .ok_or_else(|| Problem::not_found("key", id))?;
        if found.value.principal != caller.principal.id {
            self.require(tenant, caller, permissions::KEY_WRITE, &Resource::tenant()).await?;
        }
        if found.value.revoked_at.is_some() {
            return Ok(found);
        }
        let mut key = found.value;
        key.revoked_at = Some(self.now());
        let payload = json!({"revoked": text, "by": caller.principal.id}).to_string();
        let batch = self
            .batch()
            .expect(docs::unchanged(KEYS, &text, found.revision))
            .put(KEYS, text.clone(), to_json(&key)?, key.principal.to_string())
            .ledger("identity", text, payload);
        let revision = self.save(tenant, batch).await?.revision;
        Ok(Versioned { value: key, revision })
    }

    /// Who presents this API key.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a key that is not known, `CREDENTIALS_EXPIRED` for one that was.
    pub async fn authenticate(&self, tenant: &Tenant, presented: &str) -> Result<Caller, Problem> {
        self.authenticate_until(tenant, presented).await.map(|(caller, _)| caller)
    }

    /// The same, with the moment at which the key ends, for those who remember the answer.
    ///
    /// # Errors
    /// As [`Pilot::authenticate`].
    pub async fn authenticate_until(
        &self,
        tenant: &Tenant,
        presented: &str,
    ) -> Result<(Caller, Option<Timestamp>), Problem> {
        let unknown = || Problem::new(Code::UNAUTHENTICATED, "the API key is not valid");
        let (id, secret) = parse_key(presented).ok_or_else(unknown)?;
        let key = docs::get::<ApiKey>(&*self.store, tenant, KEYS, &id.to_string())
            .await?
            .ok_or_else(unknown)?
            .value;
        verify(&key, &secret, self.now()).map_err(|error| match error {
            oag_guard::KeyError::Wrong => unknown(),
            gone => Problem::new(Code::CREDENTIALS_EXPIRED, gone.to_string()),
        })?;
        let mut caller = self.caller_of(tenant, key.principal).await?;
        caller.key = Some(key.id);
        caller.scopes = key.scopes;
        Ok((caller, key.expires_at))
    }

    /// The caller behind a verified token's subject.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when there is none, or it is disabled.
    pub async fn caller_of(&self, tenant: &Tenant, id: PrincipalId) -> Result<Caller, Problem> {
        let found =
            docs::get::<Principal>(&*self.store, tenant, PRINCIPALS, &id.to_string()).await?;
        match found {
            Some(found) if !found.value.disabled => Ok(Caller::of(found.value)),
            _ => Err(Problem::new(Code::UNAUTHENTICATED, "this principal is unknown or disabled")),
        }
    }

    /// Whether the caller may do this to that.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn require(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        permission: &str,
        resource: &Resource,
    ) -> Result<(), Problem> {
        caller.require(&self.rules(tenant).await?.value.policies, permission, resource)
    }

    pub(crate) async fn find_principal(
        &self,
        tenant: &Tenant,
        id: PrincipalId,
    ) -> Result<Versioned<Principal>, Problem> {
        docs::get(&*self.store, tenant, PRINCIPALS, &id.to_string())
            .await?
            .ok_or_else(|| Problem::not_found("principal", id))
    }

    async fn keep_an_admin(&self, tenant: &Tenant, changed: &Principal) -> Result<(), Problem> {
        let is_admin = |p: &Principal| {
            let holds =
                p.roles.iter().any(|r| r.role.as_str() == Role::ADMIN && r.scope == Scope::All);
            p.kind == PrincipalKind::Person && !p.disabled && holds
        };
        let all = docs::all::<Principal>(&*self.store, tenant, PRINCIPALS).await?;
        let others = all.iter().any(|p| p.value.id != changed.id && is_admin(&p.value));
        if others || is_admin(changed) {
            return Ok(());
        }
        let text = "this is the last admin: make another person admin first";
        Err(Problem::new(Code::CONFLICT, text))
    }

    fn new_principal(&self, wanted: NewPrincipal) -> Result<Principal, Problem> {
        check_name(&wanted.name)?;
        Ok(Principal {
            id: self.ids.next(),
            kind: wanted.kind,
            name: wanted.name,
            roles: wanted.roles,
            disabled: false,
        })
    }

    fn new_key(&self, wanted: NewKey) -> Result<(ApiKey, Secret), Problem> {
        check_name(&wanted.name)?;
        let now = self.now();
        if wanted.expires_at.is_some_and(|at| at <= now) {
            return Err(Problem::field("expires_at", "lies in the past"));
        }
        let (id, scopes) = (self.ids.next(), wanted.scopes);
        mint(id, wanted.principal, wanted.name, scopes, wanted.expires_at, now)
            .map_err(|error| guard_problem(&error))
    }
}

/// The loop sees and proposes; what it proposes is carried out by the ladder or by people.
fn loop_policy() -> Policy {
    let permissions = [
        permissions::PLAN_PROPOSE,
        permissions::SERVICE_VIEW,
        permissions::SIGNAL_VIEW,
        permissions::FINDING_VIEW,
    ];
    Policy {
        role: Role::new(LOOP_ACCOUNT),
        permissions: permissions.iter().map(|name| Permission::new(*name)).collect(),
        resources: vec!["*".to_owned()],
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let count = name.chars().count();
    if name.trim().is_empty() || count > 100 || name.chars().any(char::is_control) {
        return Err(Problem::field("name", "use 1 to 100 characters, no control characters"));
    }
    Ok(())
}
