//! People, service accounts and keys on the wire.

use oag_guard::ApiKey;
use oag_pilot::{NewKey, NewPrincipal, Versioned};
use oag_types::{
    KeyId, Permission, Principal, PrincipalId, PrincipalKind, RoleBinding, Tenant, Timestamp,
};
use serde::{Deserialize, Serialize};

wire! {
    /// A new person or service account.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"kind": "person", "name": "Li Wei", "roles": [
        {"role": "operator", "scope": {"groups": ["payments"]}}]})]
    pub(crate) struct PrincipalRequest {
        /// Person or service account.
        pub(crate) kind: PrincipalKind,
        /// Name for people.
        pub(crate) name: String,
        /// Roles.
        #[serde(default)]
        pub(crate) roles: Vec<RoleBinding>,
    }
}

impl From<PrincipalRequest> for NewPrincipal {
    fn from(request: PrincipalRequest) -> Self {
        Self { kind: request.kind, name: request.name, roles: request.roles }
    }
}

wire! {
    /// What becomes of a principal; id and kind stay.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct PrincipalChange {
        /// Its id; when given, the one of the path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(crate) id: Option<PrincipalId>,
        /// Person or service account; cannot be changed.
        pub(crate) kind: PrincipalKind,
        /// Name for people.
        pub(crate) name: String,
        /// Roles.
        pub(crate) roles: Vec<RoleBinding>,
        /// Whether it can do nothing.
        #[serde(default)]
        pub(crate) disabled: bool,
        /// Stands for `If-Match`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(crate) revision: Option<u64>,
    }

    /// A person or service account.
    #[derive(Serialize)]
    pub(crate) struct PrincipalView {
        /// Its id.
        #[example("usr_019a0c7e5f0a7bd2a1b2c3d4e5f60718")]
        pub(crate) id: PrincipalId,
        /// Person or service account.
        pub(crate) kind: PrincipalKind,
        /// Name for people.
        pub(crate) name: String,
        /// Roles.
        pub(crate) roles: Vec<RoleBinding>,
        /// Whether it can do nothing.
        pub(crate) disabled: bool,
        /// The revision of its last change.
        pub(crate) revision: u64,
    }
}

impl From<Versioned<Principal>> for PrincipalView {
    fn from(found: Versioned<Principal>) -> Self {
        let Principal { id, kind, name, roles, disabled } = found.value;
        Self { id, kind, name, roles, disabled, revision: found.revision }
    }
}

wire! {
    /// A new API key.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"principal": "usr_019a0c7e5f0a7bd2a1b2c3d4e5f60718", "name": "ci",
        "scopes": ["signal:write"], "expires_at": "2027-01-01T00:00:00Z"})]
    pub(crate) struct KeyRequest {
        /// Whose.
        pub(crate) principal: PrincipalId,
        /// What it is for.
        pub(crate) name: String,
        /// What it is narrowed to; everything its principal may when empty.
        #[serde(default)]
        pub(crate) scopes: Vec<Permission>,
        /// When it ends; never when absent.
        #[serde(default)]
        pub(crate) expires_at: Option<Timestamp>,
    }
}

impl From<KeyRequest> for NewKey {
    fn from(request: KeyRequest) -> Self {
        let KeyRequest { principal, name, scopes, expires_at } = request;
        Self { principal, name, scopes, expires_at }
    }
}

wire! {
    /// An API key, without its secret.
    #[derive(Serialize)]
    pub(crate) struct KeyView {
        /// Its id, part of the text that is presented.
        pub(crate) id: KeyId,
        /// Whose.
        pub(crate) principal: PrincipalId,
        /// What it is for.
        pub(crate) name: String,
        /// What it is narrowed to.
        pub(crate) scopes: Vec<Permission>,
        /// When it was made.
        pub(crate) created_at: Timestamp,
        /// When it ends.
        pub(crate) expires_at: Option<Timestamp>,
        /// When it was revoked.
        pub(crate) revoked_at: Option<Timestamp>,
        /// When it was last used.
        pub(crate) last_used_at: Option<Timestamp>,
        /// The revision of its last change.
        pub(crate) revision: u64,
    }
}

impl From<Versioned<ApiKey>> for KeyView {
    fn from(found: Versioned<ApiKey>) -> Self {
        let revision = found.revision;
        let ApiKey {
            id,
            principal,
            name,
            hash: _,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = found.value;
        Self {
            id,
            principal,
            name,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
            revision,
        }
    }
}

wire! {
    /// A new key with its secret, which is shown this once.
    #[derive(Serialize)]
    pub(crate) struct KeyMinted {
        /// The key.
        pub(crate) key: KeyView,
        /// What to present as `Authorization: Bearer …`. Null when the answer is a replay.
        pub(crate) secret: Option<String>,
    }
}

wire! {
    /// Who is calling.
    #[derive(Serialize)]
    pub(crate) struct WhoAmI {
        /// The id of the principal.
        pub(crate) id: PrincipalId,
        /// Person or service account.
        pub(crate) kind: PrincipalKind,
        /// Its name.
        pub(crate) name: String,
        /// Its roles.
        pub(crate) roles: Vec<RoleBinding>,
        /// Its tenant.
        pub(crate) tenant: Tenant,
        /// The key it came with.
        pub(crate) key: Option<KeyId>,
        /// What the credential is narrowed to; everything when empty.
        pub(crate) scopes: Vec<Permission>,
        /// What it may do everywhere; more may hold in its groups.
        pub(crate) permissions: Vec<String>,
    }
}
