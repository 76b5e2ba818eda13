//! Nodes of other machines: tokens, certificates, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use oag_cluster::{Dial, DialError};
use oag_link::{Controller, StreamDial};
use oag_pki::{Pin, pinned_config};
use oag_runtime::{ShutdownHandle, Supervisor, SystemClock};
use oag_testkit::wait_until;
use serde_json::{Value, json};

use crate::fleet::{Counting, Worker, nodes, worker_at};
use crate::world::{Home, LONG, Site};

/// A controller with a port for nodes; certificates of a node are good for so long.
async fn controller(certificate_ms: u64) -> (Home, Site) {
    let home = Home::new();
    let text = format!("[nodes]\nlisten = \"127.0.0.1:0\"\ncertificate_ms = {certificate_ms}\n");
    home.configure(&text);
    let site = home.start().await;
    (home, site)
}

/// A token and the address of the port for nodes.
async fn token(site: &Site, node: Option<&str>) -> (String, String) {
    let minted = site.post("/api/v1/node-tokens", json!({ "node": node })).await;
    let address = minted["address"].as_str().unwrap().replace("HOST", "127.0.0.1");
    (minted["token"].as_str().unwrap().to_owned(), format!("https://{address}"))
}

/// What carries the sessions of a test.
#[derive(Clone, Copy)]
struct By(&'static str);

const WEBSOCKET: By = By("websocket");
const GRPC: By = By("grpc");

fn join(
    (home, By(carrier)): (&Home, By),
    address: &str,
    name: &str,
    token: Option<&str>,
    upstream: &str,
) -> Worker {
    let mut words = vec!["--model", "m", "--upstream", upstream, "--transport", carrier];
    words.extend(token.into_iter().flat_map(|token| ["--token", token]));
    worker_at(home, address, name, &words)
}

/// What is said to somebody who knows the cluster and opens a session over gRPC, but is no node.
async fn session_without_certificate(pin: Pin, address: &str) -> String {
    let tls = move || pinned_config(pin, SystemClock::shared()).map_err(|error| error.to_string());
    let address = address.parse::<Controller>().unwrap().secure_address();
    let supervisor = Supervisor::new(ShutdownHandle::new());
    let dial = StreamDial::secure(address, Arc::new(tls), supervisor);
    let hello = serde_json::from_value(json!({"node_id": "east-1"})).unwrap();
    match dial.dial(hello).await {
        Ok(_) => "nothing: it was let in".to_owned(),
        Err(DialError::Refused(why)) => why,
        Err(DialError::Away(why)) => format!("away: {why}"),
    }
}

/// How a worker ended.
async fn end_of(worker: &mut Worker) -> Option<i32> {
    let ended = wait_until("the worker ends", LONG, async || worker.0.try_wait().ok().flatten());
    ended.await.unwrap().code()
}

async fn serial(site: &Site, node: &str) -> Option<String> {
    let all = site.get("/api/v1/node-certificates").await;
    let of_it = |item: &&Value| item["node"] == node;
    let found = all["items"].as_array().unwrap().iter().find(of_it).cloned();
    let newest = found.and_then(|item| item["certificates"].as_array().unwrap().last().cloned());
    newest.map(|certificate| certificate["serial"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_node_joins_with_a_token_once_and_comes_back_with_its_certificate() {
    tokio::join!(joins_and_comes_back(WEBSOCKET), joins_and_comes_back(GRPC));
}

async fn joins_and_comes_back(by: By) {
    let (home, site) = controller(24 * 3_600_000).await;
    let upstream = Counting::start().await;
    let (pass, address) = token(&site, Some("east-1")).await;
    // A token for one node is none for another, and is not used up by the attempt.
    let mut other = join((&home, by), &address, "west-1", Some(&pass), &upstream.url());
    assert_eq!(end_of(&mut other).await, Some(1));
    let east = join((&home, by), &address, "east-1", Some(&pass), &upstream.url());
    nodes(&site, &[("east-1", "ready")]).await;
    let path = "/api/v1/models/m/generate";
    let answer = site.post(path, json!({"prompt": "count", "max_tokens": 3})).await;
    assert_eq!(answer["text"], "0 1 2 ");
    let first = serial(&site, "east-1").await.unwrap();
    drop(east);
    // It needs no token any more, and gets no other certificate.
    let _east = join((&home, by), &address, "east-1", None, &upstream.url());
    nodes(&site, &[("east-1", "ready")]).await;
    assert_eq!(serial(&site, "east-1").await.unwrap(), first);
    // The token is spent.
    std::fs::remove_dir_all(home.state().join("openautoglm/nodes")).unwrap();
    let mut again = join((&home, by), &address, "east-1", Some(&pass), &upstream.url());
    assert_eq!(end_of(&mut again).await, Some(1));
    let kinds = site.ledger_kinds("node:east-1").await;
    assert_eq!(kinds, ["node", "node"], "redeemed, and given a certificate");
}

#[tokio::test]
async fn a_wrong_pin_and_no_certificate_are_refused() {
    tokio::join!(refused(WEBSOCKET), refused(GRPC));
}

async fn refused(by: By) {
    let (home, site) = controller(24 * 3_600_000).await;
    let upstream = Counting::start().await;
    let (pass, address) = token(&site, None).await;
    let (secret, pin) = pass.split_once('.').unwrap();
    let last = if pin.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{secret}.{}{last}", &pin[..pin.len() - 1]);
    let mut fooled = join((&home, by), &address, "east-1", Some(&wrong), &upstream.url());
    assert_eq!(end_of(&mut fooled).await, Some(1));
    let mut empty = join((&home, by), &address, "east-1", None, &upstream.url());
    assert_eq!(end_of(&mut empty).await, Some(1));
    // Whoever believes any certificate still opens nothing without one of its own.
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
    for (method, path) in [("GET", "/session"), ("POST", "/renew")] {
        let method = method.parse().unwrap();
        let answer = client.request(method, format!("{address}{path}")).body("{}").send().await;
        assert_eq!(answer.unwrap().status().as_u16(), 401, "{path}");
    }
    let why = session_without_certificate(pin.parse().unwrap(), &address).await;
    assert!(why.ends_with("a certificate is needed here; enrol with a token first"), "{why}");
    let body = json!({"token": "oagn_nothing", "node_id": "x", "request": "y"}).to_string();
    let answer = client.post(format!("{address}/enrol")).body(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    // Nothing of this used the token up.
    let _east = join((&home, by), &address, "east-1", Some(&pass), &upstream.url());
    nodes(&site, &[("east-1", "ready")]).await;
}

#[tokio::test]
async fn a_revoked_node_is_out_at_once() {
    tokio::join!(revoked(WEBSOCKET), revoked(GRPC));
}

async fn revoked(by: By) {
    let (home, site) = controller(24 * 3_600_000).await;
    let upstream = Counting::start().await;
    let (pass, address) = token(&site, None).await;
    let mut east = join((&home, by), &address, "east-1", Some(&pass), &upstream.url());
    nodes(&site, &[("east-1", "ready")]).await;
    let reason = json!({"reason": "the machine was sold"});
    let record = site.post("/api/v1/nodes/east-1/revoke", reason).await;
    assert!(record["certificates"][0]["revoked_at"].is_string(), "{record}");
    assert_eq!(end_of(&mut east).await, Some(1));
    nodes(&site, &[("east-1", "lost")]).await;
    // Its certificate opens nothing any more, and after a restart of the controller neither.
    let mut again = join((&home, by), &address, "east-1", None, &upstream.url());
    assert_eq!(end_of(&mut again).await, Some(1));
}

#[tokio::test]
async fn certificates_are_renewed_while_work_goes_on() {
    tokio::join!(renewed_under_work(WEBSOCKET), renewed_under_work(GRPC));
}

async fn renewed_under_work(by: By) {
    let (home, site) = controller(4_000).await;
    let upstream = Counting::start().await;
    let (pass, address) = token(&site, None).await;
    let _east = join((&home, by), &address, "east-1", Some(&pass), &upstream.url());
    nodes(&site, &[("east-1", "ready")]).await;
    let first = serial(&site, "east-1").await.unwrap();
    // Longer than the first certificate lasts: the connection changes under the answer.
    let path = "/api/v1/models/m/generate";
    let answer = site.post(path, json!({"prompt": "count", "max_tokens": 400}));
    let (answer, ()) = tokio::join!(answer, async {
        let renewed = wait_until("a newer certificate", LONG, async || {
            serial(&site, "east-1").await.filter(|newest| *newest != first)
        });
        renewed.await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    let text = answer["text"].as_str().unwrap();
    let wanted: String = (0..400).map(|number| format!("{number} ")).collect();
    assert_eq!(text, wanted);
    let nodes = site.get("/api/v1/nodes").await;
    assert_eq!(nodes["items"][0]["state"], "ready", "{nodes}");
}

#[tokio::test]
async fn a_controller_that_ends_waits_for_work_over_grpc_and_not_for_its_nodes() {
    let (home, mut site) = controller(24 * 3_600_000).await;
    let upstream = Counting::start().await;
    let url = upstream.url();
    let (pass, address) = token(&site, None).await;
    let words = |model| vec!["--model", model, "--upstream", &url, "--transport", "grpc"];
    let far = [words("far"), vec!["--token", &pass]].concat();
    let _far = worker_at(&home, &address, "far", &far);
    let _near = worker_at(&home, &site.product.base_url(), "near", &words("near"));
    nodes(&site, &[("far", "ready"), ("near", "ready")]).await;
    let ask = |model: &str| {
        let path = format!("/api/v1/models/{model}/generate");
        let asked = site.product.request(reqwest::Method::POST, &path).unwrap();
        asked.json(&json!({"prompt": "count", "max_tokens": 100})).send()
    };
    let (far, near) = (ask("far"), ask("near"));
    let (far, near, status) = tokio::join!(far, near, async {
        let both_write = |queues: &Value| {
            let queues = queues["items"].as_array().unwrap().iter();
            queues.filter(|queue| queue["running"][0]["tokens"].as_u64() > Some(0)).count() == 2
        };
        site.until("/api/v1/queues", both_write).await;
        site.product.terminate().await.unwrap()
    });
    for answer in [far, near] {
        let answer: Value = answer.unwrap().json().await.unwrap();
        assert!(answer["text"].as_str().unwrap().ends_with(" 98 99 "), "{answer}");
    }
    assert_eq!(status.code(), Some(0), "{}", site.product.log());
}
