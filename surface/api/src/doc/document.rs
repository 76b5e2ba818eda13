//! The OpenAPI document, written from the table of routes.

use oag_types::Code;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::operation::{Content, Operation};
use crate::http::problem::{ProblemDocument, status_of};
use crate::http::watch::{Bookmark, WatchEvent};
use crate::shape::{Schemas, Shape, Shaped, collect, refer};

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

/// The document in the order people read it.
#[derive(Serialize)]
struct Document {
    openapi: &'static str,
    info: Value,
    tags: Vec<Value>,
    paths: Map<String, Value>,
    components: Value,
}

/// The document as pretty JSON with a final newline.
pub(super) fn render(operations: Vec<Operation>) -> String {
    let mut schemas = Schemas::new();
    for shape in [ProblemDocument::SHAPE, WatchEvent::SHAPE, Bookmark::SHAPE] {
        collect(&shape, &mut schemas);
    }
    let mut paths = Map::new();
    for operation in operations {
        let described = describe(&operation);
        let item = paths.entry(openapi_path(operation.path)).or_insert_with(|| json!({}));
        item[operation.method.as_str().to_ascii_lowercase()] = described;
        schemas.extend(operation.schemas);
    }
    let tags = TAGS.iter().map(|(name, about)| json!({"name": name, "description": about}));
    let document = Document {
        openapi: "3.1.0",
        info: json!({
            "title": "Open-AutoGLM", "description": ABOUT, "version": env!("CARGO_PKG_VERSION"),
        }),
        tags: tags.collect(),
        paths,
        components: json!({
            "schemas": schemas, "responses": problems(),
            "securitySchemes": {"bearer": bearer(), "token": token()},
        }),
    };
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn bearer() -> Value {
    let about = "An API key (`oag_…`) or a JSON Web Token signed with Ed25519.";
    json!({"type": "http", "scheme": "bearer", "description": about})
}

fn token() -> Value {
    let about = "The same credentials, for clients that cannot set Authorization.";
    json!({"type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": about})
}

/// axum writes `{*rest}` for the rest of a path.
fn openapi_path(path: &str) -> String {
    path.replace("{*", "{")
}

fn describe(operation: &Operation) -> Value {
    let mut about = operation.about.to_owned();
    if let Some(permission) = operation.permission {
        let line = format!("Needs the permission `{permission}`.");
        about = if about.is_empty() { line } else { format!("{about}\n\n{line}") };
    }
    let mut built = Map::new();
    let mut set = |name: &str, value: Value| drop(built.insert(name.to_owned(), value));
    set("tags", json!([operation.tag]));
    set("operationId", operation.id.into());
    set("summary", operation.summary.into());
    if !about.is_empty() {
        set("description", about.into());
    }
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        set("parameters", parameters.into());
    }
    if !operation.request.is_empty() {
        set("requestBody", json!({"content": contents(&operation.request), "required": true}));
    }
    set("responses", responses(operation).into());
    if !operation.public {
        set("security", json!([{"bearer": []}, {"token": []}]));
    }
    built.into()
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = names_in(operation.path).into_iter().map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": refer(&Shape::Text)}),
    );
    let in_query = operation.query.iter().map(|parameter| {
        json!({
            "name": parameter.name, "in": "query", "required": parameter.required,
            "description": parameter.about, "schema": refer(&parameter.shape),
        })
    });
    let mut parameters: Vec<Value> = in_path.chain(in_query).collect();
    if operation.effect {
        let about = "Any text of 1 to 255 characters. The same request with the same key takes \
                     effect once and is answered alike for 24 hours.";
        parameters.push(header("Idempotency-Key", about));
    }
    if operation.if_match {
        parameters.push(header("If-Match", "The ETag that was read, or `*`."));
    }
    parameters
}

fn header(name: &str, about: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": false, "description": about,
        "schema": refer(&Shape::Text),
    })
}

fn contents(contents: &[Content]) -> Map<String, Value> {
    let of = |content: &Content| {
        // A JSON document without a schema may be anything; other media are text here.
        let plain = if content.media == "application/json" { Shape::Anything } else { Shape::Text };
        let schema = content.schema.clone().unwrap_or_else(|| refer(&plain));
        (content.media.to_owned(), json!({ "schema": schema }))
    };
    contents.iter().map(of).collect()
}

fn responses(operation: &Operation) -> Map<String, Value> {
    let (status, answers) = &operation.answer;
    let mut content = contents(answers);
    if operation.live
        && let Some(whole) = content.get("application/json").cloned()
    {
        content.insert("text/event-stream".to_owned(), whole);
    }
    if operation.watch {
        let events = json!({"schema": refer(&WatchEvent::SHAPE)});
        content.insert("text/event-stream".to_owned(), events);
    }
    let mut responses = Map::new();
    for status in [Some(*status), operation.also].into_iter().flatten() {
        let mut fine = Map::new();
        let reason = status.canonical_reason().unwrap_or("OK");
        fine.insert("description".to_owned(), reason.into());
        if !content.is_empty() {
            fine.insert("content".to_owned(), content.clone().into());
        }
        responses.insert(status.as_u16().to_string(), fine.into());
    }
    for status in failures(operation) {
        let shared = format!("#/components/responses/Problem{status}");
        responses.entry(status.to_string()).or_insert_with(|| json!({ "$ref": shared }));
    }
    responses
}

/// The statuses an operation can fail with.
fn failures(operation: &Operation) -> impl Iterator<Item = u16> {
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
    codes.into_iter().map(|code| status_of(&code).as_u16())
}

/// One answer for each status that problems have, naming the codes behind it.
fn problems() -> Map<String, Value> {
    let mut found = Map::new();
    for code in Code::ALL {
        let status = status_of(code);
        let same = Code::ALL.iter().filter(|other| status_of(other) == status);
        let lines: Vec<String> = same.map(|code| format!("{code}: {}", code.title)).collect();
        found.insert(format!("Problem{}", status.as_u16()), problem(&lines.join("; ")));
    }
    found
}

fn problem(about: &str) -> Value {
    let schema = refer(&ProblemDocument::SHAPE);
    json!({
        "description": about, "content": {"application/problem+json": {"schema": schema}},
    })
}

fn names_in(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .map(|name| name.trim_start_matches('*'))
        .collect()
}
