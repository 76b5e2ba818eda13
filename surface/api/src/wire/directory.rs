//! People, service accounts and keys on the wire.

use oag_guard::ApiKey;
use oag_pilot::{NewKey, NewPrincipal, Versioned};
use oag_types::{
    KeyId, Permission, Principal, PrincipalId, PrincipalKind, RoleBinding, Tenant, Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rules;

/// A new person or service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "person", "name": "Li Wei", "roles": [
    {"role": "operator", "scope": {"groups": ["payments"]}}]}))]
pub struct PrincipalRequest {
    /// Person or service account.
    #[schema(value_type = rules::PrincipalKind)]
    pub kind: PrincipalKind,
    /// Name for people.
    pub name: String,
    /// Roles.
    #[serde(default)]
    #[schema(value_type = Vec<rules::RoleBinding>)]
    pub roles: Vec<RoleBinding>,
}

impl From<PrincipalRequest> for NewPrincipal {
    fn from(request: PrincipalRequest) -> Self {
        Self { kind: request.kind, name: request.name, roles: request.roles }
    }
}

/// What becomes of a principal; id and kind stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrincipalChange {
    /// Its id; when given, the one of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<PrincipalId>,
    /// Person or service account; cannot be changed.
    #[schema(value_type = rules::PrincipalKind)]
    pub kind: PrincipalKind,
    /// Name for people.
    pub name: String,
    /// Roles.
    #[schema(value_type = Vec<rules::RoleBinding>)]
    pub roles: Vec<RoleBinding>,
    /// Whether it can do nothing.
    #[serde(default)]
    pub disabled: bool,
    /// Stands for `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// A person or service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrincipalView {
    /// Its id.
    #[schema(value_type = String, example = "usr_019a0c7e5f0a7bd2a1b2c3d4e5f60718")]
    pub id: PrincipalId,
    /// Person or service account.
    #[schema(value_type = rules::PrincipalKind)]
    pub kind: PrincipalKind,
    /// Name for people.
    pub name: String,
    /// Roles.
    #[schema(value_type = Vec<rules::RoleBinding>)]
    pub roles: Vec<RoleBinding>,
    /// Whether it can do nothing.
    pub disabled: bool,
    /// The revision of its last change.
    pub revision: u64,
}

impl From<Versioned<Principal>> for PrincipalView {
    fn from(found: Versioned<Principal>) -> Self {
        let Principal { id, kind, name, roles, disabled } = found.value;
        Self { id, kind, name, roles, disabled, revision: found.revision }
    }
}

/// A new API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"principal": "usr_019a0c7e5f0a7bd2a1b2c3d4e5f60718", "name": "ci",
    "scopes": ["signal:write"], "expires_at": "2027-01-01T00:00:00Z"}))]
pub struct KeyRequest {
    /// Whose.
    #[schema(value_type = String)]
    pub principal: PrincipalId,
    /// What it is for.
    pub name: String,
    /// What it is narrowed to; everything its principal may when empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Permission>,
    /// When it ends; never when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl From<KeyRequest> for NewKey {
    fn from(request: KeyRequest) -> Self {
        let KeyRequest { principal, name, scopes, expires_at } = request;
        Self { principal, name, scopes, expires_at }
    }
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyView {
    /// Its id, part of the text that is presented.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// Whose.
    #[schema(value_type = String)]
    pub principal: PrincipalId,
    /// What it is for.
    pub name: String,
    /// What it is narrowed to.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Permission>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// The revision of its last change.
    pub revision: u64,
}

impl From<Versioned<ApiKey>> for KeyView {
    fn from(found: Versioned<ApiKey>) -> Self {
        let key = found.value;
        Self {
            id: key.id,
            principal: key.principal,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            revision: found.revision,
        }
    }
}

/// A new key with its secret, which is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyMinted {
    /// The key.
    pub key: KeyView,
    /// What to present as `Authorization: Bearer …`. Null when the answer is a replay.
    pub secret: Option<String>,
}

impl std::fmt::Debug for KeyMinted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMinted").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoAmI {
    /// The id of the principal.
    #[schema(value_type = String)]
    pub id: PrincipalId,
    /// Person or service account.
    #[schema(value_type = rules::PrincipalKind)]
    pub kind: PrincipalKind,
    /// Its name.
    pub name: String,
    /// Its roles.
    #[schema(value_type = Vec<rules::RoleBinding>)]
    pub roles: Vec<RoleBinding>,
    /// Its tenant.
    #[schema(value_type = String)]
    pub tenant: Tenant,
    /// The key it came with.
    #[schema(value_type = Option<String>)]
    pub key: Option<KeyId>,
    /// What the credential is narrowed to; everything when empty.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Permission>,
    /// What it may do everywhere; more may hold in its groups.
    pub permissions: Vec<String>,
}
