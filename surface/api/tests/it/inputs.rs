//! Wrong input is named, and nothing else breaks.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use oag_api::ApiConfig;
use serde_json::json;

use crate::world::{World, scale};

#[tokio::test]
async fn the_wrong_field_is_named() {
    let world = World::new().await;
    let plan = |actions| json!({"reason": "r", "actions": actions});
    let cases = [
        ("POST", "/api/v1/plans", json!({"actions": []}), ""),
        ("POST", "/api/v1/plans", json!({"reason": "r", "actions": []}), "actions"),
        ("POST", "/api/v1/plans", json!({"reason": " ", "actions": scale(3)["actions"]}), "reason"),
        ("POST", "/api/v1/plans", json!({"reason": 3, "actions": []}), "reason"),
        ("POST", "/api/v1/plans", plan(json!([{"kind": "scale"}])), "actions[0]"),
        (
            "POST",
            "/api/v1/plans",
            plan(json!([{"kind": "scale", "service": "Bad Name"}])),
            "actions[0].service",
        ),
        (
            "POST",
            "/api/v1/plans",
            plan(json!([{"kind": "scale", "service": "a", "x": 1}])),
            "actions[0].x",
        ),
        (
            "POST",
            "/api/v1/plans",
            plan(json!([{"kind": "dance", "service": "order-service"}])),
            "actions[0].kind",
        ),
        (
            "POST",
            "/api/v1/plans",
            plan(json!([{"kind": "scale", "service": "order-service",
            "params": {"replicas": -1}}])),
            "actions[0].params",
        ),
        ("POST", "/api/v1/keys", json!({"principal": "me", "name": "x"}), "principal"),
        (
            "POST",
            "/api/v1/keys",
            json!({"principal": world.admin_id, "name": "x",
            "expires_at": "yesterday"}),
            "expires_at",
        ),
        (
            "POST",
            "/api/v1/keys",
            json!({"principal": world.admin_id, "name": "x",
            "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at",
        ),
        ("POST", "/api/v1/keys", json!({"principal": world.admin_id, "name": ""}), "name"),
        ("POST", "/api/v1/principals", json!({"kind": "robot", "name": "x"}), "kind"),
        ("PUT", "/api/v1/limits", json!({"revision": "one", "rules": []}), "revision"),
        (
            "PUT",
            "/api/v1/services/x",
            json!({"name": "y", "group": "g", "executor": "stage"}),
            "name",
        ),
        (
            "PUT",
            "/api/v1/services/x",
            json!({"name": "x", "group": "g", "executor": "moon"}),
            "executor",
        ),
        (
            "PUT",
            "/api/v1/services/x",
            json!({"name": "x", "group": "g", "executor": "stage",
            "spec": {"bad": 1}}),
            "spec.bad",
        ),
        (
            "PUT",
            "/api/v1/services/x",
            json!({"name": "x", "group": "g", "executor": "stage",
            "scaling": {"min_replicas": "two"}}),
            "scaling.min_replicas",
        ),
    ];
    for (method, path, body, field) in cases {
        let reply = world.call(method, path).json(&body).admin().await;
        assert_eq!(reply.status.as_u16(), 400, "{path} {body}: {}", reply.text());
        let problem = reply.problem(400, "OAG-1001");
        let named = problem["errors"][0]["field"].as_str().unwrap_or_default();
        assert!(named.starts_with(field), "{path} {body}: {problem}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_told_apart() {
    let world = World::new().await;
    let post = || world.post("/api/v1/plans");
    post().body("application/json", "{").admin().await.problem(400, "OAG-1001");
    post().body("application/json", "").admin().await.problem(400, "OAG-1001");
    post().body("application/json", "{} {}").admin().await.problem(400, "OAG-1001");
    post().body("application/json", "[".repeat(10_000)).admin().await.problem(400, "OAG-1001");
    post().body("application/json", vec![0xff, 0xfe]).admin().await.problem(400, "OAG-1001");
    post().body("text/plain", "{}").admin().await.problem(415, "OAG-1001");
    post().admin().await.problem(415, "OAG-1001");
    let brotli = post().json(&scale(3)).header("content-encoding", "br").admin().await;
    brotli.problem(415, "OAG-1001");
    let fake = post().json(&scale(3)).header("content-encoding", "gzip").admin().await;
    fake.problem(400, "OAG-1001");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let config = ApiConfig { body_bytes_max: 1_000, bulk_bytes_max: 4_000, ..Default::default() };
    let world = World::with(config, Vec::new()).await;
    let mut big = scale(3);
    big["reason"] = json!("x".repeat(2_000));
    world.post("/api/v1/plans").json(&big).admin().await.problem(413, "OAG-1002");
    let signal = json!([{"name": "m", "labels": {"x": "y".repeat(2_000)}, "value": 1}]);
    // Within the larger limit of signals; the label is too long for itself.
    world.post("/api/v1/signals").json(&signal).admin().await.problem(400, "OAG-1001");
    let signal = json!([{"name": "m", "labels": {"x": "y".repeat(8_000)}, "value": 1}]);
    world.post("/api/v1/signals").json(&signal).admin().await.problem(413, "OAG-1002");
    // A stated length is enough.
    let stated = world.post("/api/v1/signals").json(&scale(3)).header("content-length", "5000");
    stated.admin().await.problem(413, "OAG-1002");
    let zipped = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let small = zipped(json!({"name": "m", "value": 1}).to_string().as_bytes());
    let call = world.post("/api/v1/signals").body("application/json", small);
    call.header("content-encoding", "gzip").admin().await.expect(202);
    let bomb = zipped(&vec![b' '; 2_000_000]);
    assert!(bomb.len() < 4_000);
    let call = world.post("/api/v1/signals").body("application/json", bomb);
    call.header("content-encoding", "gzip").admin().await.problem(413, "OAG-1002");
    let long = format!("/api/v1/plans?page_token={}", "x".repeat(9_000));
    world.get(&long).admin().await.problem(414, "OAG-1002");
    let head = world.get("/api/v1/plans").header("x-large", &"x".repeat(40_000)).admin().await;
    head.problem(431, "OAG-1002");
}

#[tokio::test]
async fn unknown_paths_methods_and_ids_have_problems_too() {
    let world = World::new().await;
    world.get("/api/v1/nothing").admin().await.problem(404, "OAG-1301");
    world.get("/nothing").send().await.problem(404, "OAG-1301");
    let wrong = world.call("PATCH", "/api/v1/plans").admin().await;
    wrong.problem(405, "OAG-1001");
    let allow = wrong.header("allow");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    world.get("/api/v1/plans/nonsense").admin().await.problem(400, "OAG-1001");
    world
        .get("/api/v1/plans/act_00000000000000000000000000000001")
        .admin()
        .await
        .problem(400, "OAG-1001");
    world
        .get("/api/v1/plans/pln_00000000000000000000000000000001")
        .admin()
        .await
        .problem(404, "OAG-1301");
    world.get("/api/v1/services/none").admin().await.problem(404, "OAG-1301");
    world.get("/api/v1/services/%ff").admin().await.problem(400, "OAG-1001");
}
