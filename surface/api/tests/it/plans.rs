//! Plans over HTTP: propose, read, apply, approve, cancel; the guard's rules and revisions.

use std::time::Duration;

use oag_types::{Digest, Role, Scope};
use serde_json::json;

use crate::world::{World, scale, service};

#[tokio::test]
async fn a_dry_run_keeps_nothing() {
    let world = World::new().await;
    let reply = world.post("/api/v1/plans?dry_run=true").json(&scale(4)).admin().await;
    let plan = reply.expect(200);
    assert_eq!(plan["revision"], 0);
    assert!(plan["verdict"]["reasons"].is_array());
    let list = world.get("/api/v1/plans").admin().await.expect(200);
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn a_plan_is_proposed_read_applied_and_succeeds() {
    let world = World::new().await;
    world.start_worker();
    let reply = world.post("/api/v1/plans").json(&scale(4)).admin().await;
    let plan = reply.expect(201);
    let path = reply.header("location").to_owned();
    assert_eq!(reply.header("etag"), format!("\"{}\"", plan["revision"]));
    let read = world.get(&path).admin().await.expect(200);
    let sealed = read["sealed"].as_str().unwrap();
    assert_eq!(Digest::of(sealed.as_bytes()).to_string(), read["digest"]);

    let wrong = json!({"digest": "00".repeat(32)});
    world.post(&format!("{path}/apply")).json(&wrong).admin().await.problem(409, "OAG-1404");
    let digest = json!({"digest": plan["digest"]});
    let applied = world.post(&format!("{path}/apply")).json(&digest).admin().await.expect(202);
    if applied["phase"] == "awaiting_approval" {
        let own = world.post(&format!("{path}/approve")).json(&digest).admin().await;
        own.problem(403, "OAG-1204");
        let (_, second) = world.person("Second", Role::ADMIN, Scope::All).await;
        world.post(&format!("{path}/approve")).key(&second).json(&digest).send().await.expect(202);
    }
    let done = async {
        loop {
            let plan = world.get(&path).admin().await.expect(200);
            if plan["phase"] == "succeeded" {
                return plan;
            }
            world.clock.advance(100);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let plan = tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
    assert_eq!(plan["steps"][0]["phase"], "verified", "{plan}");
    let state = world.get("/api/v1/services/order-service/observed").admin().await.expect(200);
    assert_eq!(state["fields"]["replicas"], 4);
    let story = format!("/api/v1/stories/{}", plan["plan"]["story"].as_str().unwrap());
    let story = world.get(&story).admin().await.expect(200);
    assert_eq!(story["plans"][0]["id"], plan["id"]);
    assert!(!story["ledger"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_is_cancelled_and_not_resolved() {
    let world = World::new().await;
    let reply = world.post("/api/v1/plans").json(&scale(4)).admin().await;
    reply.expect(201);
    let path = reply.header("location").to_owned();
    let resolve = json!({"resolution": "done"});
    world.post(&format!("{path}/resolve")).json(&resolve).admin().await.problem(409, "OAG-1401");
    let cancel = json!({"reason": "changed my mind"});
    let plan = world.post(&format!("{path}/cancel")).json(&cancel).admin().await.expect(200);
    assert_eq!(plan["phase"], "cancelled");
}

#[tokio::test]
async fn a_breaker_is_tripped_by_a_plan_of_its_own() {
    let world = World::new().await;
    let breakers = world.get("/api/v1/breakers").admin().await.expect(200);
    assert_eq!(breakers["items"][0]["state"], "closed");
    assert_eq!(breakers["items"][0]["facts"]["breaker.failures"], 3);
    let reason = json!({"reason": "it hurts others"});
    let trip = world.post("/api/v1/breakers/order-service/trip").json(&reason);
    let plan = trip.admin().await.expect(202);
    assert_eq!(plan["plan"]["actions"][0]["kind"], "breaker");
    assert_eq!(plan["plan"]["actions"][0]["params"]["state"], "open");
}

#[tokio::test]
async fn writes_name_the_revision_they_are_based_on() {
    let world = World::new().await;
    let path = "/api/v1/services/order-service";
    let reply = world.get(path).admin().await;
    let mut entry = reply.expect(200);
    let etag = reply.header("etag").to_owned();
    let plain = service("order-service", "orders");
    world.put(path).json(&plain).admin().await.problem(428, "OAG-1502");
    let stale = world.put(path).json(&plain).header("if-match", "\"999\"").admin().await;
    stale.problem(412, "OAG-1501");
    world.put(path).json(&plain).header("if-match", "x").admin().await.problem(400, "OAG-1001");
    let saved = world.put(path).json(&plain).header("if-match", &etag).admin().await;
    saved.expect(200);
    assert_ne!(saved.header("etag"), etag);
    // The document as it was read names the old revision.
    world.put(path).json(&entry).admin().await.problem(412, "OAG-1501");
    entry["revision"] = saved.json()["revision"].clone();
    world.put(path).json(&entry).admin().await.expect(200);
    world.put(path).json(&plain).header("if-match", "*").admin().await.expect(200);
    let delete = world.call("DELETE", path).header("if-match", "\"1\"").admin().await;
    delete.problem(412, "OAG-1501");
    world.call("DELETE", path).admin().await.expect(204);
    world.get(path).admin().await.problem(404, "OAG-1301");
}

#[tokio::test]
async fn the_rules_of_the_guard_are_read_and_replaced() {
    let world = World::new().await;
    let parts = [
        ("/api/v1/policies", "policies"),
        ("/api/v1/limits", "rules"),
        ("/api/v1/freezes", "freezes"),
        ("/api/v1/approval-rules", "rules"),
    ];
    for (path, member) in parts {
        let mut part = world.get(path).admin().await.expect(200);
        let saved = world.put(path).json(&part).admin().await.expect(200);
        assert_eq!(saved[member], part[member], "{path}");
        world.put(path).json(&part).admin().await.problem(412, "OAG-1501");
        part.as_object_mut().unwrap().remove("revision");
        world.put(path).json(&part).admin().await.problem(428, "OAG-1502");
    }
    let empty = json!({"policies": []});
    let reply = world.put("/api/v1/policies").json(&empty).header("if-match", "*").admin().await;
    assert_eq!(reply.problem(400, "OAG-1001")["errors"][0]["field"], "policies");
}

#[tokio::test]
async fn the_kill_switch_stops_at_once_and_says_why() {
    let world = World::new().await;
    let path = "/api/v1/kill-switch";
    world.put(path).json(&json!({"on": true})).admin().await.problem(400, "OAG-1001");
    let on = json!({"on": true, "reason": "looks wrong"});
    let switch = world.put(path).json(&on).admin().await.expect(200);
    assert_eq!(switch["kill_switch"]["on"], true);
    let plan = world.post("/api/v1/plans").json(&scale(4)).admin().await.expect(201);
    assert_eq!(plan["phase"], "denied");
    let trip = world.post("/api/v1/breakers/order-service/trip").json(&json!({"reason": "x"}));
    let refused = trip.admin().await.problem(403, "OAG-1202");
    assert!(refused["detail"].as_str().unwrap().contains("looks wrong"), "{refused}");
    let off = json!({"on": false, "reason": "all clear"});
    let switch = world.put(path).json(&off).admin().await.expect(200);
    assert_eq!(switch["kill_switch"]["on"], false);
}

#[tokio::test]
async fn autonomy_is_set_with_a_reason() {
    let world = World::new().await;
    let ladder = world.get("/api/v1/autonomy").admin().await.expect(200);
    assert!(ladder["kinds"].as_array().unwrap().len() > 5);
    let change = json!({"rung": "approve", "ceiling": "automatic", "reason": "ran well"});
    let ladder = world.put("/api/v1/autonomy/scale").json(&change).admin().await.expect(200);
    let kinds = ladder["kinds"].as_array().unwrap();
    let kind = kinds.iter().find(|kind| kind["kind"] == "scale").unwrap();
    assert_eq!((&kind["rung"], &kind["ceiling"]), (&json!("approve"), &json!("automatic")));
    let reply = world.put("/api/v1/autonomy/dance").json(&change).admin().await;
    reply.problem(400, "OAG-1001");
}

#[tokio::test]
async fn the_ledger_is_read_and_proved() {
    let world = World::new().await;
    let head = world.get("/api/v1/ledger").admin().await.expect(200);
    assert!(head["size"].as_u64().unwrap() >= 3);
    let checkpoint = world.get("/api/v1/ledger/checkpoint").admin().await;
    assert!(checkpoint.header("content-type").starts_with("text/plain"));
    assert!(checkpoint.text().starts_with("test/default\n"));
    let rows = world.get("/api/v1/ledger/rows?page_size=2&from=1").admin().await.expect(200);
    assert_eq!(rows["items"][0]["index"], 1);
    let proof = world.get("/api/v1/ledger/rows/1/proof").admin().await;
    let bundle = oag_ledger::ProofBundle::from_json(&proof.text()).unwrap();
    let key: oag_ledger::VerifierKey = head["verifier_key"].as_str().unwrap().parse().unwrap();
    assert_eq!(bundle.verify(&key).unwrap().index, 1);
    let size = head["size"].as_u64().unwrap();
    let tile = world.get(&format!("/api/v1/ledger/tile/0/000.p/{size}")).admin().await;
    assert_eq!(tile.bytes.len() as u64, size * 32);
    world.get("/api/v1/ledger/tile/0/000").admin().await.problem(404, "OAG-1301");
    world.get("/api/v1/ledger/rows/99999").admin().await.problem(404, "OAG-1301");
    let erase = world.post("/api/v1/ledger/rows/1/erase").json(&json!({"reason": "asked to"}));
    assert_eq!(erase.admin().await.expect(200)["erased"], true);
    let row = world.get("/api/v1/ledger/rows/1").admin().await.expect(200);
    assert_eq!((&row["erased"], &row["payload"]), (&json!(true), &json!(null)));
}
