//! The table of routes: the router and the OpenAPI document are made of the same lines, so that
//! neither has what the other lacks.

mod document;
pub(crate) mod operation;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

pub(crate) use operation::Operation;

use crate::auth::authenticate;
use crate::http::extract::Bulk;
use crate::http::idempotency::{ShownOnce, once, to_the_end};
use crate::state::Api;

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

    /// One more operation.
    pub(crate) fn add<H, T>(mut self, mut operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        operation.tag = self.tag;
        let mut route: MethodRouter<Api> = on(filter(&operation.method), handler);
        if operation.effect {
            route = route.layer(from_fn(once));
        } else if matches!(operation.method, Method::PUT | Method::DELETE) {
            route = route.layer(from_fn(to_the_end));
        }
        if !operation.public {
            route = route.layer(from_fn(authenticate));
        }
        let (bulk, shown_once) = (operation.bulk, operation.shown_once);
        if bulk || shown_once.is_some() {
            route =
                route.layer(from_fn(move |request, next| mark(request, next, bulk, shown_once)));
        }
        self.router = self.router.route(operation.path, route);
        self.operations.push(operation);
        self
    }

    /// The routes, and the document about them.
    pub(crate) fn finish(self) -> (Router<Api>, String) {
        let text = document::render(self.operations);
        (self.router, text)
    }
}

async fn mark(
    mut request: Request,
    next: Next,
    bulk: bool,
    shown_once: Option<&'static str>,
) -> Response {
    if bulk {
        request.extensions_mut().insert(Bulk);
    }
    if let Some(member) = shown_once {
        request.extensions_mut().insert(ShownOnce(member));
    }
    next.run(request).await
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
