use std::net::TcpListener;

use insta::assert_snapshot;
use serde_json::json;

use crate::harness::{Server, answer, ok, problem, run};

const WHOAMI: &str = "GET /api/v1/whoami";

fn refused(status: u16, code: &str, title: &str, detail: &str) -> String {
    Server::with(vec![problem(WHOAMI, status, code, title, detail)]).run(&["whoami"]).all()
}

#[test]
fn a_server_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = run(&["whoami", "--url", &url, "--api-key", "k"], None, &url);
    assert_eq!(ran.code, 6);
    assert_snapshot!(ran.all());
}

#[test]
fn a_key_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    let title = "No valid credentials";
    let detail = "send an API key as 'Authorization: Bearer …'";
    let server = Server::with(vec![problem(WHOAMI, 401, "OAG-1101", title, detail)]);
    let args = ["whoami", "--data", &data, "--url", &server.url, "--api-key", ""];
    assert_snapshot!(run(&args, None, &server.url).all());
    assert!(!server.requests()[0].headers.iter().any(|h| h.starts_with("authorization")));
}

#[test]
fn a_key_that_is_refused() {
    let text = refused(401, "OAG-1102", "The credentials are expired or revoked", "expired");
    assert_snapshot!(text);
}

#[test]
fn what_is_not_allowed() {
    let text = "your roles do not allow service:scale on order-service";
    assert_snapshot!(refused(403, "OAG-1201", "Your roles do not allow this", text));
}

#[test]
fn what_the_guard_refuses() {
    assert_snapshot!(refused(403, "OAG-1202", "The guard refuses this plan", "12 is above 10"));
}

#[test]
fn the_kill_switch() {
    assert_snapshot!(refused(403, "OAG-1203", "The kill switch is on", "looks wrong"));
}

#[test]
fn what_is_not_there() {
    assert_snapshot!(refused(404, "OAG-1301", "Not found", "no plan 'pln_1'"));
}

#[test]
fn what_needs_approval() {
    let title = "A person must approve this plan";
    assert_snapshot!(refused(409, "OAG-1601", title, "two people must approve"));
}

#[test]
fn a_conflict() {
    assert_snapshot!(refused(409, "OAG-1405", "The plan is out of date", "expired an hour ago"));
}

#[test]
fn a_stale_revision() {
    let title = "The revision is not the present one";
    assert_snapshot!(refused(412, "OAG-1501", title, "it is at 7, not 5"));
}

#[test]
fn a_busy_server() {
    assert_snapshot!(refused(503, "OAG-1801", "The store is not available", "locked"));
}

#[test]
fn an_error_of_ours() {
    assert_snapshot!(refused(500, "OAG-1999", "Something went wrong on our side", "see the log"));
}

#[test]
fn a_code_that_is_newer_than_this_client() {
    assert_snapshot!(refused(409, "OAG-1499", "Something new", "not known here"));
}

#[test]
fn fields_are_named() {
    let body = json!({
        "type": "/docs/errors/OAG-1001", "title": "The input is not valid", "status": 400,
        "detail": "two fields are wrong", "code": "OAG-1001", "request_id": "req_1",
        "errors": [{"field": "actions[0].kind", "message": "no action kind 'skale'"},
                   {"field": "reason", "message": "must not be empty"}],
    });
    let media = "application/problem+json";
    let request = "POST /api/v1/plans";
    let server = Server::with(vec![answer(request, 400, media, &body.to_string())]);
    let ran = server.run(&["plan", "skale", "order", "--replicas", "4", "--reason", ""]);
    assert_eq!(ran.code, 2);
    assert_snapshot!(ran.all());
}

#[test]
fn a_server_of_something_else() {
    let server = Server::with(vec![answer(WHOAMI, 404, "text/html", "<h1>nginx</h1>")]);
    assert_snapshot!(server.run(&["whoami"]).all());
    let server = Server::with(vec![answer(WHOAMI, 200, "text/html", "<h1>hello</h1>")]);
    let ran = server.run(&["whoami"]);
    assert_eq!(ran.code, 6, "{}", ran.err);
}

#[test]
fn a_redirect_is_not_followed() {
    let server = Server::with(vec![answer(WHOAMI, 302, "text/plain", "")]);
    assert_eq!(server.run(&["whoami"]).code, 6);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn addresses_that_are_none() {
    for (url, at) in [("ftp://x", "scheme"), ("http://me:pw@host", "user"), ("http://", "host")] {
        let ran = run(&["whoami", "--url", url], None, "");
        assert_eq!(ran.code, 2);
        assert!(!ran.err.contains("pw"), "{}", ran.err);
        assert_snapshot!(format!("address-{at}"), ran.err);
    }
}

#[test]
fn an_unreadable_run_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.json"), "{").unwrap();
    let data = dir.path().display().to_string();
    let ran = run(&["whoami", "--data", &data], None, "");
    assert_eq!(ran.code, 2);
    assert_snapshot!(ran.err.replace(&data, "DIR"));
}

#[test]
fn a_running_server_and_its_key_are_found() {
    let me = json!({"id": "usr_1", "kind": "person", "name": "Li Wei", "roles": []});
    let server = Server::with(vec![ok(WHOAMI, me)]);
    let dir = tempfile::tempdir().unwrap();
    let address = server.url.trim_start_matches("http://");
    let run_file = json!({"pid": 1, "address": address}).to_string();
    std::fs::write(dir.path().join("run.json"), run_file).unwrap();
    std::fs::write(dir.path().join("admin.key"), "oag_local_key\n").unwrap();
    let data = dir.path().display().to_string();
    let ran = run(&["whoami", "-o", "name", "--data", &data], None, &server.url);
    assert_eq!((ran.code, ran.out.as_str()), (0, "usr_1\n"), "{}", ran.err);
    let headers = &server.requests()[0].headers;
    assert!(headers.contains(&"authorization: Bearer oag_local_key".to_owned()), "{headers:?}");
}

#[test]
fn wrong_usage() {
    let cases: &[&[&str]] = &[
        &["get", "nonsense"],
        &["get", "services", "--phase", "queued"],
        &["get", "limits", "--watch"],
        &["get", "plans", "--limit", "0"],
        &["get", "kinds", "--service", "x"],
        &["plan", "scale", "order-service"],
        &["plan", "scale", "order-service", "--reason", "x", "--params", "4"],
        &["apply", "pln_1", "--timeout", "soon"],
        &["resolve", "pln_1"],
        &["resolve", "pln_1", "--done", "--not-done"],
        &["analyze", "--metric", "cpu"],
        &["analyze", "--metric", "cpu=1,x"],
        &["keys", "revoke", "oag_secret"],
        &["principals", "add", "--kind", "person", "--name", "x", "--role", "admin@"],
        &["completions", "tcsh"],
    ];
    let mut text = String::new();
    for args in cases {
        let ran = run(args, None, "");
        assert_eq!(ran.code, 2, "{args:?}");
        text.push_str(&format!("$ {}\n{}\n", args.join(" "), ran.err));
    }
    assert_snapshot!(text);
}

#[test]
fn nothing_is_destroyed_without_agreement() {
    let cases: &[&[&str]] = &[
        &["delete", "service", "order"],
        &["ledger", "erase", "3", "--reason", "x"],
        &["keys", "revoke", "key_1"],
    ];
    for args in cases {
        let server = Server::with(Vec::new());
        let ran = server.run(args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.err.contains("hint: say --yes"), "{}", ran.err);
        let no = server.run_answering(args, "n\n");
        assert_eq!(no.code, 1, "{args:?}: {}", no.err);
        assert_eq!(server.sent(), "", "{args:?}");
    }
}

#[test]
fn what_the_binary_reports() {
    let ran = run(&["ledger", "verify", "--data", "nowhere"], None, "");
    assert_snapshot!(ran.all());
}
