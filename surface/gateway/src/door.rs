//! Who is let in.

use async_trait::async_trait;
use http::{Extensions, HeaderMap};
use oag_types::{Permission, Problem, Tenant};

/// Somebody who was let in, and may use models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Who owns the work and is charged for it.
    pub tenant: Tenant,
    /// Who asks, as the tenant names them.
    pub user: String,
    /// What the credential narrows their rights to; empty when to nothing.
    pub scopes: Vec<Permission>,
}

/// Lets callers in.
#[async_trait]
pub trait Door: Send + Sync + 'static {
    /// Who is behind a request, when they may use models.
    ///
    /// # Errors
    /// Why they are not let in.
    async fn admit(&self, headers: &HeaderMap, extensions: &Extensions)
    -> Result<Visitor, Problem>;
}
