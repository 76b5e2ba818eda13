//! A plan that says it succeeded has changed the replicas that are really there.

use std::collections::BTreeSet;

use oag_testkit::client;
use serde_json::json;
use tokio::task::JoinSet;

use crate::world::{BINARY, Home, Site};

fn replicas(home: &Home) -> BTreeSet<i32> {
    home.replicas().into_iter().collect()
}

#[tokio::test]
async fn it_succeeds_when_the_last_replica_was_replaced() {
    let home = Home::new();
    let site = home.start().await;
    site.serve(home.service("shop", 2)).await;
    let first = replicas(&home);
    let plan = site.carry_out("restart", "shop", json!({})).await;
    assert_eq!(plan["phase"], "succeeded", "{plan}");
    let second = replicas(&home);
    assert!(second.len() == 2 && second.is_disjoint(&first), "{first:?}, then {second:?}");

    let set = json!({"set": {"BANNER": "sale"}});
    let plan = site.carry_out("configure", "shop", set).await;
    assert_eq!(plan["phase"], "succeeded", "{plan}");
    let third = replicas(&home);
    assert!(third.len() == 2 && third.is_disjoint(&second), "{second:?}, then {third:?}");
    for pid in third {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(environment.contains("BANNER=sale"), "{pid}: {environment}");
    }
}

/// Asks a service again and again: how often it answered well, and how often not.
async fn ask_until(url: String, mut ended: tokio::sync::oneshot::Receiver<()>) -> (u32, u32) {
    let client = client().unwrap();
    let (mut served, mut failed) = (0, 0);
    while ended.try_recv().is_err() {
        match client.get(&url).send().await {
            Ok(answer) if answer.status() == 200 => served += 1,
            _ => failed += 1,
        }
    }
    (served, failed)
}

#[tokio::test]
async fn a_version_that_never_serves_is_taken_back() {
    let home = Home::new();
    let site = Site::start(home.options()).await;
    let mut service = home.service("shop", 1);
    service["spec"]["versions"] = json!({
        "broken": {"command": ["/bin/false"]},
        "good": {"command": [BINARY, "sample-service", "--port", "{port}"]},
    });
    site.serve(service).await;
    let first = replicas(&home);
    let address = site.settled("shop").await["listen_address"].as_str().unwrap().to_owned();
    let mut asking = JoinSet::new();
    let (over, ended) = tokio::sync::oneshot::channel();
    asking.spawn(ask_until(format!("http://{address}/work"), ended));
    let plan = site.carry_out("deploy", "shop", json!({"version": "broken"})).await;
    assert_eq!(plan["phase"], "undone", "{plan}");
    let seen = site.settled("shop").await;
    assert_eq!(seen["version"], "1", "{seen}");
    assert_eq!(replicas(&home), first, "the one that served all the time is still there");
    over.send(()).unwrap();
    let (served, failed) = asking.join_next().await.unwrap().unwrap();
    assert!(served > 0 && failed == 0, "{served} requests served, {failed} not");
    let action = plan["plan"]["actions"][0]["id"].as_str().unwrap();
    let rows = site.ledger_kinds(action).await;
    assert_eq!(rows, ["intent", "outcome", "undo_intent", "undo_outcome"]);
}

#[tokio::test]
async fn each_change_of_a_breaker_is_on_the_ledger() {
    let home = Home::new();
    let site = home.start().await;
    site.serve(home.service("shop", 1)).await;
    // Faster than anything that looks once in a while would see.
    for state in ["open", "closed"] {
        let plan = site.carry_out("breaker", "shop", json!({"state": state})).await;
        assert_eq!(plan["phase"], "succeeded", "{plan}");
    }
    let rows = |rows: &serde_json::Value| {
        let rows = rows["items"].as_array().unwrap().iter();
        let breaker = rows.filter(|row| row["kind"] == "breaker");
        breaker.map(|row| row["payload"]["to"].clone()).collect::<Vec<_>>()
    };
    let path = "/api/v1/ledger/rows?subject=service:shop";
    let seen = site.until(path, |document| rows(document).len() == 2).await;
    assert_eq!(rows(&seen), ["open", "closed"]);
    let told = site.get("/api/v1/notifications").await.to_string();
    assert!(told.contains("the circuit breaker of shop opened"), "{told}");
}
