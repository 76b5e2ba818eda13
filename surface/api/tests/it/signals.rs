//! Signals in, series out, nothing lost silently.

use oag_types::Timestamp;
use serde_json::json;

use crate::world::{START, World};

#[tokio::test]
async fn one_many_or_lines_are_taken() {
    let world = World::new().await;
    let path = "/api/v1/signals";
    let one = json!({"name": "request_rate", "labels": {"service": "order-service"}, "value": 7});
    let taken = world.post(path).json(&one).admin().await.expect(202);
    assert_eq!(taken["accepted"], 1);
    let at = |n: i64| Timestamp::from_millis(START - n * 1_000).to_string();
    let many = json!([
        {"name": "a", "at": at(3), "value": 1}, {"name": "a", "at": at(2), "value": 2},
        {"name": "a", "at": at(2), "value": 3},
    ]);
    let taken = world.post(path).json(&many).admin().await.expect(202);
    assert_eq!((&taken["accepted"], &taken["duplicates"]), (&json!(2), &json!(1)));
    let lines = "{\"name\": \"b\", \"value\": 1}\n\n{\"name\": \"c\", \"value\": 2}\n";
    let taken = world.post(path).body("application/x-ndjson", lines).admin().await.expect(202);
    assert_eq!((&taken["accepted"], &taken["new_series"]), (&json!(2), &json!(2)));

    let series = world.get("/api/v1/series").admin().await.expect(200);
    assert_eq!(series["items"].as_array().unwrap().len(), 4);
    let series = world.get("/api/v1/series?service=order-service").admin().await.expect(200);
    assert_eq!(series["items"][0]["name"], "request_rate");
    let window = format!("/api/v1/series/window?name=a&from={}", START - 60_000);
    let window = world.get(&window).admin().await.expect(200);
    assert_eq!(window["samples"].as_array().unwrap().len(), 2);
    let score = "/api/v1/series/score?name=request_rate&labels=service=order-service";
    let score = world.get(score).admin().await.expect(200);
    assert_eq!(score["latest"]["value"], 7.0);
    world.get("/api/v1/series/score?name=none").admin().await.problem(404, "OAG-1301");
    let load = "/api/v1/services/order-service/load?steps=5";
    let load = world.get(load).admin().await.expect(200);
    assert_eq!(load["values"].as_array().unwrap().len(), 5, "{load}");
    assert_eq!(load["metrics"], json!(["request_rate"]));
}

#[tokio::test]
async fn each_refusal_is_told_with_its_place() {
    let world = World::new().await;
    let mixed = json!([
        {"name": "ok", "value": 1},
        {"name": "bad name", "value": 1},
        {"nam": "typo", "value": 1},
        {"name": "text", "value": "high"},
        {"name": "future", "at": "2027-11-21T08:00:00Z", "value": 1},
        7,
    ]);
    let taken = world.post("/api/v1/signals").json(&mixed).admin().await.expect(202);
    assert_eq!((&taken["accepted"], &taken["rejected"]), (&json!(1), &json!(5)), "{taken}");
    let errors = taken["errors"].as_array().unwrap();
    let places: Vec<u64> = errors.iter().map(|error| error["index"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 2, 3, 4, 5]);
    assert_eq!(errors[2]["field"], "value");
    let lines = "{\"name\": \"ok\", \"value\": 1}\nnonsense\n";
    let call = world.post("/api/v1/signals").body("application/x-ndjson", lines);
    assert_eq!(call.admin().await.expect(202)["errors"][0]["index"], 1);
    // When nothing is taken, that is no success.
    let none = json!([{"name": "bad name", "value": 1}, {"name": "x"}]);
    let problem = world.post("/api/v1/signals").json(&none).admin().await.problem(400, "OAG-1001");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
}

#[tokio::test]
async fn a_past_is_imported() {
    let world = World::new().await;
    let samples: Vec<_> = (1..=50).map(|n| json!({"at": START - n * 1_000, "value": n})).collect();
    let labels = json!({"service": "order-service"});
    let body = json!({"name": "request_rate", "labels": labels, "samples": samples});
    let done = world.post("/api/v1/signals/backfill").json(&body).admin().await.expect(200);
    assert_eq!(done["accepted"], 50);
}

#[tokio::test]
async fn an_operator_sees_the_series_of_its_services_only() {
    let world = World::new().await;
    let operator = world.operator().await;
    for service in ["order-service", "pay-service"] {
        let one = json!({"name": "request_rate", "labels": {"service": service}, "value": 7});
        world.post("/api/v1/signals").json(&one).admin().await.expect(202);
    }
    let get = |path: &'static str| world.get(path).key(&operator).send();
    get("/api/v1/series?service=order-service").await.expect(200);
    get("/api/v1/series?service=pay-service").await.problem(404, "OAG-1301");
    get("/api/v1/series").await.problem(403, "OAG-1201");
    get("/api/v1/services/order-service/load").await.expect(200);
    let path = "/api/v1/series/score?name=request_rate&labels=service=pay-service";
    get(path).await.problem(404, "OAG-1301");
}
