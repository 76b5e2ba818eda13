//! The demo, short: five services, real load, and everything as before afterwards.

use serde_json::Value;

use crate::world::Home;

/// The demo's words beside its length.
const SHORT: [&str; 5] = ["demo", "--minutes", "20", "-o", "json"];

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_measures_all_five_and_leaves_everything_as_it_was() {
    let home = Home::new();
    let site = home.start().await;
    let (autonomy, limits) = (site.get("/api/v1/autonomy").await, site.get("/api/v1/limits").await);
    let url = site.product.base_url();
    let key = site.product.admin_key().unwrap();
    let words = [&SHORT[..], &["--url", &url, "--api-key", &key, "--report", "r.html"]].concat();
    let (code, out, error) = tokio::task::block_in_place(|| home.run(&words));
    let outcome: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{error}"));

    let ahead = outcome["ahead"].as_bool().unwrap();
    assert_eq!(code, i32::from(!ahead), "the exit code tells who was ahead: {error}");
    let scores = outcome["scores"].as_array().unwrap();
    let policies: Vec<_> = scores.iter().map(|s| s["policy"].as_str().unwrap()).collect();
    assert_eq!(policies, ["loop", "reactive", "static_peak", "static_mean", "oracle"]);
    for score in scores {
        let sent = score["requests"].as_u64().unwrap();
        assert!(sent > 1_000, "20 s of some 150 requests each: {score}");
        // How many fail says how busy the machine is.
        assert!(score["failed"].as_u64().unwrap() <= sent, "{score}");
        assert!(score["replica_seconds"].as_f64().unwrap() >= 20.0, "{score}");
        assert!(score["latency_mean_ms"].as_f64().unwrap() >= 160.0, "work is waited for: {score}");
    }
    let steps = outcome["offered"].as_array().unwrap().len();
    assert!(outcome["courses"].as_array().unwrap().iter().all(|c| !c.is_null()) && steps >= 20);
    assert!(!outcome["forecasts"].as_array().unwrap().is_empty(), "the loop looked ahead");

    let page = std::fs::read_to_string(home.path().join("r.html")).unwrap();
    assert!(page.contains("<svg") || page.contains("<canvas"), "it has charts");
    assert!(!page.contains("src=\"http"), "and needs nothing from elsewhere");

    assert_eq!(site.get("/api/v1/services").await["items"], serde_json::json!([]));
    assert_eq!(limits["rules"], site.get("/api/v1/limits").await["rules"], "as before");
    let rungs = |document: &Value| -> Vec<(Value, Value)> {
        let kinds = document["kinds"].as_array().unwrap();
        kinds.iter().map(|kind| (kind["kind"].clone(), kind["rung"].clone())).collect()
    };
    assert_eq!(rungs(&autonomy), rungs(&site.get("/api/v1/autonomy").await), "as before");
    let rows = site.get("/api/v1/ledger/rows?page_size=200").await.to_string();
    assert!(rows.contains("limits") && rows.contains("autonomy"), "what was lent is on record");
    assert!(home.replicas().is_empty(), "nothing is left running");
}
