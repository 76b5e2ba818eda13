//! What is wrong with a spec is said with the name of the field.

use oag_local::LocalSpec;
use oag_pilot::Executor;
use serde_json::{Value, json};

use crate::harness::{Bench, service};

fn check(spec: Value, field: &str, says: &str) {
    let problem = LocalSpec::read(&spec).unwrap_err();
    let (named, message) = &problem.fields[0];
    assert_eq!(named, field, "{message}");
    assert!(message.contains(says), "{message}");
}

#[test]
fn each_wrong_field_is_named() {
    let run = json!(["x"]);
    check(Value::Null, "spec", "missing");
    check(json!([]), "spec", "object");
    check(json!({}), "spec.command", "missing");
    check(json!({ "command": [] }), "spec.command", "empty");
    check(json!({ "command": "x" }), "spec.command", "sequence");
    check(json!({ "command": run, "comand": 1 }), "spec.comand", "not known; there are: command");
    check(json!({ "command": run, "env": { "A=B": "1" } }), "spec.env.A=B", "name");
    check(json!({ "command": run, "env": { "PORT": "1" } }), "spec.env.PORT", "executor itself");
    check(json!({ "command": run, "listen_port": 70_000 }), "spec.listen_port", "u16");
    check(json!({ "command": run, "health": { "path": "x" } }), "spec.health.path", "/healthz");
    check(json!({ "command": run, "health": { "every": 1 } }), "spec.health.every", "not known");
    check(
        json!({ "command": run, "health": { "interval_ms": 1 } }),
        "spec.health.interval_ms",
        "between 10",
    );
    check(json!({ "command": run, "versions": { "2": {} } }), "spec.versions.2.command", "missing");
    check(
        json!({ "command": run, "versions": { "1": { "command": run } } }),
        "spec.versions",
        "already run",
    );
    check(
        json!({ "command": run, "scripts": { "a": { "command": run, "timeout_ms": 0 } } }),
        "spec.scripts.a.timeout_ms",
        "between 1",
    );
    check(
        json!({ "command": run, "breaker": { "failureThreshold": 0 } }),
        "spec.breaker.failureThreshold",
        "percentage",
    );
    check(json!({ "command": run, "cwd": "here" }), "spec.cwd", "absolute");
    check(
        json!({ "command": run, "concurrency_per_replica": 0 }),
        "spec.concurrency_per_replica",
        "at least 1",
    );
}

#[tokio::test]
async fn the_executor_checks_its_limits_too() {
    let bench = Bench::new(|config| config.max_replicas_total = 3);
    assert_eq!(bench.executor.name(), "local");
    assert_eq!(bench.executor.check(&service("shop", json!({ "replicas": 3 }))), Ok(()));
    let problem = bench.executor.check(&service("shop", json!({ "replicas": 4 }))).unwrap_err();
    assert_eq!(problem.fields[0].0, "spec.replicas");
}
