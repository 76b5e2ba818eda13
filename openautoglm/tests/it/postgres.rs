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
    let url = server.fresh_database().unwrap();
    home.configure(&format!("[store]\nurl = \"{url}\""));
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
    a_copy_goes_on_under_the_same_name(&home, site, &url, &server.fresh_database().unwrap()).await;
}

/// Backed up from one database and restored into another, the ledger is still the same log.
async fn a_copy_goes_on_under_the_same_name(home: &Home, site: Site, from: &str, to: &str) {
    let key = site.product.admin_key().unwrap();
    let head = site.get("/api/v1/ledger").await;
    let file = home.path().join("copy.db").display().to_string();
    let data = home.data().display().to_string();
    let (code, _, error) = home.run(&["backup", &file, "--data", &data, "--postgres", from]);
    assert_eq!(code, 0, "{error}");
    drop(site);
    home.end_all();
    let new = home.path().join("new");
    let data = new.display().to_string();
    let (code, _, error) = home.run(&["restore", &file, "--data", &data, "--postgres", to]);
    assert_eq!(code, 0, "{error}");
    std::fs::write(new.join("config.toml"), format!("[store]\nurl = \"{to}\"\n")).unwrap();
    let site = Site::start_with_key(home.options().data(&new), key).await;
    let now = site.get("/api/v1/ledger").await;
    assert_eq!(now["verifier_key"], head["verifier_key"]);
    assert!(now["size"].as_u64() >= head["size"].as_u64(), "{head}, then {now}");
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
