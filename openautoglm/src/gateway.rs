//! Lets clients of language models in by the API's keys and tokens.

use async_trait::async_trait;
use http::{Extensions, HeaderMap};
use oag_api::Entrance;
use oag_gateway::{Door, Visitor};
use oag_guard::permissions;
use oag_types::Problem;

/// The gateway's door.
pub(crate) struct ApiDoor(pub(crate) Entrance);

#[async_trait]
impl Door for ApiDoor {
    async fn admit(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Visitor, Problem> {
        let admitted = self.0.admit(headers, extensions, permissions::MODEL_USE).await;
        let (tenant, caller) = admitted?;
        let user = caller.principal.id.to_string();
        Ok(Visitor { tenant, user, scopes: caller.scopes.clone() })
    }
}
