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
