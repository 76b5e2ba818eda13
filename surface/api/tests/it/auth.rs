//! Who gets in, and what each role may do.

use oag_api::ApiConfig;
use oag_types::{PrincipalKind, Role, Scope};
use serde_json::json;

use crate::world::{World, scale};

#[tokio::test]
async fn credentials_are_read_from_either_header_and_failures_look_alike() {
    let world = World::new().await;
    let whoami = "/api/v1/whoami";
    world.get(whoami).admin().await.expect(200);
    world.get(whoami).header("x-auth-token", &world.admin).send().await.expect(200);
    let lower = format!("bearer {}", world.admin);
    world.get(whoami).header("authorization", &lower).send().await.expect(200);

    let mut wrong_secret = world.admin.clone();
    wrong_secret.pop();
    wrong_secret.push(if world.admin.ends_with('A') { 'B' } else { 'A' });
    let unknown_key = world.admin.replacen("oag_", "oag_ffff", 1);
    let calls = vec![
        world.get(whoami),
        world.get(whoami).key(""),
        world.get(whoami).key("x"),
        world.get(whoami).key("oag_"),
        world.get(whoami).key(&wrong_secret),
        world.get(whoami).key(&unknown_key),
        world.get(whoami).header("authorization", "Basic YWRtaW46YWRtaW4="),
        world.get(whoami).header("authorization", &world.admin),
        world.get(whoami).key(&world.admin).header("x-auth-token", "oag_other"),
        world.get(whoami).key("eyJhbGciOiJub25lIn0.e30."),
    ];
    let mut details = Vec::new();
    for call in calls {
        let reply = call.send().await;
        details.push(reply.problem(401, "OAG-1101")["detail"].clone());
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
}

#[tokio::test]
async fn whoami_tells_roles_and_permissions_but_no_secret() {
    let world = World::new().await;
    let auditor = world.auditor().await;
    let reply = world.get("/api/v1/whoami").key(&auditor).send().await;
    let me = reply.expect(200);
    assert_eq!(me["name"], "Anna");
    let held: Vec<String> = serde_json::from_value(me["permissions"].clone()).unwrap();
    assert!(held.contains(&"ledger:view".to_owned()));
    assert!(held.iter().all(|name| name.ends_with(":view")), "{held:?}");
    assert!(!reply.text().contains(&auditor));
}

#[tokio::test]
async fn an_operator_sees_logs_of_its_groups_and_cannot_scale() {
    let world = World::new().await;
    let operator = world.operator().await;
    let services = world.get("/api/v1/services").key(&operator).send().await.expect(200);
    assert_eq!(services["items"].as_array().unwrap().len(), 1, "{services}");
    let logs = world.get("/api/v1/services/order-service/logs?limit=2").key(&operator);
    assert_eq!(logs.send().await.expect(200)["items"].as_array().unwrap().len(), 2);
    let others = world.get("/api/v1/services/pay-service/logs").key(&operator).send().await;
    others.problem(404, "OAG-1301");
    // It may propose, and the guard says no.
    let plan = world.post("/api/v1/plans").key(&operator).json(&scale(4)).send().await.expect(201);
    assert_eq!(plan["phase"], "denied", "{plan}");
    let digest = json!({"digest": plan["digest"]});
    let path = format!("/api/v1/plans/{}/apply", plan["id"].as_str().unwrap());
    let reply = world.post(&path).key(&operator).json(&digest).send().await;
    assert!(matches!(reply.status.as_u16(), 403 | 409), "{}", reply.text());
}

#[tokio::test]
async fn logs_are_a_permission_of_their_own() {
    let world = World::new().await;
    let scopes = ["service:view"];
    let kind = PrincipalKind::ServiceAccount;
    let (_, key) = world.principal(kind, "bot", Role::ADMIN, Scope::All, &scopes).await;
    world.get("/api/v1/services/order-service").key(&key).send().await.expect(200);
    let reply = world.get("/api/v1/services/order-service/logs").key(&key).send().await;
    reply.problem(403, "OAG-1201");
}

#[tokio::test]
async fn an_auditor_reads_everything_and_changes_nothing() {
    let world = World::new().await;
    let key = world.auditor().await;
    let views = [
        "/api/v1/services",
        "/api/v1/plans",
        "/api/v1/findings",
        "/api/v1/stories",
        "/api/v1/policies",
        "/api/v1/limits",
        "/api/v1/freezes",
        "/api/v1/approval-rules",
        "/api/v1/kill-switch",
        "/api/v1/autonomy",
        "/api/v1/principals",
        "/api/v1/keys",
        "/api/v1/notifications",
        "/api/v1/ledger",
        "/api/v1/ledger/rows",
        "/api/v1/breakers",
        "/api/v1/series",
        "/api/v1/services/order-service/logs",
        "/api/v1/kinds",
    ];
    for path in views {
        let reply = world.get(path).key(&key).send().await;
        assert_eq!(reply.status.as_u16(), 200, "{path}: {}", reply.text());
    }
    let anything = json!({"reason": "because"});
    let changes = [
        ("PUT", "/api/v1/services/new", crate::world::service("new", "orders")),
        ("DELETE", "/api/v1/services/order-service", json!(null)),
        ("POST", "/api/v1/plans", scale(4)),
        ("PUT", "/api/v1/policies", json!({"policies": [], "revision": 0})),
        ("PUT", "/api/v1/limits", json!({"rules": [], "revision": 0})),
        ("PUT", "/api/v1/freezes", json!({"freezes": [], "revision": 0})),
        ("PUT", "/api/v1/kill-switch", json!({"on": true, "reason": "test"})),
        ("PUT", "/api/v1/autonomy/scale", json!({"rung": "approve", "reason": "test"})),
        ("POST", "/api/v1/principals", json!({"kind": "person", "name": "X"})),
        ("POST", "/api/v1/keys", json!({"principal": world.admin_id, "name": "X"})),
        ("POST", "/api/v1/breakers/order-service/trip", anything.clone()),
        ("POST", "/api/v1/ledger/rows/0/erase", anything),
        ("POST", "/api/v1/signals", json!({"name": "x", "value": 1})),
        ("POST", "/api/v1/signals/backfill", json!({"name": "x", "samples": []})),
        ("POST", "/api/v1/analyze", json!({"metrics": {"cpu_usage": [1, 2]}})),
    ];
    for (method, path, body) in changes {
        let reply = world.call(method, path).key(&key).json(&body).send().await;
        assert_eq!(reply.status.as_u16(), 403, "{method} {path}: {}", reply.text());
        reply.problem(403, "OAG-1201");
    }
}

#[tokio::test]
async fn keys_are_minted_shown_once_narrowed_and_revoked() {
    let world = World::new().await;
    let wanted = json!({"principal": world.admin_id, "name": "ci", "scopes": ["service:view"]});
    let minted = world.post("/api/v1/keys").json(&wanted).admin().await.expect(201);
    let secret = minted["secret"].as_str().unwrap().to_owned();
    let listed = world.get("/api/v1/keys").admin().await;
    assert!(!listed.text().contains(&secret) && !listed.text().contains("hash"));
    world.get("/api/v1/services").key(&secret).send().await.expect(200);
    world.get("/api/v1/plans").key(&secret).send().await.expect(200);
    world.get("/api/v1/policies").key(&secret).send().await.problem(403, "OAG-1201");

    let id = minted["key"]["id"].as_str().unwrap();
    let revoked = world.post(&format!("/api/v1/keys/{id}/revoke")).admin().await.expect(200);
    assert!(revoked["revoked_at"].is_string());
    world.get("/api/v1/services").key(&secret).send().await.problem(401, "OAG-1102");
}

#[tokio::test]
async fn a_disabled_principal_is_nobody() {
    let world = World::new().await;
    let (id, key) = world.person("Bo", Role::AUDITOR, Scope::All).await;
    world.get("/api/v1/whoami").key(&key).send().await.expect(200);
    let list = world.get("/api/v1/principals").admin().await.expect(200);
    let items = list["items"].as_array().unwrap();
    let mut me = items.iter().find(|item| item["id"] == id.to_string()).unwrap().clone();
    me["disabled"] = json!(true);
    world.put(&format!("/api/v1/principals/{id}")).json(&me).admin().await.expect(200);
    world.get("/api/v1/whoami").key(&key).send().await.problem(401, "OAG-1101");
}

#[tokio::test]
async fn another_tenant_is_refused() {
    let world = World::new().await;
    let call = world.get("/api/v1/whoami").header("x-tenant", "default");
    call.admin().await.expect(200);
    let call = world.get("/api/v1/whoami").header("x-tenant", "other");
    call.admin().await.problem(403, "OAG-1201");
}

#[tokio::test]
async fn an_address_that_fails_too_often_waits_and_good_keys_pass() {
    let config = ApiConfig { auth_failures_per_minute: 3, ..ApiConfig::default() };
    let world = World::with(config, Vec::new()).await;
    for _ in 0..3 {
        world.get("/api/v1/whoami").key("oag_no").send().await.problem(401, "OAG-1101");
    }
    let reply = world.get("/api/v1/whoami").key("oag_no").send().await;
    reply.problem(429, "OAG-1701");
    assert_eq!(reply.header("retry-after"), "61");
    world.get("/api/v1/whoami").admin().await.expect(200);
    world.clock.advance(60_000);
    world.get("/api/v1/whoami").key("oag_no").send().await.problem(401, "OAG-1101");
}

/// The id of a key.
async fn key_id(world: &World, key: &str) -> String {
    let me = world.get("/api/v1/whoami").key(key).send().await.expect(200);
    me["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_revoked_key_is_refused_with_the_next_request() {
    let world = World::new().await;
    let key = world.auditor().await;
    let id = key_id(&world, &key).await;
    for _ in 0..3 {
        world.get("/api/v1/services").key(&key).send().await.expect(200);
    }
    let metrics = world.get("/metrics").send().await.text();
    let figure = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<f64>().unwrap()
    };
    assert!(figure("openautoglm_http_auth_cache_hits_total") >= 3.0, "{metrics}");
    assert!(figure("openautoglm_http_auth_cache_misses_total") >= 2.0, "{metrics}");
    assert_eq!(figure("openautoglm_http_auth_cache_entries"), 2.0, "{metrics}");
    world.post(&format!("/api/v1/keys/{id}/revoke")).admin().await.expect(200);
    world.get("/api/v1/services").key(&key).send().await.problem(401, "OAG-1102");
}

#[tokio::test]
async fn changed_roles_hold_with_the_next_request() {
    let world = World::new().await;
    let (id, key) = world.person("Bo", Role::AUDITOR, Scope::All).await;
    world.get("/api/v1/ledger").key(&key).send().await.expect(200);
    let list = world.get("/api/v1/principals").admin().await.expect(200);
    let items = list["items"].as_array().unwrap();
    let mut me = items.iter().find(|item| item["id"] == id.to_string()).unwrap().clone();
    me["roles"] = json!([]);
    world.put(&format!("/api/v1/principals/{id}")).json(&me).admin().await.expect(200);
    world.get("/api/v1/ledger").key(&key).send().await.problem(403, "OAG-1201");
}

#[tokio::test]
async fn what_another_process_changes_is_seen_after_the_set_time() {
    let world = World::new().await;
    let key = world.auditor().await;
    let id = key_id(&world, &key).await.parse().unwrap();
    // Not through the API, as if from elsewhere.
    let admin = world.pilot.authenticate(&world.tenant, &world.admin).await.unwrap();
    world.pilot.revoke_key(&world.tenant, &admin, id).await.unwrap();
    world.clock.advance(2_999);
    world.get("/api/v1/services").key(&key).send().await.expect(200);
    world.clock.advance(1);
    world.get("/api/v1/services").key(&key).send().await.problem(401, "OAG-1102");
    // With no time at all, at once.
    let config = ApiConfig { auth_cache_ms: 0, ..ApiConfig::default() };
    let world = World::with(config, Vec::new()).await;
    let key = world.auditor().await;
    let id = key_id(&world, &key).await.parse().unwrap();
    let admin = world.pilot.authenticate(&world.tenant, &world.admin).await.unwrap();
    world.pilot.revoke_key(&world.tenant, &admin, id).await.unwrap();
    world.get("/api/v1/services").key(&key).send().await.problem(401, "OAG-1102");
}

#[tokio::test]
async fn a_key_ends_on_time_though_it_is_remembered() {
    let world = World::new().await;
    let body = json!({
        "principal": world.admin_id.to_string(), "name": "short",
        "expires_at": "2026-11-21T08:00:01Z",
    });
    let minted = world.post("/api/v1/keys").json(&body).admin().await.expect(201);
    let key = minted["secret"].as_str().unwrap();
    world.get("/api/v1/whoami").key(key).send().await.expect(200);
    world.clock.advance(999);
    world.get("/api/v1/whoami").key(key).send().await.expect(200);
    world.clock.advance(1);
    world.get("/api/v1/whoami").key(key).send().await.problem(401, "OAG-1102");
}

#[tokio::test]
async fn behind_a_trusted_proxy_clients_are_counted_by_their_own_address() {
    // The address that connects is 192.0.2.7.
    let trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
    let config = ApiConfig { auth_failures_per_minute: 1, trusted_proxies, ..Default::default() };
    let world = World::with(config, Vec::new()).await;
    let bad = |client: &str| {
        let call = world.get("/api/v1/whoami").key("oag_no");
        call.header("x-forwarded-for", client).send()
    };
    bad("203.0.113.1").await.problem(401, "OAG-1101");
    bad("203.0.113.1").await.problem(429, "OAG-1701");
    bad("198.51.100.9, 203.0.113.1").await.problem(429, "OAG-1701");
    bad("203.0.113.2").await.problem(401, "OAG-1101");
    // Nobody is believed unless it was said.
    let config = ApiConfig { auth_failures_per_minute: 1, ..Default::default() };
    let world = World::with(config, Vec::new()).await;
    let bad = |client: &str| {
        let call = world.get("/api/v1/whoami").key("oag_no");
        call.header("x-forwarded-for", client).send()
    };
    bad("203.0.113.1").await.problem(401, "OAG-1101");
    bad("203.0.113.2").await.problem(429, "OAG-1701");
}
