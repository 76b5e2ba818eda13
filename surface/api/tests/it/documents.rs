//! The OpenAPI document, and whether answers look as it says.

use std::collections::BTreeSet;

use oag_api::openapi_json;
use serde_json::{Value, json};

use crate::world::{World, scale};

fn document() -> Value {
    serde_json::from_str(&openapi_json()).unwrap()
}

/// Every operation, as `(method, path, operation)`.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

#[test]
fn the_committed_document_is_the_present_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == openapi_json(),
        "docs/openapi.json is out of date: run `openautoglm openapi > docs/openapi.json`"
    );
}

#[test]
fn the_document_is_complete() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    assert!(operations.len() > 60, "{}", operations.len());
    let ids: BTreeSet<&str> =
        operations.iter().map(|(_, _, o)| o["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len(), "operation ids are unique");
    for (method, path, operation) in &operations {
        let place = format!("{method} {path}");
        assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{place}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
        assert!(responses.contains_key("500"), "{place}");
        let public = operation["security"].is_null();
        let inside = path.starts_with("/api/v1/") || path == "/predict";
        assert_eq!(public, !inside || path.ends_with("openapi.json"), "{place}");
        assert_eq!(public, !responses.contains_key("401"), "{place}");
        let body = !operation["requestBody"].is_null();
        assert!(body || method != "PUT", "{place}");
    }
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for piece in text.split("#/components/schemas/").skip(1) {
        let name = piece.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and not there");
    }
    for (name, schema) in schemas {
        let about = schema["description"].is_string() || schema["oneOf"].is_array();
        assert!(about || schema["allOf"].is_array(), "{name} has no description");
    }
}

#[tokio::test]
async fn every_operation_of_the_document_is_in_the_router() {
    let world = World::new().await;
    for (method, path, _) in operations(&document()) {
        let concrete = path.replace("{index}", "0").replace("{level}", "0").replace('{', "x");
        let concrete = concrete.replace('}', "");
        let reply = world.call(&method, &concrete).response().await;
        let status = reply.status().as_u16();
        let known = status != 405 && (status != 404 || path.starts_with("/docs/errors/"));
        assert!(known, "{method} {path}: {status}");
        // Methods that the document does not have are not in the router either.
        for other in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let document = document();
            let item = document["paths"][&path].as_object().unwrap().clone();
            if item.contains_key(&other.to_lowercase()) {
                continue;
            }
            let status = world.call(other, &concrete).response().await.status();
            assert_eq!(status.as_u16(), 405, "{other} {path}");
        }
    }
}

/// Every answer is compared with the document when it comes, here and in all other tests.
#[tokio::test]
async fn answers_look_as_the_document_says() {
    let world = World::new().await;
    world.post("/api/v1/plans").json(&scale(4)).admin().await.expect(201);
    let get = async |path: &str| world.get(&format!("/api/v1/{path}")).admin().await.expect(200);
    let plans = get("plans").await;
    let plan = &plans["items"][0];
    get(&format!("plans/{}", plan["id"].as_str().unwrap())).await;
    get(&format!("stories/{}", plan["plan"]["story"].as_str().unwrap())).await;
    for list in [
        "approval-rules",
        "autonomy",
        "breakers",
        "findings",
        "freezes",
        "keys",
        "kill-switch",
        "kinds",
        "ledger",
        "ledger/rows",
        "limits",
        "notifications",
        "policies",
        "principals",
        "series",
        "services",
        "services/order-service",
        "services/order-service/load",
        "services/order-service/logs",
        "services/order-service/observed",
        "stories",
        "whoami",
    ] {
        let answer = get(list).await;
        assert!(answer.as_object().is_some_and(|object| !object.is_empty()), "{list}");
    }
    let freeze = json!({"freezes": [{"name": "sale", "from": "2026-11-11T00:00:00Z",
        "to": "2026-11-12T00:00:00Z", "reason": "sale",
        "repeat": {"days": ["monday"], "start_minute": 0, "end_minute": 60}}]});
    let path = "/api/v1/freezes";
    world.put(path).json(&freeze).header("if-match", "*").admin().await.expect(200);
}

#[tokio::test]
async fn findings_and_notifications_look_so_too() {
    let world = World::new().await;
    let finding: oag_types::Finding = serde_json::from_value(json!({
        "id": "fnd_00000000000000000000000000000001", "story": "sty_00000000000000000000000000000002",
        "kind": "overload", "service": "order-service", "severity": "warning", "confidence": 0.9,
        "summary": "too much", "evidence": [{"text": "load", "numbers": {"rps": 7}}],
        "at": "2026-11-21T08:00:00.000Z",
    }))
    .unwrap();
    world.pilot.record_findings(&world.tenant, vec![finding]).await.unwrap();
    let findings = world.get("/api/v1/findings").admin().await.expect(200);
    assert_eq!(findings["items"][0]["summary"], "too much");
    let stories = world.get("/api/v1/stories").admin().await.expect(200);
    assert_eq!(stories["items"][0]["title"], "too much");
    world.get("/api/v1/notifications").admin().await.expect(200);
    let seen = world.post("/api/v1/notifications/ntf_00000000000000000000000000000001/seen");
    seen.admin().await.problem(404, "OAG-1301");
}
