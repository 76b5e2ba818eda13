use serde_json::{Value, json};

use crate::harness::{Canned, Server, ok, problem};
use crate::views::plan;

const SERVICE: &str = "GET /api/v1/services/glm-4-plus";

fn entry() -> Value {
    json!({
        "name": "glm-4-plus", "group": "models", "executor": "fleet", "revision": 7,
        "scaling": {"mode": "off", "min_replicas": 0, "max_replicas": 1000},
        "spec": {"file": "glm.gguf", "settings": {"slots": "4"}},
    })
}

fn missing() -> Canned {
    problem(SERVICE, 404, "not_found", "Not found", "there is no such service")
}

fn observed(running: bool, replicas: u64) -> Canned {
    let fields = json!({"running": running, "replicas": replicas, "ready_replicas": replicas});
    ok(&format!("{SERVICE}/observed"), json!({"revision": 5, "fields": fields}))
}

fn proposed() -> Canned {
    ok("POST /api/v1/plans", plan("proposed", "needs_approval"))
}

/// The bodies of what was sent by a method.
fn sent(server: &Server, method: &str) -> Vec<Value> {
    let requests = server.requests();
    let by = requests.iter().filter(|request| request.line.starts_with(method));
    by.map(|request| serde_json::from_str(&request.body).unwrap()).collect()
}

/// Kinds and parameters of the actions that were proposed, in their order.
fn actions(server: &Server) -> Vec<(String, Value)> {
    let proposals = sent(server, "POST");
    assert_eq!(proposals.len(), 1, "{}", server.sent());
    let proposal = &proposals[0];
    assert_eq!(proposal["reason"], "launch");
    let kind = |action: &Value| {
        assert_eq!(action["service"], "glm-4-plus");
        (action["kind"].as_str().unwrap().to_owned(), action["params"].clone())
    };
    proposal["actions"].as_array().unwrap().iter().map(kind).collect()
}

#[test]
fn a_new_model_is_started_before_it_is_spread() {
    let put = ok("PUT /api/v1/services/glm-4-plus", entry());
    let server = Server::with(vec![missing(), put, observed(false, 0), proposed()]);
    let args = ["models", "load", "glm-4-plus", "--file", "glm.gguf", "--nodes", "3"];
    let more = ["--group", "gpu", "--set", "slots=8", "--reason", "launch"];
    let ran = server.run(&[&args[..], &more].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let wanted = [("start", json!({})), ("scale", json!({"replicas": 3}))];
    assert_eq!(actions(&server), wanted.map(|(kind, params)| (kind.to_owned(), params)));
    let service = &sent(&server, "PUT")[0];
    let spec = json!({"file": "glm.gguf", "groups": ["gpu"], "settings": {"slots": "8"}});
    assert_eq!((&service["executor"], &service["spec"]), (&json!("fleet"), &spec));
}

#[test]
fn what_is_loaded_is_only_spread() {
    let server = Server::with(vec![ok(SERVICE, entry()), observed(true, 1), proposed()]);
    let load = ["models", "load", "glm-4-plus", "--nodes", "2", "--reason", "launch"];
    assert_eq!(server.run(&load).code, 0);
    assert_eq!(actions(&server), [("scale".to_owned(), json!({"replicas": 2}))]);
    assert!(sent(&server, "PUT").is_empty());
}

#[test]
fn what_is_as_wanted_is_not_proposed() {
    let server = Server::with(vec![ok(SERVICE, entry()), observed(true, 2)]);
    let load = ["models", "load", "glm-4-plus", "--nodes", "2", "--reason", "launch"];
    let ran = server.run(&load);
    assert_eq!(ran.code, 0);
    assert!(ran.all().contains("nothing is proposed"), "{}", ran.all());
    assert!(sent(&server, "POST").is_empty());
}

#[test]
fn an_unknown_model_needs_its_file() {
    let server = Server::with(vec![missing()]);
    let ran = server.run(&["models", "load", "glm-4-plus", "--reason", "launch"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("--file FILE"), "{}", ran.err);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn another_executors_service_is_left_alone() {
    let mut other = entry();
    other["executor"] = json!("kubernetes");
    let server = Server::with(vec![ok(SERVICE, other)]);
    let ran = server.run(&["models", "load", "glm-4-plus", "--file", "f", "--reason", "launch"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("a service of the executor kubernetes"), "{}", ran.err);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_swap_adds_the_version_and_unloading_stops() {
    let put = ok("PUT /api/v1/services/glm-4-plus", entry());
    let server = Server::with(vec![ok(SERVICE, entry()), put, proposed()]);
    let swap = ["models", "swap", "glm-4-plus", "--version", "v2", "--file", "v2.gguf"];
    assert_eq!(server.run(&[&swap[..], &["--reason", "launch"]].concat()).code, 0);
    assert_eq!(actions(&server), [("deploy".to_owned(), json!({"version": "v2"}))]);
    let service = &sent(&server, "PUT")[0];
    assert_eq!(service["spec"]["versions"], json!({"v2": {"file": "v2.gguf"}}));
    let headers = &server.requests()[1].headers;
    assert!(headers.iter().any(|header| header.starts_with("if-match:")), "{headers:?}");

    let server = Server::with(vec![proposed()]);
    let unload = ["models", "unload", "glm-4-plus", "--reason", "launch"];
    assert_eq!(server.run(&unload).code, 0);
    assert_eq!(actions(&server), [("stop".to_owned(), json!({}))]);
}
