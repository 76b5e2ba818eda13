//! The product on a real PostgreSQL.

use oag_ledger::{ProofBundle, VerifierKey};
use oag_testkit::postgres::Postgres;
use oag_testkit::wait_until;
use serde_json::{Value, json};

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
    the_ledger_is_verified_beside_the_product(&home, &server, &site, &url).await;
    a_copy_goes_on_under_the_same_name(&home, site, &url, &server.fresh_database().unwrap()).await;
}

/// Backed up from one database and restored into another, the ledger is still the same log.
async fn a_copy_goes_on_under_the_same_name(home: &Home, site: Site, from: &str, to: &str) {
    let key = site.product.admin_key().unwrap();
    let head = site.get("/api/v1/ledger").await;
    let file = home.path().join("copy.db").display().to_string();
    let data = home.data().display().to_string();
    let (code, out, error) = home.run(&["backup", &file, "--data", &data]);
    assert_eq!(code, 0, "the settings say where: {error}");
    let named = home.path().join("named.db").display().to_string();
    let elsewhere = home.data().join("elsewhere.toml");
    std::fs::rename(home.data().join("config.toml"), &elsewhere).unwrap();
    // What the settings do not tell is not guessed.
    let (code, _, error) = home.run(&["backup", &named, "--data", &data]);
    assert!(code == 1 && error.contains("--postgres"), "{error}");
    let (code, _, error) = home.run(&["backup", &named, "--data", &data, "--postgres", from]);
    assert_eq!(code, 0, "{error}");
    std::fs::rename(&elsewhere, home.data().join("config.toml")).unwrap();
    assert!(out.contains(" rows"), "{out}");
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

/// The whole ledger is read from the database, while the product runs.
async fn the_ledger_is_verified_beside_the_product(
    home: &Home,
    server: &Postgres,
    site: &Site,
    url: &str,
) {
    let data = home.data().display().to_string();
    let verify = |more: &[&str]| {
        let words = [&["ledger", "verify", "-o", "json", "--data", &data], more].concat();
        let (code, out, error) = home.run(&words);
        let report: Value = serde_json::from_str(&out).unwrap_or_default();
        (code, report, error)
    };
    let size = site.get("/api/v1/ledger").await["size"].as_u64().unwrap();
    home.exports(size).await;
    for more in [&[][..], &["--postgres", url]] {
        let (code, report, error) = verify(more);
        assert_eq!((code, &report["sound"]), (0, &json!(true)), "{report} {error}");
        assert!(report["rows"].as_u64() >= Some(size), "{report}");
        assert!(report["last_match"].as_u64() >= Some(size), "{report}");
    }
    let change = "UPDATE ledger_row SET payload = payload || ' ' WHERE idx = 3";
    server.sql(url, change).unwrap();
    let (code, report, _) = verify(&[]);
    assert_eq!((code, &report["first_rows"]), (1, &json!([3, 4])), "{report}");
    server.sql(url, "UPDATE ledger_row SET payload = rtrim(payload) WHERE idx = 3").unwrap();
    assert_eq!(verify(&[]).0, 0);
    let nothing = server.fresh_database().unwrap();
    let (code, _, error) = verify(&["--postgres", &nothing]);
    assert!(code == 1 && error.contains("no store"), "{error}");
    let (code, _, error) = verify(&["--postgres", "postgres://app:hunter2@127.0.0.1:1/x"]);
    assert!(code == 1 && !error.contains("hunter2"), "{error}");
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
