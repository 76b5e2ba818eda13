use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{Server, ok, problem, run};
use crate::views::{finished, observed, plan};

const PLAN: &str = "/api/v1/plans/pln_1";

fn state() -> crate::harness::Canned {
    ok("GET /api/v1/services/order-service/observed", observed())
}

const SCALE: [&str; 7] =
    ["plan", "scale", "order-service", "--replicas", "4", "--reason", "sale starts at noon"];

#[test]
fn a_plan_is_proposed_and_shown() {
    let server =
        Server::with(vec![ok("POST /api/v1/plans", plan("proposed", "needs_approval")), state()]);
    let ran = server.run(&SCALE);
    assert_snapshot!(format!("{}----- sent\n{}", ran.all(), server.sent()));
    let headers = &server.requests()[0].headers;
    assert!(headers.iter().any(|h| h.starts_with("idempotency-key: cli-")), "{headers:?}");
}

#[test]
fn a_refused_plan_is_a_negative_answer() {
    let server = Server::with(vec![ok("POST /api/v1/plans", plan("denied", "deny")), state()]);
    let ran = server.run(&SCALE);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("guard: deny"), "{}", ran.out);
}

#[test]
fn dry_runs() {
    let ran = run(&[&SCALE[..], &["--dry-run", "client", "--url", "http://x"]].concat(), None, "");
    assert_snapshot!(ran.all());
    let request = "POST /api/v1/plans?dry_run=true";
    let server = Server::with(vec![ok(request, plan("proposed", "allow")), state()]);
    let ran = server.run(&[&SCALE[..], &["--dry-run=server"]].concat());
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("dry run: nothing was recorded"), "{}", ran.err);
}

#[test]
fn parameters_have_the_types_of_their_kind() {
    let kinds = json!({"items": [{"kind": "deploy", "params_schema": {"properties": {
        "version": {"type": "string"}, "canary": {"type": "boolean"}}}}]});
    let server = Server::with(vec![
        ok("GET /api/v1/kinds", kinds),
        ok("POST /api/v1/plans", plan("proposed", "allow")),
    ]);
    let args = [
        "plan",
        "deploy",
        "order",
        "--param",
        "version=1.10",
        "--param",
        "canary=true",
        "--reason",
        "r",
        "--expires",
        "15m",
        "--story",
        "sty_1",
    ];
    assert_eq!(server.run(&args).code, 0);
    let sent: Value = serde_json::from_str(&server.requests()[1].body).unwrap();
    assert_eq!(sent["actions"][0]["params"], json!({"version": "1.10", "canary": true}));
    assert_eq!((&sent["expires_in_ms"], &sent["story"]), (&json!(900_000), &json!("sty_1")));
}

#[test]
fn a_proposal_from_a_file() {
    let server = Server::with(vec![ok("POST /api/v1/plans", plan("proposed", "allow"))]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.yaml");
    let text = "reason: r\nactions:\n- {kind: scale, service: a, params: {replicas: 2}}\n";
    std::fs::write(&file, text).unwrap();
    assert_eq!(server.run(&["plan", "-f", file.to_str().unwrap()]).code, 0);
    let sent: Value = serde_json::from_str(&server.requests()[0].body).unwrap();
    assert_eq!(sent["actions"][0]["service"], "a");
}

#[test]
fn applying_what_needs_approval() {
    let server = Server::with(vec![
        ok(&format!("GET {PLAN}"), plan("proposed", "needs_approval")),
        ok(&format!("POST {PLAN}/apply"), plan("awaiting_approval", "needs_approval")),
    ]);
    let ran = server.run(&["apply", "pln_1", "--wait"]);
    assert_eq!(ran.code, 4);
    assert_snapshot!(format!("{}----- sent\n{}", ran.all(), server.sent()));
}

#[test]
fn applying_with_a_digest_and_waiting() {
    let id = plan("queued", "allow")["id"].as_str().unwrap().to_owned();
    let server = Server::with(vec![
        ok(&format!("POST {PLAN}/apply"), plan("queued", "allow")),
        ok(&format!("GET /api/v1/plans/{id}"), plan("running", "allow")),
        ok(&format!("GET /api/v1/plans/{id}"), finished()),
    ]);
    let digest = "5f".repeat(32);
    let ran = server.run(&["apply", "pln_1", "--digest", &digest, "--wait", "--timeout", "30s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_snapshot!(ran.all());
}

#[test]
fn waiting_has_an_end() {
    let id = plan("queued", "allow")["id"].as_str().unwrap().to_owned();
    let server = Server::with(vec![
        ok(&format!("POST {PLAN}/apply"), plan("queued", "allow")),
        ok(&format!("GET /api/v1/plans/{id}"), plan("running", "allow")),
    ]);
    let ran = server.run(&["apply", "pln_1", "--digest", "d", "--wait", "--timeout", "0s"]);
    assert_eq!(ran.code, 6);
    assert!(ran.err.contains("hint: it goes on by itself"), "{}", ran.err);
}

#[test]
fn ends_that_are_not_good() {
    for phase in ["failed", "undone", "denied", "expired", "outcome_unknown"] {
        let server = Server::with(vec![ok(&format!("POST {PLAN}/apply"), plan(phase, "allow"))]);
        let ran = server.run(&["apply", "pln_1", "--digest", "d", "--wait"]);
        assert_eq!(ran.code, 1, "{phase}");
        assert!(ran.err.contains("hint:"), "{phase}: {}", ran.err);
    }
}

#[test]
fn approving_shows_the_plan_and_asks() {
    let answers = || {
        vec![
            ok(&format!("GET {PLAN}"), plan("awaiting_approval", "needs_approval")),
            ok(&format!("POST {PLAN}/approve"), plan("queued", "needs_approval")),
            state(),
        ]
    };
    let server = Server::with(answers());
    let ran = server.run_answering(&["approve", "pln_1"], "yes\n");
    assert_eq!(ran.code, 0);
    assert_snapshot!(format!("{}----- sent\n{}", ran.all(), server.sent()));

    let server = Server::with(answers());
    let ran = server.run_answering(&["approve", "pln_1"], "\n");
    assert_eq!(ran.code, 1);
    assert!(!server.sent().contains("POST"));

    let server = Server::with(answers());
    assert_eq!(server.run(&["approve", "pln_1"]).code, 2);
    assert_eq!(server.run(&["approve", "pln_1", "--digest", "other", "--yes"]).code, 5);
    assert!(!server.sent().contains("POST"));
    assert_eq!(server.run(&["approve", "pln_1", "--yes"]).code, 0);
}

#[test]
fn approving_ones_own_plan() {
    let server = Server::with(vec![
        ok(&format!("GET {PLAN}"), plan("awaiting_approval", "needs_approval")),
        problem(
            &format!("POST {PLAN}/approve"),
            403,
            "OAG-1204",
            "You cannot approve this plan",
            "you proposed it",
        ),
    ]);
    assert_snapshot!(server.run(&["approve", "pln_1", "--yes"]).all());
}

#[test]
fn cancelling_and_resolving() {
    let server = Server::with(vec![
        ok(&format!("POST {PLAN}/cancel"), plan("cancelled", "allow")),
        ok(&format!("POST {PLAN}/resolve"), finished()),
    ]);
    assert_eq!(server.run(&["cancel", "pln_1", "--reason", "no need"]).code, 0);
    assert_eq!(server.run(&["resolve", "pln_1", "--not-done", "-o", "json"]).code, 0);
    assert_snapshot!(server.sent());
}

#[test]
fn services_are_put_against_their_revision() {
    let service = json!({"name": "order", "group": "shop", "executor": "local", "revision": 7});
    let path = "/api/v1/services/order";
    let server = Server::with(vec![
        ok(&format!("GET {path}"), service.clone()),
        ok(&format!("PUT {path}"), service),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("order.yaml");
    std::fs::write(&file, "name: order\ngroup: shop\nexecutor: local\n").unwrap();
    let ran = server.run(&["put", "service", "-f", file.to_str().unwrap()]);
    assert_eq!(ran.out, "service order changed, revision 7\n", "{}", ran.err);
    let headers = &server.requests()[1].headers;
    assert!(headers.contains(&"if-match: \"7\"".to_owned()), "{headers:?}");

    let text = "{\"group\": \"shop\"}";
    let ran = server.run_answering(&["put", "service", "-f", "-"], text);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("no member 'name'"), "{}", ran.err);
    let ran = server.run_answering(&["put", "service", "-f", "-"], "{\"name\": ");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert_eq!(server.run(&["put", "service", "-f", "/nowhere.yaml"]).code, 2);
}

#[test]
fn services_are_deleted_with_agreement() {
    let server = Server::with(vec![ok("DELETE /api/v1/services/order", json!({}))]);
    let ran = server.run(&["delete", "service", "order", "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "service order deleted\n"));
    assert_eq!(server.run_answering(&["delete", "service", "order"], "y\n").code, 0);
}

#[test]
fn an_analysis_is_an_answer_whatever_it_says() {
    let advice = json!({
        "action": "scale order-service from 4 to 6 replicas", "action_kind": "scale_up",
        "decision": "act", "service": "order-service", "replicas": 6, "ratio": 1.37,
        "confidence": 0.91, "language": "en", "assumptions": ["values are 30 s apart"],
        "evidence": ["cpu_usage: 98 at the end, 85 is the threshold", "98 / 70 * 4 = 5.6, so 6"],
        "findings": [{"kind": "overload", "severity": "critical", "confidence": 0.97,
            "summary": "cpu_usage is at 98 %", "evidence": [{"text": "last value 98"}]}],
        "plan": {"summary": "s", "actions": [{"kind": "scale", "service": "order-service",
            "params": {"replicas": 6}, "expect": [], "risk": "low", "undo": "as_before"}]},
    });
    let calm = json!({"action": "nothing to do", "action_kind": "none", "decision": "no_action",
        "confidence": 0.8, "findings": [], "evidence": [], "assumptions": [], "plan": null});
    let request = "POST /api/v1/analyze";
    let server = Server::with(vec![ok(request, advice), ok(request, calm)]);
    let args = [
        "analyze",
        "--metric",
        "cpu_usage=95,96,null,98",
        "--metric",
        "request_rate=9,9",
        "--context",
        "双十一",
        "--service",
        "order-service",
        "--replicas",
        "4",
    ];
    let ran = server.run(&args);
    let calm = server.run(&args);
    assert_eq!((ran.code, calm.code), (0, 0));
    assert_snapshot!(format!("{}{}----- sent\n{}", ran.all(), calm.all(), server.sent()));
}

#[test]
fn signals_are_pushed() {
    let request = "POST /api/v1/signals";
    let taken = json!({"accepted": 2, "duplicates": 0, "late": 0, "rejected": 1, "new_series": 1,
        "errors": [{"index": 1, "code": "OAG-1001", "field": "value", "message": "not finite"}]});
    let server = Server::with(vec![ok(request, taken)]);
    let csv = "# recorded\ntime,value,az\n1795000000,1.5,a\n1795000030,2,\n1795000060,,a\n\
               1795000090,3,a\n";
    let args = ["push", "-", "--metric", "request_rate", "--service", "order"];
    let ran = server.run_answering(&args, csv);
    assert_eq!(ran.code, 1);
    assert_snapshot!(format!("{}----- sent\n{}", ran.all(), server.sent()));
    let headers = &server.requests()[0].headers;
    assert!(headers.contains(&"content-type: application/x-ndjson".to_owned()), "{headers:?}");

    for (text, what) in [
        ("", "no signals"),
        ("time,value\n1,2\n", "metric"),
        ("a,b\n1,2\n", "first"),
        ("time,value,name\n1,x,m\n", "line 2"),
        ("time,value,name\n1\n", "line 2"),
    ] {
        let ran = server.run_answering(&["push", "-"], text);
        assert_eq!(ran.code, 2, "{text}");
        assert!(ran.err.contains(what), "{text}: {}", ran.err);
    }
}
