//! Probes, metrics, the document, error pages and the landing page.

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use oag_guard::permissions;
use oag_types::Code;
use serde::Deserialize;

use crate::auth::session_of;
use crate::doc::{Operation, Routes};
use crate::http::extract::{Params, Segment};
use crate::http::problem::{Answer, Failure};
use crate::pages;
use crate::probe::{Health, live, ready, startup};
use crate::shape::Shape;
use crate::state::Api;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes(routes: Routes) -> Routes {
    let probe = |path, id, summary| {
        let probe = Operation::get(path, id, summary).public().answers::<Health>();
        probe.also(StatusCode::SERVICE_UNAVAILABLE)
    };
    let failing = "503 names the parts that are not well.";
    let live_doc = probe("/health/live", "isLive", "Need it not be restarted?").about(failing);
    let ready_doc = probe("/health/ready", "isReady", "Can it serve requests?").about(failing);
    let started = probe("/health/startup", "hasStarted", "Is starting over?").about(failing);
    let metrics = Operation::get("/metrics", "getMetrics", "Metrics in OpenMetrics text")
        .about("Public on loopback by default; otherwise needs the permission `metrics:view`.")
        .public()
        .answers_media(METRICS_TYPE);
    let document = Operation::get("/api/v1/openapi.json", "getOpenApi", "This document")
        .public()
        .answers_media("application/json");
    let error = Operation::get("/docs/errors/{code}", "getErrorPage", "The page about an error")
        .about("As HTML, or as Markdown for those who accept `text/markdown`.")
        .public()
        .answers_media("text/html");
    let landing = Operation::get("/", "getLandingPage", "How to connect, for people")
        .parameter("lang", Shape::Text, "`zh` or `en`; else by Accept-Language.")
        .public()
        .answers_media("text/html");
    routes
        .tag("server")
        .add(live_doc, live)
        .add(ready_doc, ready)
        .add(started, startup)
        .add(metrics, get_metrics)
        .add(document, get_document)
        .add(error, get_error_page)
        .add(landing, get_landing_page)
}

async fn get_metrics(State(api): State<Api>, request: Request) -> Answer<Response> {
    if !api.config.metrics_public {
        let (parts, _) = request.into_parts();
        let session = session_of(&api, &parts.headers, &parts.extensions).await?;
        session.require(&api, permissions::METRICS_VIEW, None).await?;
    }
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], api.metrics.encode()).into_response())
}

async fn get_document(State(api): State<Api>) -> Response {
    ([(CONTENT_TYPE, "application/json")], api.openapi.clone()).into_response()
}

async fn get_error_page(headers: HeaderMap, Segment(name): Segment<String>) -> Answer<Response> {
    let plain = name.strip_suffix(".md");
    let code = plain.unwrap_or(&name);
    let text = pages::error_page(code).ok_or_else(|| {
        let text = "codes look like OAG-1001; docs/errors has a page for each";
        Failure::new(Code::NOT_FOUND, text)
    })?;
    let accept = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if plain.is_some() || accept.contains("text/markdown") {
        return Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response());
    }
    Ok(page(pages::error_html(code, text)))
}

#[derive(Debug, Deserialize)]
struct LandingParams {
    lang: Option<String>,
}

async fn get_landing_page(headers: HeaderMap, Params(params): Params<LandingParams>) -> Response {
    let accepted = headers.get("accept-language").and_then(|value| value.to_str().ok());
    let language = pages::Language::choose(params.lang.as_deref(), accepted);
    let host = headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    page(pages::landing(language, host))
}

/// A page of our own: its one style sheet is inside, and it loads nothing.
fn page(html: String) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; \
                  base-uri 'none'; form-action 'none'";
    let headers = [(CONTENT_SECURITY_POLICY, policy), (CACHE_CONTROL, "no-cache")];
    (headers, Html(html)).into_response()
}
