//! Starting, refusing to start, and stopping.

use std::os::unix::fs::PermissionsExt;

use oag_testkit::wait_until;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::world::{Home, LONG, Site};

fn signal(site: &Site, signal: Signal) {
    let pid = i32::try_from(site.product.pid()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Starts the product where it must not start: what it says on standard error.
fn refused(home: &Home, words: &[&str]) -> (i32, String) {
    let data = home.data().display().to_string();
    let (code, out, error) = home.run(&[&["up", "--data", &data], words].concat());
    assert!(code > 0, "it ends by itself, and not well: {code}\n{out}{error}");
    (code, error)
}

#[tokio::test]
async fn the_first_start_makes_a_key_and_later_ones_keep_everything() {
    let home = Home::new();
    let mut site = home.start().await;
    let key = site.product.admin_key().unwrap();
    let file = home.data().join("admin.key");
    let log = site.product.log();
    assert!(log.contains(&site.product.base_url()), "the address is printed: {log}");
    assert!(log.contains(&key), "the first key is printed");
    assert!(log.contains(&file.display().to_string()), "and where it is kept");
    for secret in ["admin.key", "ledger.key", "run.json"] {
        let mode = std::fs::metadata(home.data().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let run = std::fs::read_to_string(home.data().join("run.json")).unwrap();
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    assert_eq!(run, json!({"pid": site.product.pid(), "address": site.product.address()}));

    site.serve(home.service("shop", 1)).await;
    site.product.restart().await.unwrap();
    assert_eq!(site.product.admin_key().unwrap(), key, "the key stays");
    let log = site.product.log();
    assert_eq!(log.matches(&key).count(), 1, "it is not shown again");
    assert_eq!(log.matches(&file.display().to_string()).count(), 2, "only where it is");
    assert_eq!(site.get("/api/v1/services/shop").await["name"], "shop");
    site.settled("shop").await;
}

#[tokio::test]
async fn a_new_admin_key_is_made_when_asked_for() {
    let home = Home::new();
    let mut site = home.start().await;
    let first = site.product.admin_key().unwrap();
    site.product.terminate().await.unwrap();
    let site = Site::start(home.options().arg("--new-admin-key")).await;
    let second = site.product.admin_key().unwrap();
    assert_ne!(first, second);
    for key in [&first, &second] {
        let (status, who) = site.call(Method::GET, "/api/v1/whoami", None, key).await;
        assert_eq!(status, 200, "both belong to the first admin: {who}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_what_to_do() {
    let home = Home::new();
    let site = home.start().await;
    let (_, error) = refused(&home, &["--port", "0"]);
    let said = error.to_lowercase();
    assert!(said.contains("another process") || said.contains("in use"), "two on one: {error}");

    let port = site.product.address().rsplit(':').next().unwrap();
    let other = Home::new();
    let (_, error) = refused(&other, &["--port", port]);
    assert!(error.contains(port) && error.contains("--port"), "a taken port: {error}");

    let (_, error) = refused(&other, &["--host", "0.0.0.0", "--port", "0"]);
    assert!(error.contains("--insecure") && error.contains("TLS"), "open to others: {error}");

    let data = other.data().display().to_string();
    let mut named = other.command(&["up", "--data", &data, "--port", "0"]);
    let output = named.env("OPENAUTOGLM_LOCAL__COLOUR", "green").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("colour"), "an unknown key of the environment: {error}");

    other.configure("colour = \"green\"");
    let (code, error) = refused(&other, &["--port", "0"]);
    assert!(error.contains("colour"), "an unknown key: {error}");
    assert_eq!(code, 2, "wrong configuration: {error}");
}

#[tokio::test]
async fn variables_are_settings_unless_they_are_for_the_client() {
    let home = Home::new();
    let options = home.options().env("OPENAUTOGLM_CA", "/nowhere.pem");
    let options = options.env("OPENAUTOGLM_API__METRICS_PUBLIC", "false");
    let site = Site::start(options).await;
    let (status, _) = site.call(Method::GET, "/metrics", None, "nobody").await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_listener_for_others_is_there_once_the_risk_is_named() {
    let home = Home::new();
    let site = Site::start(home.options().arg("--host").arg("0.0.0.0").arg("--insecure")).await;
    assert!(site.product.address().starts_with("0.0.0.0:"), "{}", site.product.address());
}

#[tokio::test]
async fn a_first_signal_drains_and_takes_the_replicas_along() {
    let home = Home::new();
    let mut site = home.start().await;
    site.serve(home.service("shop", 2)).await;
    assert_eq!(home.replicas().len(), 2);
    let status = site.product.terminate().await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", site.product.log());
    assert_eq!(home.replicas(), Vec::<i32>::new(), "no replica is left behind");
    assert!(!home.data().join("run.json").exists());
    site.product.restart().await.unwrap();
    site.settled("shop").await;
    assert_eq!(home.replicas().len(), 2, "they are back as wanted");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let home = Home::new();
    let mut site = home.start().await;
    site.serve(home.service("shop", 1)).await;
    let plan = site.propose("script", "shop", json!({"script": "slow"})).await;
    site.apply(&plan).await;
    let begun = wait_until("the script runs", LONG, async || (home.effects() == 1).then_some(()));
    begun.await.unwrap();
    signal(&site, Signal::TERM);
    let draining = wait_until("it drains", LONG, async || {
        site.product.log().contains("draining").then_some(())
    });
    draining.await.unwrap();
    signal(&site, Signal::TERM);
    let status = site.product.terminate().await.unwrap();
    assert_eq!(status.code(), Some(130), "{}", site.product.log());
}
