//! What travels with a request through every service. Nothing in it outlives the request.

use std::time::Duration;

use oag_types::{Permission, Tenant, TraceId};
use serde::{Deserialize, Serialize};

/// How urgent an answer is. Of two requests the more urgent is always begun first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// The product's own work, such as an operator's question during an incident.
    Critical,
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Nobody waits, but it has to be done.
    Batch,
    /// Held back while the fleet is loaded.
    Background,
}

/// For whom a request is, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The request's own id, the same in every log and at every upstream.
    pub request: String,
    /// Who owns the work and is charged for it.
    pub tenant: Tenant,
    /// Who asked, as the tenant names them.
    pub user: Option<String>,
    /// What the credential narrows the user's rights to, empty when to nothing. None where that is
    /// not known: then nothing is answered from what only some users may see. It stays in the
    /// process that took the request in.
    #[serde(skip)]
    pub scopes: Option<Vec<Permission>>,
    /// How urgent it is.
    #[serde(default)]
    pub urgency: Urgency,
    /// The trace it belongs to.
    pub trace: Option<TraceId>,
    /// How long the answer is of any use, from when the request is handed over; none: always.
    pub within: Option<Duration>,
}

impl Context {
    /// Of a tenant, under a request id, without anything else.
    #[must_use]
    pub const fn new(tenant: Tenant, request: String) -> Self {
        let urgency = Urgency::Interactive;
        Self { request, tenant, user: None, scopes: None, urgency, trace: None, within: None }
    }
}
