//! Who is calling, and what they may do.

use oag_guard::permissions::covers;
use oag_guard::{PolicySet, Resource};
use oag_types::{Code, KeyId, Permission, Principal, Problem};

/// A principal with the credential it came with. A key's scopes only narrow what the principal
/// may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// By which key; absent for tokens and for the product itself.
    pub key: Option<KeyId>,
    /// What the key is narrowed to; empty: everything the principal may.
    pub scopes: Vec<Permission>,
}

impl Caller {
    /// A principal by itself.
    #[must_use]
    pub const fn of(principal: Principal) -> Self {
        Self { principal, key: None, scopes: Vec::new() }
    }

    /// Whether the caller may do this to that.
    ///
    /// # Errors
    /// `FORBIDDEN`, with the reason.
    pub fn require(
        &self,
        policies: &PolicySet,
        permission: &str,
        resource: &Resource,
    ) -> Result<(), Problem> {
        let permission = Permission::new(permission);
        let narrowed = !self.scopes.is_empty();
        if narrowed && !self.scopes.iter().any(|scope| covers(scope, &permission)) {
            let text = format!("this key does not carry {}", permission.as_str());
            return Err(Problem::new(Code::FORBIDDEN, text));
        }
        policies
            .allows(&self.principal, &permission, resource)
            .map_err(|reason| Problem::new(Code::FORBIDDEN, reason.text))
    }
}
