//! People and service accounts, their roles, and what permissions are called.

use serde::{Deserialize, Serialize};

use crate::{GroupName, PrincipalId};

/// Whether a principal is a person. Only people approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A human being.
    Person,
    /// A program, the loop itself included.
    ServiceAccount,
}

/// The three roles every installation has; policies can name more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Role(pub String);

impl Role {
    /// All nodes and services: deploy, restart, change configuration, manage identities.
    pub const ADMIN: &'static str = "admin";
    /// Assigned groups: view logs, start and stop services.
    pub const OPERATOR: &'static str = "operator";
    /// Read-only everywhere: reviews the ledger.
    pub const AUDITOR: &'static str = "auditor";

    /// From a name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a role holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everywhere in the tenant.
    All,
    /// In these groups only.
    Groups(Vec<GroupName>),
}

/// A role given to a principal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleBinding {
    /// Which role.
    pub role: Role,
    /// Where it holds.
    pub scope: Scope,
}

/// A permission, `resource:verb`, such as `service:restart` or `log:view`. In policies `*` stands
/// for any resource or verb.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permission(pub String);

impl Permission {
    /// From text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person or a service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Its id.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
    /// Name for people.
    pub name: String,
    /// Roles it holds.
    pub roles: Vec<RoleBinding>,
    /// Disabled principals can do nothing.
    #[serde(default)]
    pub disabled: bool,
}
