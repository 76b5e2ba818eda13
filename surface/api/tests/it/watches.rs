//! Watches as server-sent events.

use std::time::Duration;

use futures::StreamExt;
use oag_api::{ApiConfig, Bookmark, WatchEvent};
use oag_store::SqliteConfig;
use oag_types::{Role, Scope};
use serde_json::{Value, json};

use crate::world::{World, scale, service};

/// Reads events until `count` of them are not bookmarks.
async fn read(
    response: axum::response::Response,
    count: usize,
) -> (Vec<WatchEvent>, Vec<Bookmark>) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut events, mut bookmarks, mut text) = (Vec::new(), Vec::new(), String::new());
    let mut stream = response.into_body().into_data_stream();
    let reading = async {
        while events.len() < count {
            let Some(chunk) = stream.next().await else { break };
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let line = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                let data = line("data:").unwrap();
                if line("event:") == Some("bookmark") {
                    bookmarks.push(serde_json::from_str(data).unwrap());
                } else {
                    let change: WatchEvent = serde_json::from_str(data).unwrap();
                    assert_eq!(line("id:"), Some(change.revision.to_string().as_str()));
                    events.push(change);
                }
                text = rest.to_owned();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap();
    (events, bookmarks)
}

async fn revision(world: &World) -> u64 {
    world.get("/api/v1/plans").admin().await.expect(200)["revision"].as_u64().unwrap()
}

#[tokio::test]
async fn a_watch_goes_on_from_a_revision_and_sees_what_comes() {
    let world = World::new().await;
    let from = revision(&world).await;
    let first = world.post("/api/v1/plans").json(&scale(3)).admin().await.expect(201);
    let path = format!("/api/v1/plans?watch=true&from_revision={from}");
    let response = world.get(&path).key(&world.admin).response().await;
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.post("/api/v1/plans").json(&scale(4)).admin().await.expect(201)
    };
    let ((events, bookmarks), second) = tokio::join!(read(response, 2), later);
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, [first["id"].as_str().unwrap(), second["id"].as_str().unwrap()]);
    assert!(events.iter().all(|event| event.resource == "plan" && !event.deleted));
    assert!(events[0].revision > from && events[1].revision > events[0].revision);
    assert!(!bookmarks.is_empty());

    // A client that comes back says where it was.
    let resumed = world
        .get("/api/v1/plans?watch=true")
        .header("last-event-id", &events[0].revision.to_string())
        .key(&world.admin);
    let (rest, _) = read(resumed.response().await, 1).await;
    assert_eq!(rest[0], events[1]);
}

#[tokio::test]
async fn deletions_and_everything_else_are_seen_by_those_who_may() {
    let world = World::new().await;
    let (operator, from) = (world.operator().await, revision(&world).await);
    let path = "/api/v1/services/order-service";
    world.put(path).json(&service("order-service", "orders")).header("if-match", "*").admin().await;
    let pay = "/api/v1/services/pay-service";
    world.put(pay).json(&service("pay-service", "payments")).header("if-match", "*").admin().await;
    world.call("DELETE", path).admin().await.expect(204);
    let all = format!("/api/v1/events?from_revision={from}");
    let (events, _) = read(world.get(&all).key(&world.admin).response().await, 3).await;
    let seen: Vec<(&str, bool)> = events.iter().map(|e| (e.id.as_str(), e.deleted)).collect();
    assert_eq!(seen, [("order-service", false), ("pay-service", false), ("order-service", true)]);
    // The operator is shown nothing of another group.
    world.put(path).json(&service("order-service", "orders")).admin().await.expect(201);
    let (events, _) = read(world.get(&all).key(&operator).response().await, 1).await;
    assert_eq!(events[0].id, "order-service");
    assert!(events.iter().all(|event| event.id != "pay-service"));
}

#[tokio::test]
async fn a_list_that_may_not_be_seen_may_not_be_watched() {
    let world = World::new().await;
    let operator = world.operator().await;
    for list in ["principals", "keys", "findings", "stories"] {
        let path = format!("/api/v1/{list}?watch=true");
        let reply = world.get(&path).key(&operator).send().await;
        reply.problem(403, "OAG-1201");
    }
}

#[tokio::test]
async fn a_past_that_is_no_longer_kept_is_gone() {
    let sqlite = SqliteConfig { changes_kept: 5, ..SqliteConfig::default() };
    let world = World::over(ApiConfig::default(), Vec::new(), sqlite).await;
    for _ in 0..20 {
        world.post("/api/v1/plans").json(&scale(3)).admin().await.expect(201);
    }
    let reply = world.get("/api/v1/plans?watch=true&from_revision=1").admin().await;
    reply.problem(410, "OAG-1901");
    let ahead = world.get("/api/v1/plans?watch=true&from_revision=99999").admin().await;
    ahead.problem(400, "OAG-1001");
}

#[tokio::test]
async fn watches_are_bounded_and_end() {
    let config = ApiConfig { watchers_max: 2, ..ApiConfig::default() };
    let world = World::with(config, Vec::new()).await;
    let open = async || world.get("/api/v1/events").key(&world.admin).response().await;
    let (first, second) = (open().await, open().await);
    assert_eq!((first.status(), second.status()), (http::StatusCode::OK, http::StatusCode::OK));
    let third = world.get("/api/v1/events").admin().await;
    third.problem(429, "OAG-1701");
    let metrics = world.get("/metrics").send().await.text();
    assert!(metrics.contains("openautoglm_http_watches 2"), "{metrics}");
    drop(second);
    let again = open().await;
    assert_eq!(again.status(), 200);
    // The drain ends them.
    world.supervisor.shutdown().begin();
    let (events, _) = read(first, usize::MAX).await;
    assert_eq!(events, []);
    let ready: Value = world.get("/health/ready").send().await.expect(503);
    assert_eq!(ready["failing"], json!(["server"]));
    world.post("/api/v1/plans").json(&scale(3)).admin().await.problem(503, "OAG-1803");
    world.get("/api/v1/plans").admin().await.expect(200);
}

/// Reads until the watch ends by itself.
async fn ends(response: axum::response::Response) {
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    let reading = async { while stream.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap();
}

#[tokio::test]
async fn a_watch_ends_with_the_key_it_came_with() {
    let world = World::new().await;
    let (key, other) = (world.auditor().await, world.auditor().await);
    let me = world.get("/api/v1/whoami").key(&key).send().await.expect(200);
    let open = async |key: &str| world.get("/api/v1/events").key(key).response().await;
    let (watch, elsewhere) = (open(&key).await, open(&other).await);
    let path = format!("/api/v1/keys/{}/revoke", me["key"].as_str().unwrap());
    world.post(&path).admin().await.expect(200);
    // No time passes on the clock: the change itself ends it.
    ends(watch).await;
    // Another process revokes the other one: the next look ends it.
    let me = world.get("/api/v1/whoami").key(&other).send().await.expect(200);
    let id = me["key"].as_str().unwrap().parse().unwrap();
    let admin = world.pilot.authenticate(&world.tenant, &world.admin).await.unwrap();
    world.pilot.revoke_key(&world.tenant, &admin, id).await.unwrap();
    world.clock.advance(3_000);
    ends(elsewhere).await;
}

#[tokio::test]
async fn a_watch_ends_when_its_principal_is_disabled_and_sees_new_roles() {
    let world = World::new().await;
    let (id, key) = world.person("Bo", Role::AUDITOR, Scope::All).await;
    let from = revision(&world).await;
    let events = world.get(&format!("/api/v1/events?from_revision={from}"));
    let watch = events.key(&key).response().await;
    let list = world.get("/api/v1/principals").admin().await.expect(200);
    let items = list["items"].as_array().unwrap();
    let mut me = items.iter().find(|item| item["id"] == id.to_string()).unwrap().clone();
    me["roles"] = json!([]);
    let path = format!("/api/v1/principals/{id}");
    let saved = world.put(&path).json(&me).admin().await.expect(200);
    // Without a role it is shown nothing of what follows, and the watch goes on.
    world.post("/api/v1/plans").json(&scale(3)).admin().await.expect(201);
    me["revision"] = saved["revision"].clone();
    me["disabled"] = json!(true);
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.put(&path).json(&me).admin().await.expect(200)
    };
    let ((events, _), _) = tokio::join!(read(watch, usize::MAX), later);
    assert_eq!(events, []);
}
