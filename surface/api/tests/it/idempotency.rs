//! The same request twice takes effect once.

use futures::future::join_all;
use serde_json::json;

use crate::world::{World, scale};

#[tokio::test]
async fn a_replay_gives_the_same_answer_and_does_nothing() {
    let world = World::new().await;
    let send = || world.post("/api/v1/plans").json(&scale(4)).header("idempotency-key", "one");
    let first = send().admin().await;
    first.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let second = send().admin().await;
    second.expect(201);
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(first.header("etag"), second.header("etag"));
    assert_eq!(first.header("location"), second.header("location"));
    let list = world.get("/api/v1/plans").admin().await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn another_body_path_or_query_is_a_mismatch() {
    let world = World::new().await;
    let key = "idempotency-key";
    world.post("/api/v1/plans").json(&scale(4)).header(key, "k").admin().await.expect(201);
    let other = world.post("/api/v1/plans").json(&scale(5)).header(key, "k").admin().await;
    other.problem(409, "OAG-1402");
    let dry = world.post("/api/v1/plans?dry_run=true").json(&scale(4)).header(key, "k");
    dry.admin().await.problem(409, "OAG-1402");
    // Somebody else's key of the same name is another key.
    let operator = world.operator().await;
    let theirs = world.post("/api/v1/plans").json(&scale(5)).header(key, "k").key(&operator);
    theirs.send().await.expect(201);
}

#[tokio::test]
async fn at_once_only_one_takes_effect() {
    let world = World::new().await;
    let calls = (0..8).map(|_| {
        world.post("/api/v1/plans").json(&scale(4)).header("idempotency-key", "race").admin()
    });
    let replies = join_all(calls).await;
    let fresh = replies
        .iter()
        .filter(|reply| reply.status == 201 && reply.header("idempotency-replayed").is_empty());
    assert_eq!(fresh.count(), 1);
    for reply in &replies {
        assert!(matches!(reply.status.as_u16(), 201 | 409), "{}", reply.text());
        if reply.status == 409 {
            reply.problem(409, "OAG-1403");
            assert_eq!(reply.header("retry-after"), "2");
        }
    }
    let list = world.get("/api/v1/plans").admin().await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_leaves_the_key_free() {
    let world = World::new().await;
    let key = "idempotency-key";
    let bad = json!({"reason": "x", "actions": []});
    world.post("/api/v1/plans").json(&bad).header(key, "r").admin().await.problem(400, "OAG-1001");
    world.post("/api/v1/plans").json(&scale(4)).header(key, "r").admin().await.expect(201);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let world = World::new().await;
    let send = || world.post("/api/v1/plans").json(&scale(4)).header("idempotency-key", "old");
    let first = send().admin().await.expect(201);
    world.clock.advance(24 * 3_600_000 - 1);
    assert_eq!(send().admin().await.expect(201)["id"], first["id"]);
    world.clock.advance(1);
    assert_ne!(send().admin().await.expect(201)["id"], first["id"]);
}

#[tokio::test]
async fn a_secret_is_never_kept() {
    let world = World::new().await;
    let wanted = json!({"principal": world.admin_id, "name": "ci"});
    let send = || world.post("/api/v1/keys").json(&wanted).header("idempotency-key", "mint");
    let first = send().admin().await.expect(201);
    let secret = first["secret"].as_str().unwrap();
    let again = send().admin().await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = again.expect(201);
    assert_eq!((&again["secret"], &again["key"]), (&json!(null), &first["key"]));
    let store = world.pilot.store();
    let query = oag_store_port::ListQuery { limit: 100, ..Default::default() };
    let collection = oag_store_port::Collection("idempotency");
    let page = store.list(&world.tenant, collection, query).await.unwrap();
    assert_eq!(page.records.len(), 1);
    assert!(page.records.iter().all(|record| !record.body.contains(secret)));
}

#[tokio::test]
async fn work_goes_on_when_the_client_goes_away() {
    let world = World::new().await;
    let send = || world.post("/api/v1/plans").json(&scale(4)).header("idempotency-key", "gone");
    {
        let call = send().admin();
        tokio::pin!(call);
        // Poll until the handler runs in its own task, then drop the request.
        let store = world.pilot.store();
        let collection = oag_store_port::Collection("idempotency");
        loop {
            let poll = tokio::time::timeout(std::time::Duration::from_micros(200), &mut call);
            let ended = poll.await.is_ok();
            let query = oag_store_port::ListQuery { limit: 1, ..Default::default() };
            let page = store.list(&world.tenant, collection, query).await.unwrap();
            if ended || !page.records.is_empty() {
                break;
            }
        }
    }
    let replayed = async {
        loop {
            let reply = send().admin().await;
            if reply.status == 201 {
                return reply;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let patience = std::time::Duration::from_secs(10);
    let reply = tokio::time::timeout(patience, replayed).await.unwrap();
    reply.expect(201);
    let list = world.get("/api/v1/plans").admin().await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_has_a_sane_length() {
    let world = World::new().await;
    for key in ["", &"x".repeat(256)] {
        let call = world.post("/api/v1/plans").json(&scale(4)).header("idempotency-key", key);
        let problem = call.admin().await.problem(400, "OAG-1001");
        assert_eq!(problem["errors"][0]["field"], "Idempotency-Key");
    }
}
