//! Models that run here, in builds that have the engine for them.

use std::path::Path;

use futures::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fleet::{Worker, nodes, worker_at};
use crate::world::{Home, Site};

const PATH: &str = "/api/v1/models/tiny/generate";
/// Tokens of an answer that takes a while.
const LONG: u32 = 6_000;

fn file(kind: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/engine/tests/data");
    data.join(kind).display().to_string()
}

fn worker(home: &Home, site: &Site, name: &str) -> Worker {
    let file = file("glm4.gguf");
    // With rounded memory a prompt that is read again in other pieces may fall otherwise at a near tie.
    let words = ["--model", "tiny", "--gguf", &file, "--memory", "f32", "--slots", "2"];
    worker_at(home, &site.product.base_url(), name, &words)
}

fn asked(tokens: u32, stream: bool) -> Value {
    let prompt = "the cart of a shop holds";
    json!({"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": stream})
}

#[tokio::test]
async fn an_answer_goes_on_at_another_worker_when_its_own_is_killed() {
    let home = Home::new();
    let site = home.start().await;
    let one = worker(&home, &site, "one");
    nodes(&site, &[("one", "ready")]).await;
    let whole = site.post(PATH, asked(LONG, false)).await;
    assert_eq!((&whole["finish"], &whole["answer_tokens"]), (&json!("length"), &json!(LONG)));
    let whole = whole["text"].as_str().unwrap().to_owned();

    let two = worker(&home, &site, "two");
    nodes(&site, &[("one", "ready"), ("two", "ready")]).await;
    let url = format!("{}{PATH}", site.product.base_url());
    let key = site.product.admin_key().unwrap();
    let client = oag_testkit::client().unwrap();
    let answer = client.post(url).bearer_auth(key).json(&asked(LONG, true)).send().await.unwrap();
    let mut parts = answer.bytes_stream();
    let mut heard = Vec::new();
    while heard.len() < 4_000 {
        heard.extend_from_slice(&parts.next().await.unwrap().unwrap());
    }
    let queues = site.get("/api/v1/queues").await;
    let running = &queues["items"][0]["running"][0];
    let written = running["tokens"].as_u64().unwrap();
    assert!(written > 0 && written < u64::from(LONG), "too late to kill it: {queues}");
    let victim = if running["node"] == "one" { &one } else { &two };
    victim.signal(Signal::KILL);
    while let Some(part) = parts.next().await {
        heard.extend_from_slice(&part.unwrap());
    }
    let heard = String::from_utf8(heard).unwrap();
    let data = heard.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|text| serde_json::from_str(text).unwrap()).collect();
    let text: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert!(text == whole, "{} bytes came of {}", text.len(), whole.len());
    let end = events.last().unwrap();
    assert_eq!((&end["finish"], &end["answer_tokens"]), (&json!("length"), &json!(LONG)));
    let metrics = site.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("fleet_leases_again_total 1"), "{metrics}");
}

#[tokio::test]
async fn tokens_come_back_as_the_text_they_were() {
    let home = Home::new();
    let site = home.start().await;
    let _one = worker(&home, &site, "one");
    nodes(&site, &[("one", "ready")]).await;
    let text = "the cart 购物车";
    let tokens = site.post("/api/v1/models/tiny/tokenize", json!({"text": text})).await;
    assert!(tokens["tokens"].as_array().unwrap().len() > 5, "{tokens}");
    let back = site.post("/api/v1/models/tiny/detokenize", tokens).await;
    assert_eq!(back["text"], text);
}

/// A worker that serves what it is told to.
fn shelf(home: &Home, site: &Site, name: &str) -> Worker {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/engine/tests/data");
    let words = ["--models-dir", &data.display().to_string(), "--threads", "1", "--slots", "2"];
    worker_at(home, &site.product.base_url(), name, &words)
}

fn entry() -> Value {
    json!({
        "name": "tiny", "group": "ai", "executor": "fleet",
        "scaling": {"mode": "off", "min_replicas": 0, "max_replicas": 4, "step_ms": 2_500},
        "spec": {
            "file": "glm4.gguf",
            "versions": {"2": {"file": "qwen3.gguf"}, "broken": {"file": "README.md"}},
            "settings": {"memory": "f32", "window_tokens": "512"},
        },
    })
}

async fn text_of(site: &Site) -> String {
    let answer = site.post(PATH, asked(24, false)).await;
    answer["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn models_are_loaded_swapped_and_unloaded_by_plans() {
    let home = Home::new();
    let site = home.start().await;
    let one = shelf(&home, &site, "one");
    let _two = shelf(&home, &site, "two");
    nodes(&site, &[("one", "ready"), ("two", "ready")]).await;
    site.put("/api/v1/services/tiny", entry()).await;
    let loaded = site.carry_out("start", "tiny", json!({})).await;
    assert_eq!(loaded["phase"], "succeeded", "{loaded}");
    let first = text_of(&site).await;
    let wide = site.carry_out("scale", "tiny", json!({"replicas": 2})).await;
    assert_eq!(wide["phase"], "succeeded", "{wide}");
    // What cannot be served changes nothing, and is taken back.
    let broken = site.carry_out("deploy", "tiny", json!({"version": "broken"})).await;
    assert_eq!(broken["phase"], "undone", "{broken}");
    let seen = site.settled("tiny").await;
    assert_eq!((&seen["version"], &seen["ready_replicas"]), (&json!("1"), &json!(2)));
    assert_eq!(text_of(&site).await, first);

    // To another model and back, without waiting as the limit on deployments has it.
    let swapped = site.carry_out("rollback", "tiny", json!({"version": "2"})).await;
    assert_eq!(swapped["phase"], "succeeded", "{swapped}");
    assert_ne!(text_of(&site).await, first);
    let back = site.carry_out("rollback", "tiny", json!({"version": "1"})).await;
    assert_eq!(back["phase"], "succeeded", "{back}");
    assert_eq!(text_of(&site).await, first);

    // A node that is gone is not missed for long, nor is one that comes back empty.
    one.signal(Signal::KILL);
    let narrow = |seen: &Value| seen["fields"]["nodes"] == json!(["two"]);
    site.until("/api/v1/services/tiny/observed", narrow).await;
    let _one = shelf(&home, &site, "one");
    site.settled("tiny").await;
    let gone = site.carry_out("stop", "tiny", json!({})).await;
    assert_eq!(gone["phase"], "succeeded", "{gone}");
    let of_nodes = |model: &Value| model["nodes"] != json!([]);
    let empty = |models: &Value| !models["items"].as_array().unwrap().iter().any(of_nodes);
    site.until("/api/v1/models", empty).await;
}
