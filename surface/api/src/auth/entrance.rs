//! The same keys and tokens for other surfaces of this process.

use std::sync::Arc;

use http::{Extensions, HeaderMap};
use oag_pilot::Caller;
use oag_types::{Code, Problem, Tenant};

use super::session_of;
use crate::state::Api;

/// Lets callers of other surfaces in, by the keys and tokens of the API, with its limits.
#[derive(Debug, Clone)]
pub struct Entrance(Api);

impl Entrance {
    pub(crate) fn of(api: &Api) -> Self {
        Self(api.clone())
    }

    /// Who is behind a request, when they hold a permission on the whole tenant.
    ///
    /// # Errors
    /// When they are not known or may not, when there were too many failed attempts, and while the
    /// process takes no new work.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        permission: &str,
    ) -> Result<(Tenant, Arc<Caller>), Problem> {
        let api = &self.0;
        if api.supervisor.shutdown().is_draining() {
            let text = "the server is shutting down and takes no new work";
            return Err(Problem::new(Code::DRAINING, text));
        }
        let session = session_of(api, headers, extensions).await?;
        session.require(api, permission, None).await?;
        Ok((session.tenant, session.caller))
    }
}
