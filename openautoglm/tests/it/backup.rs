//! A copy made while plans run, and a new installation from it.

use oag_testkit::wait_until;
use serde_json::json;

use crate::world::{Home, LONG, Site};

#[tokio::test]
async fn what_was_under_way_is_not_done_again_after_a_restore() {
    let home = Home::new();
    let options = home.options().env("OPENAUTOGLM_CRASH_POINT", "after_act");
    let mut site = Site::start(options).await;
    site.serve(home.service("shop", 1)).await;
    let (running, queued) = two_plans_under_way(&home, &site).await;
    let key = site.product.admin_key().unwrap();
    let rows = site.get("/api/v1/ledger").await["size"].as_u64().unwrap();
    home.exports(rows).await;

    let file = home.path().join("copy.db").display().to_string();
    let data = home.data().display().to_string();
    let (code, out, error) = home.run(&["backup", &file, "--data", &data]);
    assert_eq!(code, 0, "{out}{error}");
    let (code, _, error) = home.run(&["backup", &file, "--data", &data]);
    assert!(code > 0 && error.contains("exists"), "a copy is never overwritten: {error}");
    site.product.kill9().unwrap();
    drop(site);
    home.end_all();

    let new = home.path().join("new");
    let new_data = new.display().to_string();
    let (code, out, error) = home.run(&["restore", &file, "--data", &new_data]);
    assert_eq!(code, 0, "{out}{error}");
    for plan in [&running, &queued] {
        assert!(out.contains(plan.as_str()), "it is said that {plan} is held: {out}");
    }
    let (code, _, error) = home.run(&["restore", &file, "--data", &new_data]);
    assert!(code > 0, "nothing is restored over an installation: {error}");

    let site = Site::start_with_key(home.options().data(&new), key).await;
    let log = site.product.log();
    assert!(log.contains("--new-admin-key"), "no file is named that is not there: {log}");
    nothing_is_done_again(&home, &site, &running, &queued).await;
    let (code, out, error) = home.run(&["ledger", "verify", "-o", "json", "--data", &new_data]);
    assert_eq!(code, 0, "{out}{error}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(report["last_match"].as_u64() >= Some(rows), "those exported before count: {report}");
}

/// A script that has run while its plan does not know yet, and a plan that waits behind it.
async fn two_plans_under_way(home: &Home, site: &Site) -> (String, String) {
    let running = site.propose("script", "shop", json!({"script": "touch"})).await;
    let queued = site.propose("scale", "shop", json!({"replicas": 3})).await;
    let running = site.apply(&running).await;
    let marker = home.data().join("crash-point");
    let reached = wait_until("the script ran", LONG, async || marker.exists().then_some(()));
    reached.await.unwrap();
    let queued = site.apply(&queued).await;
    assert_eq!(home.effects(), 1);
    let phase = async |id: &str| site.get(&format!("/api/v1/plans/{id}")).await["phase"].clone();
    assert_eq!(phase(&running).await, "running");
    assert_eq!(phase(&queued).await, "queued");
    (running, queued)
}

/// New plans are carried out, those of before wait for a person.
async fn nothing_is_done_again(home: &Home, site: &Site, running: &str, queued: &str) {
    site.settled("shop").await;
    let other = site.carry_out("notify", "shop", json!({"message": "we are back"})).await;
    assert_eq!(other["phase"], "succeeded", "the worker is at work: {other}");
    assert_eq!(home.effects(), 1, "the script was not run again");
    assert_eq!(home.replicas().len(), 1, "nothing was scaled");
    let path = |id: &str| format!("/api/v1/plans/{id}");
    let held = site.get(&path(running)).await;
    assert_eq!(held["phase"], "outcome_unknown", "what ran may have acted: {held}");
    assert_eq!(site.get(&path(queued)).await["phase"], "cancelled", "what waited did not");
    let notices = site.get("/api/v1/notifications").await;
    for (id, severity) in [(running, "critical"), (queued, "warning")] {
        let told = notices["items"].as_array().unwrap().iter().find(|n| n["plan"] == id);
        let told = told.map(|notice| notice["severity"].as_str().unwrap());
        assert_eq!(told, Some(severity), "a person is told about {id}: {notices}");
    }
    let done = json!({"resolution": "done"});
    assert_eq!(site.post(&format!("{}/resolve", path(running)), done).await["phase"], "succeeded");
    assert_eq!(home.effects(), 1);
}
