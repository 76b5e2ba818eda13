//! The product on a real PostgreSQL.

use oag_ledger::{ProofBundle, VerifierKey};
use oag_testkit::postgres::Postgres;
use oag_testkit::wait_until;
use serde_json::json;

use crate::world::{Home, LONG, Site};

#[tokio::test]
async fn a_plan_survives_the_end_of_the_product_on_postgresql() {
    let server = Postgres::start().unwrap();
    let home = Home::new();
    home.configure(&format!("[store]\nurl = \"{}\"", server.fresh_database().unwrap()));
    let options = home.options().env("OPENAUTOGLM_CRASH_POINT", "after_act");
    let mut site = Site::start(options).await;
    site.serve(home.service("shop", 1)).await;
    let first = home.replicas();
    let plan = site.propose("scale", "shop", json!({"replicas": 2})).await;
    let id = site.apply(&plan).await;
    let marker = home.data().join("crash-point");
    let reached = wait_until("the crash point", LONG, async || marker.exists().then_some(()));
    reached.await.unwrap();
    site.product.kill9().unwrap();
    site.product.forget_env("OPENAUTOGLM_CRASH_POINT");
    site.product.restart().await.unwrap();
    let plan = site.ended(&id).await;
    assert_eq!(plan["phase"], "succeeded", "{plan}");
    let now = home.replicas();
    assert!(now.len() == 2 && now.contains(&first[0]), "{first:?}, then {now:?}");
    let action = plan["plan"]["actions"][0]["id"].as_str().unwrap();
    assert_eq!(site.ledger_kinds(action).await, ["intent", "outcome"]);
    assert!(!home.data().join("truth").exists(), "nothing of it is in a file");
    the_ledger_proves_itself(&site).await;
}

/// Every row can be proven to somebody who has only the public key.
async fn the_ledger_proves_itself(site: &Site) {
    let head = site.get("/api/v1/ledger").await;
    let key: VerifierKey = head["verifier_key"].as_str().unwrap().parse().unwrap();
    let size = head["size"].as_u64().unwrap();
    for index in [0, size / 2, size - 1] {
        let bundle = site.get(&format!("/api/v1/ledger/rows/{index}/proof")).await;
        let proven = ProofBundle::from_json(&bundle.to_string()).unwrap().verify(&key).unwrap();
        assert_eq!(proven.index, index);
        assert!(proven.checkpoint.size >= size);
    }
}
