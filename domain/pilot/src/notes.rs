//! What people do by their word and not by a plan, written down.

use oag_types::{Problem, Tenant};
use serde_json::{Value, json};

use crate::{Caller, Pilot};

impl Pilot {
    /// Writes into the ledger what a caller is about to do, before it is done. Whether the caller
    /// may is asked before, by [`Pilot::require`].
    ///
    /// # Errors
    /// When the store does not answer; then it must not be done.
    pub async fn write_down(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        (kind, subject): (&'static str, &str),
        what: Value,
    ) -> Result<(), Problem> {
        let payload = json!({ "by": caller.principal.id, "what": what });
        let batch = self.batch().ledger(kind, subject, payload.to_string());
        self.save(tenant, batch).await.map(|_| ())
    }
}
