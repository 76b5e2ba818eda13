//! Signals that are pushed, scraped and looked up.

use oag_testkit::client;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::Home;

/// A port below those that the kernel gives to others, free just now.
fn quiet_port() -> u16 {
    let start = u16::try_from(std::process::id() % 5_000).unwrap() + 12_000;
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (start..20_000).find(free).unwrap()
}

#[tokio::test]
async fn every_signal_is_judged_by_itself() {
    let home = Home::new();
    let site = home.start().await;
    let labels = json!({"service": "shop"});
    let at = "2026-11-21T08:00:00Z";
    let signals = json!([
        {"name": "orders", "labels": labels, "at": at, "value": 7},
        {"name": "orders", "labels": labels, "at": at, "value": 8},
        {"name": "", "labels": labels, "value": 1},
        {"name": "orders", "labels": labels, "value": "many"},
        {"name": "orders", "labels": labels, "at": "2999-01-01T00:00:00Z", "value": 9},
        {"name": "orders", "labels": labels, "value": 11},
    ]);
    let taken = site.post("/api/v1/signals", signals).await;
    assert_eq!((&taken["accepted"], &taken["duplicates"]), (&json!(2), &json!(1)), "{taken}");
    assert_eq!(taken["rejected"], 3, "{taken}");
    let errors = taken["errors"].as_array().unwrap();
    let places: Vec<&Value> = errors.iter().map(|error| &error["index"]).collect();
    assert_eq!(places, [&json!(2), &json!(3), &json!(4)], "{taken}");
    let path = "/api/v1/series/window?name=orders&labels=service=shop&from=2026-11-21T00:00:00Z";
    let window = site.get(path).await;
    assert_eq!(window["samples"][0]["value"], 7.0, "the first value stays: {window}");

    let key = site.product.admin_key().unwrap();
    let lines = "{\"name\":\"orders\",\"value\":12}\n{\"name\":\"orders\"}\n";
    let request = client().unwrap().post(format!("{}/api/v1/signals", site.product.base_url()));
    let request = request.header("content-type", "application/x-ndjson").body(lines);
    let answer = request.bearer_auth(&key).send().await.unwrap();
    let taken: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((&taken["accepted"], &taken["rejected"]), (&json!(1), &json!(1)), "{taken}");

    let bad = json!([{"name": "orders"}]);
    let (status, problem) = site.call(Method::POST, "/api/v1/signals", Some(&bad), &key).await;
    assert_eq!((status, &problem["code"]), (400, &json!("OAG-1001")), "{problem}");
}

#[tokio::test]
async fn an_endpoint_is_scraped_and_the_host_is_looked_at() {
    let home = Home::new();
    let port = quiet_port();
    home.configure(&format!(
        "[[scrape]]\nname = \"itself\"\nurl = \"http://127.0.0.1:{port}/metrics\"\n\
         interval_ms = 300\nallow = [\"openautoglm_*\"]\nlabels = {{ from = \"scrape\" }}\n"
    ));
    let site = crate::world::Site::start(home.options().port(port)).await;
    let has = |prefix: &'static str, name: &'static str| {
        let site = &site;
        async move {
            let path = format!("/api/v1/series?prefix={prefix}&limit=1000");
            let found = site.until(&path, |list| {
                list["items"].as_array().unwrap().iter().any(|item| item["name"] == name)
            });
            found.await["items"].as_array().unwrap().clone()
        }
    };
    let rate = "openautoglm_http_requests_per_second";
    let items = has("openautoglm_http_requests", rate).await;
    let metrics = |item: &&Value| item["name"] == rate && item["labels"]["route"] == "/metrics";
    let item = items.iter().find(metrics).unwrap_or_else(|| panic!("{items:?}"));
    assert_eq!(item["labels"]["from"], "scrape");
    let labels = item["labels"].to_string().replace('"', "%22");
    let path = format!("/api/v1/series/window?name={rate}&from=0&labels={labels}");
    let window = site.until(&path, |window| window["samples"].as_array().unwrap().len() >= 2).await;
    let first = window["samples"][0]["value"].as_f64().unwrap();
    assert!(first > 0.0 && first < 100.0, "some scrapes each second: {window}");

    has("host_", "host_cpu_usage").await;
    has("host_", "host_memory_usage").await;
    has("process_", "process_resident_bytes").await;
}
