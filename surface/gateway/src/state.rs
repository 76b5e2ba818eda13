//! What the handlers share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;
use oag_serve::{Context, Engine, EngineError};
use oag_types::Timestamp;

use crate::GatewayParts;
use crate::door::Visitor;
use crate::trouble::Trouble;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Inner>);

pub(crate) struct Inner {
    parts: GatewayParts,
    /// When this process began to answer, in seconds since 1970.
    pub(crate) began_s: i64,
}

impl Deref for Inner {
    type Target = GatewayParts;

    fn deref(&self) -> &GatewayParts {
        &self.parts
    }
}

impl Deref for Gateway {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Gateway {
    pub(crate) fn new(parts: GatewayParts) -> Self {
        let began_s = seconds(parts.clock.now());
        Self(Arc::new(Inner { parts, began_s }))
    }

    /// The time, in seconds since 1970.
    pub(crate) fn now_s(&self) -> i64 {
        seconds(self.clock.now())
    }

    /// What answers for a model.
    pub(crate) fn engine(&self, model: &str) -> Result<Arc<dyn Engine>, EngineError> {
        self.engines.of(model).map(|entry| entry.engine)
    }
}

const fn seconds(time: Timestamp) -> i64 {
    time.as_millis() / 1_000
}

/// A request that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) visitor: Visitor,
}

impl Asked {
    /// What travels with the work.
    pub(crate) fn context(&self, within_ms: u64) -> Context {
        let mut context = Context::new(self.visitor.tenant.clone(), self.id.clone());
        context.user = Some(self.visitor.user.clone());
        context.scopes = Some(self.visitor.scopes.clone());
        context.within = Some(Duration::from_millis(within_ms));
        context
    }
}

/// The id of a request, as the edge gave it.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl FromRequestParts<Gateway> for Asked {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Trouble> {
        let id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        // Anthropic's clients send their key in a header of its own.
        if !parts.headers.contains_key(AUTHORIZATION)
            && let Some(key) = parts.headers.get("x-api-key").and_then(|key| key.to_str().ok())
            && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {key}"))
        {
            value.set_sensitive(true);
            parts.headers.insert(AUTHORIZATION, value);
        }
        let visitor = gateway.door.admit(&parts.headers, &parts.extensions).await?;
        Ok(Self { id, visitor })
    }
}
