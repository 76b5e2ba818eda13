use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{Server, ok};
use crate::views::plan;

fn body(server: &Server, at: usize) -> Value {
    serde_json::from_str(&server.requests()[at].body).unwrap()
}

#[test]
fn policies_are_checked_and_replaced() {
    let path = "/api/v1/policies";
    let present = json!({"revision": 5, "policies": [
        {"role": "admin", "permissions": ["*"], "resources": ["*"]}]});
    let saved = json!({"revision": 6, "policies": []});
    let server =
        Server::with(vec![ok(&format!("GET {path}"), present), ok(&format!("PUT {path}"), saved)]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policies.yaml");
    let text = "- role: admin\n  permissions: ['*']\n  resources: ['*']\n\
                - role: auditor\n  permissions: ['*:view']\n  resources: ['*']\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let ran = server.run(&["policy", "set", "-f", file]);
    assert_eq!(ran.code, 2, "needs agreement: {}", ran.err);
    let ran = server.run(&["policy", "set", "-f", file, "--yes"]);
    assert_eq!(ran.out, "2 policies set, revision 6\n", "{}", ran.err);
    let put = server.requests().pop().unwrap();
    assert!(put.headers.contains(&"if-match: \"5\"".to_owned()), "{:?}", put.headers);

    let wrong = "policies: [{role: x, permissions: ['nonsense'], resources: ['*']}]";
    std::fs::write(file, wrong).unwrap();
    let sent = server.requests().len();
    let ran = server.run(&["policy", "set", "-f", file, "--yes"]);
    assert_eq!((ran.code, server.requests().len()), (2, sent), "{}", ran.err);
}

#[test]
fn what_is_so_already_is_left_alone() {
    let present = json!({"revision": 5, "rules": [{"name": "a", "max": 3.0}]});
    let server = Server::with(vec![ok("GET /api/v1/limits", present.clone())]);
    let ran = server.run_answering(&["limits", "set", "-f", "-"], &present.to_string());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err, "the limits are as in the file already\n");
}

#[test]
fn freezes_are_added_and_removed() {
    let path = "/api/v1/freezes";
    let present = json!({"revision": 5, "freezes": [{"name": "sale", "reason": "r",
        "from": "2026-11-21T00:00:00Z", "to": "2026-11-22T00:00:00Z"}]});
    let server = Server::with(vec![
        ok(&format!("GET {path}"), present.clone()),
        ok(&format!("PUT {path}"), present),
    ]);
    let to = "2026-12-01T00:00:00Z";
    let add = |name: &str, to: &str| {
        server.run(&["freeze", "add", name, "--to", to, "--reason", "r", "--kind", "deploy"])
    };
    let ran = add("night", to);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_snapshot!(ran.all());
    assert_eq!(body(&server, 1)["freezes"][1]["from"], "2026-11-21T08:00:00.000Z");
    assert_eq!(add("sale", to).code, 5);
    assert_eq!(add("early", "2026-11-20T00:00:00Z").code, 2);
    assert_eq!(server.run(&["freeze", "remove", "night", "-y"]).code, 3);
    assert_eq!(server.run(&["freeze", "remove", "sale"]).code, 2);
    assert_eq!(server.run(&["freeze", "remove", "sale", "-y"]).code, 0);
}

#[test]
fn the_kill_switch_needs_no_questions() {
    let switch = |on: bool, scope: Value| {
        json!({"revision": 2, "kill_switch": {"on": on,
        "scope": scope, "by": "usr_1", "at": "2026-11-21T07:00:00.000Z", "reason": "drill"}})
    };
    let path = "/api/v1/kill-switch";
    let server = Server::with(vec![
        ok(&format!("PUT {path}"), switch(true, json!({"groups": ["shop"]}))),
        ok(&format!("PUT {path}"), switch(false, json!("all"))),
        ok(&format!("GET {path}"), switch(true, json!("all"))),
    ]);
    let on = server.run(&["kill-switch", "on", "--reason", "drill", "--group", "shop"]);
    let off = server.run(&["kill-switch", "off", "--reason", "over"]);
    let status = server.run(&["kill-switch", "status"]);
    let text = [on, off, status].map(|ran| ran.all()).concat();
    assert_snapshot!(format!("{text}----- sent\n{}", server.sent()));
}

#[test]
fn autonomy_breakers_and_messages() {
    let ladder = json!({"revision": 1, "rules": {}, "kinds": [
        {"kind": "scale", "rung": "dry_run", "ceiling": "automatic", "record": {}}]});
    let server = Server::with(vec![
        ok("PUT /api/v1/autonomy/scale", ladder),
        ok("POST /api/v1/breakers/order/trip", plan("queued", "allow")),
        ok("POST /api/v1/notifications/ntf_1/seen", json!({})),
        ok("POST /api/v1/notifications/ntf_2/seen", json!({})),
    ]);
    let args = ["autonomy", "set", "scale", "dry-run", "--ceiling", "automatic", "--reason", "r"];
    let ran = server.run(&args);
    assert_eq!(ran.out, "scale: dry run, may climb to automatic\n", "{}", ran.err);
    assert_eq!(server.run(&["breaker", "trip", "order", "--reason", "fails"]).code, 0);
    assert_eq!(server.run(&["notifications", "seen", "ntf_1", "ntf_2"]).code, 0);
    assert_snapshot!(server.sent());
}

#[test]
fn a_secret_is_shown_once_and_alone() {
    let minted = json!({"secret": "oag_new_key", "key": {"id": "key_9", "name": "ci"}});
    let server = Server::with(vec![
        ok("POST /api/v1/keys", minted),
        ok("POST /api/v1/keys/key_9/revoke", json!({"id": "key_9"})),
    ]);
    let args = [
        "keys",
        "mint",
        "--principal",
        "usr_1",
        "--name",
        "ci",
        "--scope",
        "signal:write",
        "--expires",
        "90d",
    ];
    assert_snapshot!(server.run(&args).all());
    assert_eq!(body(&server, 0)["expires_at"], "2027-02-19T08:00:00.000Z");
    let ran = server.run(&["keys", "revoke", "key_9", "--yes"]);
    assert_eq!(ran.out, "key key_9 revoked\n");
}

#[test]
fn principals_are_added_and_switched() {
    let one = json!({"id": "usr_1", "kind": "person", "name": "Li Wei", "roles": [],
        "disabled": false, "revision": 4});
    let server = Server::with(vec![
        ok("POST /api/v1/principals", one.clone()),
        ok("GET /api/v1/principals?page_size=500", json!({"items": [one.clone()], "revision": 9})),
        ok("PUT /api/v1/principals/usr_1", one),
    ]);
    let args = [
        "principals",
        "add",
        "--kind",
        "service-account",
        "--name",
        "ci",
        "--role",
        "admin",
        "--role",
        "operator@shop,pay",
    ];
    assert_snapshot!(server.run(&args).all());
    assert_eq!(
        body(&server, 0)["roles"],
        json!([
        {"role": "admin", "scope": "all"},
        {"role": "operator", "scope": {"groups": ["shop", "pay"]}}])
    );
    assert_eq!(server.run(&["principals", "disable", "usr_1"]).code, 0);
    assert_eq!(body(&server, 2)["disabled"], true);
    assert_eq!(server.run(&["principals", "enable", "usr_2"]).code, 3);
}
