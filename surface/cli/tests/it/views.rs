use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{Server, answer, ok};

const PLAN: &str = "pln_019a0c7e5f0a7bd2a1b2c3d4e5f60718";

/// A plan to scale, as the API shows it.
pub(crate) fn plan(phase: &str, decision: &str) -> Value {
    json!({
        "id": PLAN, "revision": 12, "digest": "5f".repeat(32), "phase": phase, "rung": "approve",
        "plan": {
            "id": PLAN, "story": "sty_1", "tenant": "default", "proposer": "usr_1",
            "origin": "request", "summary": "scale order-service to 4 replicas",
            "reason": "sale starts at noon", "findings": [],
            "actions": [{
                "id": "act_1", "kind": "scale",
                "target": {"service": "order-service", "group": "shop", "executor": "local"},
                "params": {"replicas": 4}, "summary": "scale order-service to 4 replicas",
                "expect": [{"observe": {"state": "ready_replicas"}, "is": "ge", "value": 4,
                            "within_ms": 60000, "hold_ms": 5000}],
                "risk": "low", "repeat": "idempotent", "idempotency_key": "k",
                "undo": {"by": {"kind": "scale", "params": {"replicas": 2},
                    "target": {"service": "order-service", "group": "shop", "executor": "local"}}},
            }],
            "base": {"order-service": 5},
            "created_at": "2026-11-21T07:59:00.000Z", "expires_at": "2026-11-21T08:14:00.000Z",
        },
        "verdict": {"decision": decision, "approvals_needed": 1, "reasons": [
            {"rule": "autonomy.rung", "decision": decision, "text": "scale acts once approved"},
            {"rule": "limit.replicas", "decision": "allow", "text": "4 is between 1 and 10"}]},
        "approvals": [],
        "steps": [{"action": "act_1", "phase": "pending", "ledger": [], "times": []}],
        "notes": [{"at": "2026-11-21T07:59:00.000Z", "by": "usr_1", "text": "proposed"}],
    })
}

/// The same plan when it is over.
pub(crate) fn finished() -> Value {
    let mut plan = plan("succeeded", "allow");
    plan["approvals"] = json!([{"id": "apr_1", "plan": PLAN, "digest": "5f".repeat(32),
        "principal": "usr_2", "at": "2026-11-21T07:59:30.000Z",
        "expires_at": "2026-11-21T08:59:30.000Z"}]);
    plan["steps"] = json!([{
        "action": "act_1", "phase": "verified", "ledger": [3, 4, 5], "times": [],
        "receipt": {"changed": true, "detail": "started 2 replicas", "before": {}, "after": {}},
        "verification": {"state": "reached", "at": "2026-11-21T07:59:50.000Z", "measured": [
            {"expected": plan["plan"]["actions"][0]["expect"][0], "actual": 4, "holds": true}]},
    }]);
    plan
}

pub(crate) fn observed() -> Value {
    json!({"revision": 5, "fields": {"replicas": 2, "ready_replicas": 2, "version": "1.4"}})
}

fn service(name: &str) -> Value {
    json!({
        "name": name, "group": "shop", "executor": "local", "spec": {},
        "depends_on": [{"service": "stock", "calls_per_request": 1.0, "scales_along": true}],
        "scaling": {"mode": "predictive", "min_replicas": 2, "max_replicas": 10},
        "features": [{"name": "recommend", "path_prefix": "/r", "core": false}], "revision": 7,
    })
}

fn page(items: Value) -> Value {
    json!({"items": items, "revision": 40})
}

fn finding() -> Value {
    json!({
        "id": "fnd_1", "story": "sty_1", "kind": "forecast_overload", "service": "order-service",
        "severity": "warning", "confidence": 0.93, "at": "2026-11-21T07:58:30.000Z",
        "summary": "load will cross the threshold in 4 minutes", "revision": 9,
        "evidence": [{"text": "forecast 180 requests/s", "series": "request_rate{service=\"o\"}",
                      "numbers": {"capacity": 160, "forecast": 180.0}}],
    })
}

fn story() -> Value {
    json!({
        "id": "sty_1", "revision": 13, "title": "order-service will be overloaded",
        "service": "order-service", "opened_at": "2026-11-21T07:58:30.000Z", "closed_at": null,
        "findings": [finding()], "plans": [PLAN],
    })
}

fn rows() -> Value {
    json!([
        {"index": 3, "at": "2026-11-21T07:59:31.000Z", "kind": "action_started",
         "subject": "act_1", "leaf_hash": "ab".repeat(32), "payload": {"kind": "scale"},
         "erased": false},
        {"index": 4, "at": "2026-11-21T07:59:32.000Z", "kind": "action_done", "subject": "act_1",
         "leaf_hash": "cd".repeat(32), "payload": null, "erased": true},
    ])
}

fn listing(answers: Vec<crate::harness::Canned>, args: &[&str]) -> String {
    let server = Server::with(answers);
    let mut text = String::new();
    for form in ["table", "wide", "json", "yaml", "name"] {
        let ran = server.run(&[args, &["-o", form]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        text.push_str(&format!("===== {form}\n{}{}", ran.out, ran.err));
    }
    text
}

const SERVICES: &str = "GET /api/v1/services?page_size=100";

#[test]
fn services_in_every_form() {
    let items = json!([service("order-service"), service("订单服务")]);
    assert_snapshot!(listing(vec![ok(SERVICES, page(items))], &["get", "services"]));
}

#[test]
fn nothing_in_every_form() {
    assert_snapshot!(listing(vec![ok(SERVICES, page(json!([])))], &["get", "services"]));
}

#[test]
fn plans_in_every_form() {
    let request = "GET /api/v1/plans?page_size=100&phase=proposed&service=order-service";
    let answers = vec![ok(request, page(json!([plan("proposed", "needs_approval")])))];
    let args = ["get", "plan", "--phase", "proposed", "--service", "order-service"];
    assert_snapshot!(listing(answers, &args));
}

#[test]
fn other_lists_as_tables() {
    let cases = [
        ("findings", ok("GET /api/v1/findings?page_size=100", page(json!([finding()])))),
        ("stories", ok("GET /api/v1/stories?page_size=100", page(json!([story()])))),
        (
            "series",
            ok(
                "GET /api/v1/series?limit=100",
                json!({"more": true, "items": [
            {"name": "request_rate", "labels": {"service": "order-service", "az": "a"}}]}),
            ),
        ),
        (
            "breakers",
            ok(
                "GET /api/v1/breakers",
                json!({"items": [
            {"service": "order-service", "state": "half_open", "facts": {"breaker_failures": 3}}]}),
            ),
        ),
        (
            "policies",
            ok(
                "GET /api/v1/policies",
                json!({"revision": 3, "policies": [
            {"role": "auditor", "permissions": ["*:view"], "resources": ["*"]}]}),
            ),
        ),
        (
            "limits",
            ok(
                "GET /api/v1/limits",
                json!({"revision": 3, "rules": [
            {"name": "replicas", "selector": {"kinds": ["scale"]}, "quantity": "replicas",
             "min": 1.0, "max": 20.0, "max_step": 5.0, "cooldown_ms": 240_000}]}),
            ),
        ),
        (
            "freezes",
            ok(
                "GET /api/v1/freezes",
                json!({"revision": 3, "freezes": [
            {"name": "sale", "from": "2026-11-21T00:00:00.000Z", "to": "2026-11-22T00:00:00.000Z",
             "reason": "singles' day"}]}),
            ),
        ),
        (
            "kinds",
            ok(
                "GET /api/v1/kinds",
                json!({"items": [
            {"kind": "scale", "about": "bring a service to a number of replicas",
             "permission": "service:scale", "repeat": "idempotent",
             "params_schema": {"properties": {"replicas": {"type": "integer"}}}}]}),
            ),
        ),
        (
            "principals",
            ok(
                "GET /api/v1/principals?page_size=100",
                page(json!([
            {"id": "usr_1", "kind": "person", "name": "Li Wei", "disabled": false, "revision": 2,
             "roles": [{"role": "admin", "scope": "all"},
                       {"role": "operator", "scope": {"groups": ["shop", "pay"]}}]}])),
            ),
        ),
        (
            "keys",
            ok(
                "GET /api/v1/keys?page_size=100",
                page(json!([
            {"id": "key_1", "principal": "usr_1", "name": "ci", "scopes": ["signal:write"],
             "created_at": "2026-11-20T08:00:00.000Z", "expires_at": "2026-11-21T07:00:00.000Z",
             "revoked_at": null, "last_used_at": null, "revision": 2}])),
            ),
        ),
        (
            "notifications",
            ok(
                "GET /api/v1/notifications?page_size=100",
                page(json!([
            {"id": "ntf_1", "severity": "warning", "message": "a plan waits for you",
             "plan": PLAN, "at": "2026-11-21T07:59:00.000Z", "seen": null, "revision": 2}])),
            ),
        ),
        (
            "autonomy",
            ok(
                "GET /api/v1/autonomy",
                json!({"revision": 3, "rules": {}, "kinds": [
            {"kind": "scale", "rung": "dry_run", "ceiling": "automatic",
             "record": {"proposals": 9, "proposals_right": 8, "dry_runs": 3, "dry_runs_clean": 3,
                        "verified": 2, "failed": 1, "undone": 0, "unknown": 0}}]}),
            ),
        ),
    ];
    let mut text = String::new();
    for (name, canned) in cases {
        let server = Server::with(vec![canned]);
        for form in ["table", "wide"] {
            let ran = server.run(&["get", name, "-o", form]);
            assert_eq!(ran.code, 0, "{}", ran.err);
            text.push_str(&format!("===== {name} ({form})\n{}{}", ran.out, ran.err));
        }
    }
    assert_snapshot!(text);
}

#[test]
fn empty_lists_say_what_to_do() {
    let mut text = String::new();
    for (name, member) in [
        ("plans", "items"),
        ("stories", "items"),
        ("notifications", "items"),
        ("keys", "items"),
        ("freezes", "freezes"),
        ("limits", "rules"),
    ] {
        let pages = format!("GET /api/v1/{name}?page_size=100");
        let whole = format!("GET /api/v1/{name}");
        let body = json!({member: [], "revision": 1});
        let server = Server::with(vec![ok(&pages, body.clone()), ok(&whole, body)]);
        let ran = server.run(&["get", name]);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""));
        text.push_str(&format!("===== {name}\n{}", ran.err));
        let ran = server.run(&["get", name, "-o", "json"]);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("[]\n", ""), "{name}");
    }
    assert_snapshot!(text);
}

#[test]
fn pages_are_read_up_to_the_limit() {
    let first = json!({"items": [service("a"), service("b")], "next_page_token": "t/=",
                       "revision": 1});
    let last = json!({"items": [service("c")], "next_page_token": "u", "revision": 1});
    let server = Server::with(vec![
        ok("GET /api/v1/services?page_size=3", first),
        ok("GET /api/v1/services?page_size=1&page_token=t%2F%3D", last),
    ]);
    let ran = server.run(&["get", "services", "-o", "name", "--limit", "3"]);
    assert_eq!(ran.out, "a\nb\nc\n");
    assert_eq!(ran.err, "3 services shown, there are more: raise --limit\n");
}

#[test]
fn the_newest_rows_of_the_ledger() {
    let server = Server::with(vec![
        ok("GET /api/v1/ledger", json!({"size": 5, "root": "", "checkpoint": ""})),
        ok("GET /api/v1/ledger/rows?from=3&page_size=2", json!({"items": rows()})),
    ]);
    assert_snapshot!(server.run(&["get", "ledger", "--limit", "2"]).all());
}

#[test]
fn one_by_name() {
    let answers = vec![
        ok("GET /api/v1/plans/pln_1", plan("queued", "allow")),
        ok("GET /api/v1/limits", json!({"rules": [{"name": "a"}, {"name": "b"}], "revision": 1})),
    ];
    let server = Server::with(answers);
    assert_snapshot!(server.run(&["get", "plan", "pln_1"]).all());
    let ran = server.run(&["get", "limit", "b", "-o", "json"]);
    assert_eq!(ran.out, "{\n  \"name\": \"b\"\n}\n");
    let ran = server.run(&["get", "limit", "c"]);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.err, "error: no limit 'c'\nhint: `openautoglm get limits` lists them\n");
}

#[test]
fn a_service_in_full() {
    let server = Server::with(vec![
        ok("GET /api/v1/services/order-service", service("order-service")),
        ok("GET /api/v1/services/order-service/observed", observed()),
        ok(
            "GET /api/v1/services/order-service/load",
            json!({
            "service": "order-service", "metric": "request_rate", "values": [1.0, 117.53, null],
            "forecast": [120.04, 130.0]}),
        ),
    ]);
    assert_snapshot!(server.run(&["describe", "service", "order-service"]).all());
}

#[test]
fn a_service_whose_executor_is_away() {
    let server = Server::with(vec![ok("GET /api/v1/services/order", service("order"))]);
    let ran = server.run(&["describe", "service", "order"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("state: its executor does not answer"), "{}", ran.out);
}

#[test]
fn a_plan_in_full() {
    let server = Server::with(vec![
        ok(&format!("GET /api/v1/plans/{PLAN}"), finished()),
        ok("GET /api/v1/services/order-service/observed", observed()),
    ]);
    assert_snapshot!(server.run(&["describe", "plan", PLAN]).all());
}

#[test]
fn a_story_in_full() {
    let detail = json!({"story": story(), "plans": [finished()], "ledger": rows()});
    let server = Server::with(vec![ok("GET /api/v1/stories/sty_1", detail)]);
    assert_snapshot!(server.run(&["describe", "story", "sty_1"]).all());
}

#[test]
fn wanted_against_present() {
    let mut moved = observed();
    moved["revision"] = json!(6);
    let server = Server::with(vec![
        ok("GET /api/v1/plans/pln_1", plan("proposed", "allow")),
        ok("GET /api/v1/services/order-service/observed", moved),
    ]);
    assert_snapshot!(server.run(&["diff", "pln_1"]).all());
}

#[test]
fn logs_cannot_steer_the_terminal() {
    let lines = json!({"items": [
        {"at": "2026-11-21T07:59:00.000Z", "replica": "r0", "error": false, "text": "ready"},
        {"at": "2026-11-21T07:59:01.000Z", "replica": "r1", "error": true,
         "text": "\u{1b}[2Jgone\u{7}"}]});
    let server = Server::with(vec![ok("GET /api/v1/services/order/logs?limit=2", lines)]);
    assert_snapshot!(server.run(&["logs", "order", "-n", "2"]).all());
}

#[test]
fn status_and_whoami() {
    let ready = json!({"status": "ok", "failing": [],
        "components": [{"name": "store", "ok": true}]});
    let waiting = page(json!([plan("awaiting_approval", "needs_approval")]));
    let server = Server::with(vec![
        ok("GET /health/ready", ready),
        ok("GET /api/v1/openapi.json", json!({"info": {"version": "0.1.0"}})),
        ok("GET /api/v1/plans?phase=awaiting_approval&page_size=20", waiting),
        ok("GET /api/v1/plans?phase=outcome_unknown&page_size=20", page(json!([]))),
        ok("GET /api/v1/stories?page_size=5", page(json!([story()]))),
        ok(
            "GET /api/v1/kill-switch",
            json!({"revision": 1, "kill_switch": {
            "on": true, "scope": "all", "by": "usr_1", "at": null, "reason": "drill"}}),
        ),
        ok(
            "GET /api/v1/whoami",
            json!({"id": "usr_1", "kind": "person", "name": "Li Wei",
            "roles": [{"role": "admin", "scope": "all"}], "tenant": "default", "key": "key_1",
            "scopes": [], "permissions": ["plan:view", "plan:apply"]}),
        ),
    ]);
    assert_snapshot!(format!("{}{}", server.run(&["status"]).all(), server.run(&["whoami"]).all()));
}

#[test]
fn status_of_a_server_that_is_not_well() {
    let body = json!({"status": "failing", "failing": ["store"],
        "components": [{"name": "store", "ok": false, "detail": "does not answer"}]});
    let server = Server::with(vec![
        answer("GET /health/ready", 503, "application/json", &body.to_string()),
        crate::harness::problem(
            "GET /api/v1/plans?phase=awaiting_approval&page_size=20",
            503,
            "OAG-1801",
            "The store is not available",
            "locked",
        ),
    ]);
    let ran = server.run(&["status"]);
    assert_eq!(ran.code, 6);
    assert_snapshot!(ran.all());
}

#[test]
fn a_watch_goes_on_after_the_list() {
    let changed = {
        let mut plan = plan("succeeded", "allow");
        plan["revision"] = json!(42);
        plan
    };
    let mut other = plan("proposed", "allow");
    other["id"] = json!("pln_2");
    let events = format!(
        "event: bookmark\nid: 40\ndata: {{\"revision\":40}}\n\n\
         id: 42\ndata: {{\"resource\":\"plan\",\"id\":\"{PLAN}\",\"revision\":42,\"deleted\":false}}\n\n\
         id: 43\ndata: {{\"resource\":\"plan\",\"id\":\"pln_2\",\"revision\":43,\"deleted\":true}}\n\n"
    );
    let list = "GET /api/v1/plans?page_size=100";
    let gone = crate::harness::problem(
        "GET /api/v1/plans?watch=true&from_revision=43",
        403,
        "OAG-1201",
        "Not allowed",
        "any more",
    );
    for form in ["table", "json"] {
        let server = Server::with(vec![
            ok(list, page(json!([plan("queued", "allow"), other.clone()]))),
            ok(list, page(json!([changed.clone()]))),
            answer(
                "GET /api/v1/plans?watch=true&from_revision=40",
                200,
                "text/event-stream",
                &events,
            ),
            gone.clone(),
        ]);
        let ran = server.run(&["get", "plans", "--watch", "-o", form]);
        assert_eq!(ran.code, 1);
        assert_snapshot!(format!("watch-{form}"), ran.all());
    }
}

#[test]
fn a_live_list_is_shown_whenever_it_is_another() {
    let list = |waiting: u64| {
        let queue = json!({
            "model": "glm", "policy": "sjf", "waiting": waiting, "tokens": 100 * waiting,
            "expected_wait_ms": 1_500, "slots": 4, "busy": 4, "running": [],
            "next": [{"reason": "the shortest"}],
        });
        format!("data: {}\n\n", json!({"items": [queue]}))
    };
    let events = format!("{}: unchanged\n\n{}{}", list(2), list(2), list(3));
    let path = "GET /api/v1/queues?watch=true";
    let gone = crate::harness::problem(path, 403, "OAG-1201", "Not allowed", "any more");
    let server = Server::with(vec![answer(path, 200, "text/event-stream", &events), gone.clone()]);
    let ran = server.run(&["get", "queues", "--watch"]);
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.all());
    let ran = Server::with(vec![gone]).run(&["get", "nodes", "--watch"]);
    assert_eq!(ran.code, 2);
}

#[test]
fn a_watch_whose_past_is_gone_lists_again() {
    let list = "GET /api/v1/plans?page_size=100";
    let mut later = plan("succeeded", "allow");
    later["revision"] = json!(50);
    let watch = |from: u64| format!("GET /api/v1/plans?watch=true&from_revision={from}");
    let title = "The revision is no longer kept";
    let server = Server::with(vec![
        ok(list, page(json!([plan("queued", "allow")]))),
        ok(list, json!({"items": [later], "revision": 50})),
        crate::harness::problem(&watch(40), 410, "OAG-1901", title, "40 is too old"),
        crate::harness::problem(&watch(50), 403, "OAG-1201", "Not allowed", "any more"),
    ]);
    let ran = server.run(&["get", "plans", "-w"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.out.contains("succeeded"), "{}", ran.out);
}
