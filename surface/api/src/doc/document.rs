//! The OpenAPI document, written from the table of routes.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use oag_types::Code;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, Info, OpenApiBuilder, Ref, Required, Response, ResponsesBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::operation::{Content, Operation};
use crate::http::problem::{ProblemDocument, status_of};
use crate::http::watch::{Bookmark, WatchEvent};

const ABOUT: &str = "Autopilot for services: signal → finding → plan → guard → execute → verify → \
                     ledger. Authenticate with an API key or a token; errors are problem documents \
                     (RFC 9457) with a code `OAG-nnnn`; lists come in pages and can be watched; \
                     writes name the revision they are based on; POSTs with effects take an \
                     `Idempotency-Key`. `docs/api.md` says more.";

const TAGS: &[(&str, &str)] = &[
    ("signals", "Observations in, series out."),
    ("services", "The catalogue of services, their state, logs and breakers."),
    ("findings", "What was found, and the stories around it."),
    ("plans", "Plans: propose, apply, approve, cancel, resolve."),
    ("guard", "Policies, limits, freezes, approvals, the kill switch and the ladder of autonomy."),
    ("directory", "People, service accounts and their keys."),
    ("ledger", "The tamper-evident record."),
    ("analysis", "Questions without effects: analysis and replay."),
    ("server", "Probes, metrics and this document."),
];

/// The document as pretty JSON with a final newline.
pub(super) fn render(operations: Vec<Operation>) -> String {
    let mut components = ComponentsBuilder::new()
        .security_scheme("bearer", bearer())
        .security_scheme("token", token())
        .schema(ProblemDocument::name(), ProblemDocument::schema())
        .schema(WatchEvent::name(), WatchEvent::schema())
        .schema(Bookmark::name(), Bookmark::schema());
    for (status, about) in problems() {
        components = components.response(format!("Problem{status}"), problem(&about));
    }
    let mut nested = Vec::new();
    ProblemDocument::schemas(&mut nested);
    let mut paths = PathsBuilder::new();
    for operation in operations {
        nested.extend(operation.schemas.clone());
        let method = match operation.method {
            Method::POST => HttpMethod::Post,
            Method::PUT => HttpMethod::Put,
            Method::DELETE => HttpMethod::Delete,
            Method::PATCH => HttpMethod::Patch,
            _ => HttpMethod::Get,
        };
        let path = openapi_path(operation.path);
        paths = paths.path(path, PathItem::new(method, describe(operation)));
    }
    for (name, schema) in nested {
        components = components.schema(name, schema);
    }
    let mut info = Info::new("Open-AutoGLM", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let tags = TAGS
        .iter()
        .map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build());
    let document = OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn bearer() -> SecurityScheme {
    let about = "An API key (`oag_…`) or a JSON Web Token signed with Ed25519.";
    let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about));
    SecurityScheme::Http(http.build())
}

fn token() -> SecurityScheme {
    let about = "The same credentials, for clients that cannot set Authorization.";
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("X-Auth-Token", about)))
}

/// axum writes `{*rest}` for the rest of a path.
fn openapi_path(path: &str) -> String {
    path.replace("{*", "{")
}

fn describe(operation: Operation) -> utoipa::openapi::path::Operation {
    let mut about = operation.about.to_owned();
    if let Some(permission) = operation.permission {
        let line = format!("Needs the permission `{permission}`.");
        about = if about.is_empty() { line } else { format!("{about}\n\n{line}") };
    }
    let mut built = OperationBuilder::new()
        .tag(operation.tag)
        .operation_id(Some(operation.id))
        .summary(Some(operation.summary))
        .description((!about.is_empty()).then_some(about))
        .responses(responses(&operation));
    for name in names_in(operation.path) {
        built = built.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        );
    }
    for parameter in &operation.query {
        let required = if parameter.required { Required::True } else { Required::False };
        built = built.parameter(
            ParameterBuilder::new()
                .name(parameter.name)
                .parameter_in(ParameterIn::Query)
                .required(required)
                .description(Some(parameter.about))
                .schema(Some(ObjectBuilder::new().schema_type(parameter.kind.clone()))),
        );
    }
    if operation.effect {
        let about = "Any text of 1 to 255 characters. The same request with the same key takes \
                     effect once and is answered alike for 24 hours.";
        built = built.parameter(header("Idempotency-Key", about));
    }
    if operation.if_match {
        built = built.parameter(header("If-Match", "The ETag that was read, or `*`."));
    }
    if !operation.request.is_empty() {
        let mut body = RequestBodyBuilder::new().required(Some(Required::True));
        for content in &operation.request {
            body = body.content(content.media, content_of(content));
        }
        built = built.request_body(Some(body.build()));
    }
    if operation.public {
        return built.build();
    }
    let none: [String; 0] = [];
    built
        .security(SecurityRequirement::new("bearer", none.clone()))
        .security(SecurityRequirement::new("token", none))
        .build()
}

fn header(name: &str, about: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
}

fn content_of(content: &Content) -> utoipa::openapi::Content {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    match &content.schema {
        Some(schema) => ContentBuilder::new().schema(Some(schema.clone())).build(),
        None => ContentBuilder::new().schema(Some(text)).build(),
    }
}

fn responses(operation: &Operation) -> ResponsesBuilder {
    let (status, contents) = &operation.answer;
    let mut responses = ResponsesBuilder::new();
    for status in [Some(*status), operation.also].into_iter().flatten() {
        let reason = status.canonical_reason().unwrap_or("OK");
        let mut fine = ResponseBuilder::new().description(reason);
        for content in contents {
            fine = fine.content(content.media, content_of(content));
        }
        if operation.watch {
            let events = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(WatchEvent::name())))
                .build();
            fine = fine.content("text/event-stream", events);
        }
        responses = responses.response(status.as_u16().to_string(), fine);
    }
    for status in failures(operation) {
        let shared = Ref::new(format!("#/components/responses/Problem{status}"));
        responses = responses.response(status.to_string(), shared);
    }
    responses
}

/// The statuses an operation can fail with.
fn failures(operation: &Operation) -> BTreeSet<u16> {
    let mut codes = vec![Code::INTERNAL, Code::OVERLOADED, Code::STORE_UNAVAILABLE];
    if !operation.public {
        codes.extend([Code::UNAUTHENTICATED, Code::FORBIDDEN, Code::INVALID_INPUT]);
    }
    if operation.path.contains('{') {
        codes.push(Code::NOT_FOUND);
    }
    if !operation.request.is_empty() {
        codes.push(Code::TOO_LARGE);
    }
    if operation.watch {
        codes.push(Code::WATCH_GONE);
    }
    if operation.effect {
        codes.push(Code::CONFLICT);
    }
    if operation.if_match {
        codes.extend([Code::CONFLICT, Code::REVISION_MISMATCH, Code::REVISION_REQUIRED]);
    }
    codes.iter().map(|code| status_of(code).as_u16()).collect()
}

/// One answer for each status that problems have, naming the codes behind it.
fn problems() -> BTreeMap<u16, String> {
    let mut found = BTreeMap::<u16, Vec<String>>::new();
    for code in Code::ALL {
        let line = format!("{code}: {}", code.title);
        found.entry(status_of(code).as_u16()).or_default().push(line);
    }
    found.into_iter().map(|(status, lines)| (status, lines.join("; "))).collect()
}

fn problem(about: &str) -> Response {
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name()))).build();
    ResponseBuilder::new().description(about).content("application/problem+json", content).build()
}

fn names_in(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .map(|name| name.trim_start_matches('*'))
        .collect()
}
