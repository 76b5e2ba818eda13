//! The table of routes: the router and the OpenAPI document are made of the same lines, so that
//! neither has what the other lacks.

mod document;
pub(crate) mod operation;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use http::Method;

pub(crate) use operation::Operation;

use crate::auth::session_of;
use crate::http::extract::Bulk;
use crate::http::idempotency::{ShownOnce, once, to_the_end};
use crate::state::Api;

/// What a handler is once its arguments no longer matter.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler, whatever it takes out of the request.
pub(crate) type Endpoint = Arc<dyn Fn(Api, Request) -> Answering + Send + Sync>;

/// Routes with their operations.
pub(crate) struct Routes {
    router: Router<Api>,
    operations: Vec<Operation>,
    tag: &'static str,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), operations: Vec::new(), tag: "" }
    }

    /// What follows belongs to this chapter of the document.
    pub(crate) fn tag(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }

    /// One more operation. Only this line is compiled for each handler; what surrounds handlers is
    /// compiled once.
    pub(crate) fn add<H, T>(self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Api, Future = Answering> + Sync,
        T: 'static,
    {
        self.join(operation, Arc::new(move |api, request| handler.clone().call(request, api)))
    }

    fn join(mut self, mut operation: Operation, endpoint: Endpoint) -> Self {
        operation.tag = self.tag;
        let effect = match operation.method {
            _ if operation.effect => Effect::Once,
            Method::PUT | Method::DELETE => Effect::ToTheEnd,
            _ => Effect::None,
        };
        let door = Door {
            endpoint,
            public: operation.public,
            effect,
            bulk: operation.bulk,
            shown_once: operation.shown_once,
        };
        self.router = self.router.route(operation.path, on(filter(&operation.method), door));
        self.operations.push(operation);
        self
    }

    /// The routes, and the document about them.
    pub(crate) fn finish(self) -> (Router<Api>, String) {
        let text = document::render(self.operations);
        (self.router, text)
    }
}

/// How a request with effects is run.
#[derive(Clone, Copy)]
enum Effect {
    None,
    /// To its end, and once for each `Idempotency-Key`.
    Once,
    /// To its end.
    ToTheEnd,
}

/// What every request to a route passes before its handler.
#[derive(Clone)]
struct Door {
    endpoint: Endpoint,
    public: bool,
    effect: Effect,
    bulk: bool,
    shown_once: Option<&'static str>,
}

impl Handler<(), Api> for Door {
    type Future = Answering;

    fn call(self, request: Request, api: Api) -> Answering {
        Box::pin(self.pass(api, request))
    }
}

impl Door {
    async fn pass(self, api: Api, mut request: Request) -> Response {
        let extensions = request.extensions_mut();
        if self.bulk {
            extensions.insert(Bulk);
        }
        if let Some(member) = self.shown_once {
            extensions.insert(ShownOnce(member));
        }
        if self.public {
            return self.run(api, request).await;
        }
        match session_of(&api, request.headers(), request.extensions()).await {
            Ok(session) => {
                request.extensions_mut().insert(session);
                self.run(api, request).await
            }
            Err(failure) => failure.into_response(),
        }
    }

    fn run(self, api: Api, request: Request) -> Answering {
        match self.effect {
            Effect::None => (self.endpoint)(api, request),
            Effect::Once => Box::pin(once(api, request, self.endpoint)),
            Effect::ToTheEnd => Box::pin(to_the_end(api, request, self.endpoint)),
        }
    }
}

fn filter(method: &Method) -> MethodFilter {
    match *method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::DELETE => MethodFilter::DELETE,
        Method::PATCH => MethodFilter::PATCH,
        _ => MethodFilter::GET,
    }
}
