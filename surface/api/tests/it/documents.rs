//! The OpenAPI document, and whether answers look as it says.

use std::collections::BTreeSet;

use oag_api::openapi_json;
use oag_api::wire::{
    AutonomyView, KindView, LedgerHeadView, LedgerRowView, PageView, PlanView, PrincipalView,
    StoryDetail, WhoAmI, rules, schema,
};
use serde::de::DeserializeOwned;
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
        assert_eq!(public, !path.starts_with("/api/v1/") || path.ends_with("openapi.json"));
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

fn reads<T: DeserializeOwned>(what: &str, value: &Value) {
    let read = serde_json::from_value::<T>(value.clone());
    assert!(read.is_ok(), "{what}: {} in {value}", read.err().unwrap());
}

/// Without the revision that a document of the domain carries beside itself.
fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove("revision");
    value
}

#[tokio::test]
async fn answers_look_as_the_document_says() {
    let world = World::new().await;
    world.post("/api/v1/plans").json(&scale(4)).admin().await.expect(201);
    let get = async |path: &str| world.get(&format!("/api/v1/{path}")).admin().await.expect(200);

    let plans = get("plans").await;
    reads::<PageView<PlanView>>("plans", &plans);
    let plan = &plans["items"][0];
    reads::<schema::Plan>("plan", &plan["plan"]);
    reads::<schema::Verdict>("verdict", &plan["verdict"]);
    reads::<schema::Phase>("phase", &plan["phase"]);
    reads::<schema::Note>("note", &plan["notes"][0]);
    let story = get(&format!("stories/{}", plan["plan"]["story"].as_str().unwrap())).await;
    reads::<StoryDetail>("story", &story);
    reads::<PageView<rules::Service>>("services", &get("services").await);
    reads::<rules::Observed>("observed", &get("services/order-service/observed").await);
    let logs = get("services/order-service/logs").await;
    reads::<schema::LogLine>("logs", &logs["items"][0]);
    reads::<Vec<rules::Policy>>("policies", &get("policies").await["policies"]);
    reads::<Vec<rules::LimitRule>>("limits", &get("limits").await["rules"]);
    reads::<rules::ApprovalRules>("approval rules", &get("approval-rules").await["rules"]);
    reads::<rules::KillSwitch>("kill switch", &get("kill-switch").await["kill_switch"]);
    reads::<AutonomyView>("autonomy", &get("autonomy").await);
    reads::<PageView<PrincipalView>>("principals", &get("principals").await);
    reads::<LedgerHeadView>("ledger", &get("ledger").await);
    reads::<Vec<LedgerRowView>>("rows", &get("ledger/rows").await["items"]);
    reads::<Vec<KindView>>("kinds", &get("kinds").await["items"]);
    reads::<WhoAmI>("whoami", &get("whoami").await);

    let freeze = json!({"freezes": [{"name": "sale", "from": "2026-11-11T00:00:00Z",
        "to": "2026-11-12T00:00:00Z", "reason": "sale",
        "repeat": {"days": ["monday"], "start_minute": 0, "end_minute": 60}}]});
    let path = "/api/v1/freezes";
    let saved = world.put(path).json(&freeze).header("if-match", "*").admin().await.expect(200);
    reads::<rules::FreezeWindow>("freeze", &saved["freezes"][0]);
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
    reads::<schema::Finding>("finding", &bare(&findings["items"][0]));
    let stories = world.get("/api/v1/stories").admin().await.expect(200);
    assert_eq!(stories["items"][0]["title"], "too much");
    world.get("/api/v1/notifications").admin().await.expect(200);
    let seen = world.post("/api/v1/notifications/ntf_00000000000000000000000000000001/seen");
    seen.admin().await.problem(404, "OAG-1301");
}
