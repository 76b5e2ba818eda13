//! Operations under load: wanted state becomes actual state and no request fails.

use std::collections::BTreeMap;

use oag_pilot::{ExecError, Executor, Operation};
use serde_json::json;

use crate::harness::{Bench, Load, get, is_alive, kill, pids, service, tenant, web};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_up_and_down_under_load_fails_no_request() {
    let bench = Bench::with_shop(json!({})).await;
    let load = Load::start(bench.address(), 8);
    load.more(50).await;
    bench.apply(Operation::SetReplicas(4), "up").await.unwrap();
    let seen = bench.settled().await;
    assert_eq!(pids(&seen).len(), 4);
    load.more(50).await;
    let oldest = pids(&seen)[0];
    bench.apply(Operation::SetReplicas(1), "down").await.unwrap();
    let seen = bench.settled().await;
    assert_eq!(pids(&seen), [oldest], "the newest go first");
    load.more(50).await;
    let (_, failed) = load.end().await;
    assert_eq!(failed, Vec::<String>::new());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_changes_under_load_fail_no_request() {
    let two = service("shop", json!({ "env": { "WHICH": "2" } })).spec;
    let version = json!({ "command": two["command"], "env": { "WHICH": "2" } });
    let more = json!({
        "replicas": 2, "env": { "WHICH": "1" }, "versions": { "2": version },
        "config": { "MODE": "a" },
    });
    let bench = Bench::with_shop(more).await;
    let address = bench.address();
    let load = Load::start(address, 4);
    let web = web();
    let first = bench.pids().await;

    bench.apply(Operation::Restart(1), "restart").await.unwrap();
    let seen = bench.settled().await;
    assert!(pids(&seen).iter().all(|pid| !first.contains(pid)));
    assert!(first.iter().all(|pid| !is_alive(*pid)));

    bench.apply(Operation::Deploy("2".into()), "deploy").await.unwrap();
    let seen = bench.settled().await;
    assert_eq!(seen.text("version"), Some("2"));
    assert_eq!(get(&web, address, "/env/WHICH").await.unwrap().text, "2");

    let values = BTreeMap::from([("MODE".to_owned(), Some("b".to_owned()))]);
    bench.apply(Operation::Configure(values), "configure").await.unwrap();
    let seen = bench.settled().await;
    assert_eq!(seen.text("config.MODE"), Some("b"));
    assert_eq!(get(&web, address, "/env/MODE").await.unwrap().text, "b");
    assert_eq!(get(&web, address, "/env/CONFIG").await.unwrap().text, r#"{"MODE":"b"}"#);

    bench.apply(Operation::Deploy("1".into()), "back").await.unwrap();
    bench.settled().await;
    assert_eq!(get(&web, address, "/env/WHICH").await.unwrap().text, "1");

    load.more(20).await;
    let (_, failed) = load.end().await;
    assert_eq!(failed, Vec::<String>::new());
    let unknown = bench.apply(Operation::Deploy("9".into()), "unknown").await.unwrap_err();
    assert!(unknown.to_string().contains("there are 1, 2"), "{unknown}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_never_becomes_ready_leaves_the_old_ones_serving() {
    let bad = json!({ "command": ["/bin/sh", "-c", "echo broken >&2; exit 3"] });
    let bench = Bench::with_shop(json!({ "versions": { "bad": bad } })).await;
    let before = bench.pids().await;
    bench.apply(Operation::Deploy("bad".into()), "bad").await.unwrap();
    let seen = bench
        .until("a crash loop", |seen| {
            seen.text("unhealthy").is_some_and(|text| text.contains("crash loop"))
        })
        .await;
    assert!(seen.text("unhealthy").unwrap().contains("exit status: 3"), "{seen:?}");
    assert_eq!(seen.text("version"), Some("1"), "what serves is the old version");
    assert!(is_alive(before[0]));
    assert_eq!(get(&web(), bench.address(), "/work").await.unwrap().status, 200);
    let lines = bench.executor.logs(&tenant(), &crate::harness::shop(), 100).await.unwrap();
    assert!(lines.iter().any(|line| line.error && line.text == "broken"), "{lines:?}");
    bench.apply(Operation::Deploy("1".into()), "back").await.unwrap();
    bench.settled().await;
    bench.stop().await;
}

/// A version that ends at once, with three replicas of a good one under it.
async fn with_a_broken_version(backoff_ms: u64) -> Bench {
    let bench = Bench::new(|config| config.backoff_first_ms = backoff_ms);
    let bad = json!({ "command": ["/bin/sh", "-c", "echo broken >&2; exit 3"] });
    let two = service("shop", json!({})).spec;
    let good = json!({ "command": two["command"], "env": { "WHICH": "2" } });
    let more = json!({
        "replicas": 3, "env": { "WHICH": "1" }, "versions": { "bad": bad, "2": good },
    });
    bench.executor.adopt(&tenant(), &service("shop", more)).await.unwrap();
    bench.settled().await;
    bench.apply(Operation::Deploy("bad".into()), "bad").await.unwrap();
    bench
        .until("broken", |seen| {
            seen.text("unhealthy").is_some_and(|text| text.contains("exit status: 3"))
        })
        .await;
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_keeps_the_replicas_that_run_what_is_wanted() {
    let bench = with_a_broken_version(20).await;
    let load = Load::start(bench.address(), 4);
    load.more(20).await;
    let serving = || async {
        let seen = bench.observe().await;
        (seen.fields["ready_replicas"].clone(), seen.fields["updated_replicas"].clone())
    };
    assert_eq!(serving().await, (json!(3), json!(0)), "the old ones serve");
    let before = bench.pids().await;
    bench.apply(Operation::Deploy("1".into()), "back").await.unwrap();
    let seen = bench.settled().await;
    let after = pids(&seen);
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|pid| before.contains(pid)), "{after:?} of {before:?}");
    assert_eq!(seen.text("version"), Some("1"));
    load.more(20).await;
    let (_, failed) = load.end().await;
    assert_eq!(failed, Vec::<String>::new());

    // A restart wants other replicas of the same version.
    bench.apply(Operation::Restart(1), "restart").await.unwrap();
    let seen = bench.settled().await;
    assert!(pids(&seen).iter().all(|pid| !after.contains(pid)), "a restart replaces all");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_after_a_broken_version_does_not_hold_up_another() {
    // A start after the first crash would come in ten minutes.
    let bench = with_a_broken_version(600_000).await;
    let old = bench.pids().await;
    kill(old[0]);
    bench.until("one is missing", |seen| seen.fields["ready_replicas"] == json!(2)).await;
    bench.apply(Operation::Deploy("1".into()), "back").await.unwrap();
    let seen = bench.settled().await;
    assert_eq!(pids(&seen).len(), 3);
    assert!(old[1..].iter().all(|pid| pids(&seen).contains(pid)), "the healthy ones stay");
    assert_eq!(seen.text("unhealthy"), None, "what is past is past");

    bench.apply(Operation::Deploy("bad".into()), "again").await.unwrap();
    bench.until("broken again", |seen| seen.text("unhealthy").is_some()).await;
    bench.apply(Operation::Deploy("2".into()), "forward").await.unwrap();
    let seen = bench.settled().await;
    assert_eq!(seen.text("version"), Some("2"));
    assert_eq!(get(&web(), bench.address(), "/env/WHICH").await.unwrap().text, "2");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_says_what_would_happen_and_changes_nothing() {
    let scripts = json!({ "hello": { "command": ["/bin/true"] } });
    let bench = Bench::with_shop(json!({ "scripts": scripts })).await;
    let before = bench.observe().await;
    let rehearse = async |operation: Operation| {
        let shop = crate::harness::shop();
        let played = bench.executor.rehearse(&tenant(), &shop, &operation).await;
        played.map(|receipt| receipt.unwrap())
    };
    let up = rehearse(Operation::SetReplicas(3)).await.unwrap();
    assert_eq!((&up.before["replicas"], &up.after["replicas"]), (&json!(1), &json!(3)));
    assert!(up.changed);
    assert!(!rehearse(Operation::SetReplicas(1)).await.unwrap().changed, "it is so already");
    let script = |name: &str| Operation::RunScript { script: name.into(), args: Vec::new() };
    assert!(rehearse(script("hello")).await.unwrap().changed);
    for refused in [
        Operation::Deploy("9".into()),
        Operation::SetReplicas(10_000),
        Operation::Shed { feature: "pay".into(), shed: true },
        script("goodbye"),
    ] {
        let error = rehearse(refused.clone()).await.unwrap_err();
        assert!(matches!(error, ExecError::Refused(_)), "{refused:?}: {error}");
    }
    let after = bench.observe().await;
    assert_eq!((after.revision, &after.fields["pids"]), (before.revision, &before.fields["pids"]));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_replica_is_replaced() {
    let bench = Bench::with_shop(json!({ "replicas": 2 })).await;
    let before = bench.pids().await;
    kill(before[0]);
    let seen = bench
        .until("replaced", |seen| {
            seen.fields["settled"] == true && !pids(seen).contains(&before[0])
        })
        .await;
    assert!(pids(&seen).contains(&before[1]));
    bench.until("calm again", |seen| seen.text("unhealthy").is_none()).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_done_once_and_survives_in_the_state() {
    let bench = Bench::with_shop(json!({})).await;
    let first = bench.apply(Operation::SetReplicas(2), "same").await.unwrap();
    assert!(first.changed);
    assert_eq!((&first.before["replicas"], &first.after["replicas"]), (&json!(1), &json!(2)));
    let revision = bench.observe().await.revision;
    let second = bench.apply(Operation::SetReplicas(2), "same").await.unwrap();
    assert!(!second.changed);
    let same = bench.apply(Operation::SetReplicas(2), "other").await.unwrap();
    assert!(!same.changed, "it was so already");
    assert_eq!(bench.observe().await.revision, revision);
    bench.settled().await;
    let limit = bench.apply(Operation::SetReplicas(1_000), "many").await.unwrap_err();
    assert!(matches!(limit, ExecError::Refused(_)), "{limit:?}");
    let state = std::fs::read_to_string(bench.folder.join("local/default/shop.json")).unwrap();
    assert!(state.contains("\"same\""));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_started_it_has_the_replicas_it_had() {
    let bench = Bench::with_shop(json!({ "replicas": 2 })).await;
    let address = bench.address();
    bench.apply(Operation::SetRunning(false), "stop").await.unwrap();
    let seen = bench.settled().await;
    assert_eq!(pids(&seen), Vec::<i32>::new());
    let answer = get(&web(), address, "/work").await.unwrap();
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, true));
    bench.apply(Operation::SetRunning(true), "start").await.unwrap();
    assert_eq!(pids(&bench.settled().await).len(), 2);
    bench.executor.forget(&tenant(), &crate::harness::shop()).await.unwrap();
    assert!(bench.executor.endpoint(&tenant(), &crate::harness::shop()).is_none());
    assert!(!bench.folder.join("local/default/shop.json").exists());
    bench.supervisor.shutdown().begin();
    bench.supervisor.drain(std::time::Duration::from_secs(10)).await;
}
