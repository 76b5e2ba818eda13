//! The five-minute path on the command line, against a running product.

use serde_json::{Value, json};

use crate::world::{Home, LONG};

#[tokio::test]
async fn from_the_first_look_to_a_checked_ledger() {
    let home = Home::new();
    let site = home.start().await;
    let data = home.data().display().to_string();
    // The address and the key are found in the data directory.
    let run = |words: &[&str]| home.run(&[words, &["--data", &data]].concat());
    let done = |words: &[&str]| {
        let (code, out, error) = run(words);
        assert_eq!(code, 0, "{words:?}: {out}{error}");
        out
    };
    assert!(done(&["status"]).contains("health: ok"));

    let service = home.service("shop", 1);
    let file = home.path().join("shop.json");
    std::fs::write(&file, service.to_string()).unwrap();
    done(&["put", "service", "-f", &file.display().to_string()]);
    site.settled("shop").await;
    assert!(done(&["get", "services"]).contains("shop"));

    let words = ["plan", "scale", "shop", "--replicas", "2", "--reason", "a sale", "-o", "json"];
    let plan: Value = serde_json::from_str(&done(&words)).unwrap();
    let id = plan["id"].as_str().unwrap();
    let out = done(&["apply", id, "--wait", "--timeout", "90s"]);
    assert!(out.contains("succeeded"), "{out}");
    assert_eq!(site.settled("shop").await["replicas"], 2);
    assert!(done(&["ledger", "verify"]).contains("ledger sound"));

    let words =
        ["plan", "script", "shop", "--param", "script=touch", "--reason", "look", "-o", "name"];
    let script = done(&words);
    let (code, out, error) = run(&["apply", script.trim()]);
    assert_eq!(code, 4, "somebody else must agree: {out}{error}");
    let (code, out, error) = run(&["get", "plans", "pln_01a1fdf50670760fb83c1bab3639313e"]);
    assert_eq!(code, 3, "not there: {out}{error}");
    let (code, _, error) = run(&["plan", "scale", "shop", "--replicas", "99", "--reason", "more"]);
    assert_eq!(code, 2, "out of bounds: {error}");
    assert!(error.contains("replicas"), "{error}");

    drop(site);
    let mut away = home.command(&["status", "--data", &data]);
    let away = away.timeout(LONG).output().unwrap();
    assert_eq!(away.status.code(), Some(6), "nobody answers");
    assert_eq!(json!(home.effects()), json!(0));
}
