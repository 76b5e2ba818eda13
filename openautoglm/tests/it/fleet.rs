//! The fleet as processes: a controller, workers, and an upstream that counts.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{BINARY, Home, Site};

/// An OpenAI-compatible server: the answer to anything is `0 1 2 …`, one number each 20 ms.
pub(crate) struct Counting {
    port: u16,
    /// Answers that are being given.
    open: Arc<AtomicU32>,
    /// Answers that were asked for.
    asked: Arc<AtomicU32>,
}

impl Counting {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicU32::new(0));
        let asked = Arc::new(AtomicU32::new(0));
        let (counted, total) = (Arc::clone(&open), Arc::clone(&asked));
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let open = Arc::clone(&counted);
                total.fetch_add(1, Ordering::SeqCst);
                let answer = async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    // Whoever asked may go away in the middle.
                    let _ = answer(stream).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                };
                #[expect(clippy::disallowed_methods, reason = "a stand-in has no supervisor")]
                tokio::spawn(answer);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a stand-in has no supervisor")]
        tokio::spawn(serve);
        Self { port, open, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard = Vec::new();
    let body = loop {
        let mut bytes = [0; 4_096];
        let read = stream.read(&mut bytes).await?;
        heard.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&heard);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            break serde_json::from_str::<Value>(body)?;
        }
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let most = body["max_tokens"].as_u64().unwrap_or(4);
    for number in 0..most {
        let part = json!({"choices": [{"index": 0, "delta": {"content": format!("{number} ")}}]});
        stream.write_all(format!("data: {part}\n\n").as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let end = json!({
        "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": most},
    });
    stream.write_all(format!("data: {end}\n\ndata: [DONE]\n\n").as_bytes()).await
}

/// A worker process; it ends with the test.
pub(crate) struct Worker(pub(crate) Child);

impl Worker {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn worker(home: &Home, site: &Site, name: &str, more: &[&str]) -> Worker {
    worker_at(home, &site.product.base_url(), name, more)
}

pub(crate) fn worker_at(home: &Home, controller: &str, name: &str, more: &[&str]) -> Worker {
    let mut command = Command::new(BINARY);
    command
        .args(["worker", "--controller", controller, "--node-id", name])
        .args(["--heartbeat-ms", "200"])
        .args(more)
        .env("HOME", home.path())
        .env("XDG_STATE_HOME", home.state())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Worker(command.spawn().unwrap())
}

pub(crate) async fn nodes(site: &Site, wanted: &[(&str, &str)]) -> Value {
    let same = |nodes: &Value| {
        let nodes = nodes["items"].as_array().unwrap().iter();
        let found = nodes.map(|node| (node["name"].as_str(), node["state"].as_str()));
        found.eq(wanted.iter().map(|(name, state)| (Some(*name), Some(*state))))
    };
    site.until("/api/v1/nodes", same).await
}

#[tokio::test]
async fn workers_join_serve_and_drain() {
    let home = Home::new();
    let site = home.start().await;
    let upstream = Counting::start().await;
    let url = upstream.url();
    let glm = ["--model", "glm-4-plus", "--upstream", &url, "--slots", "2", "--group", "east"];
    let over_grpc: Vec<&str> = glm.into_iter().chain(["--transport", "grpc"]).collect();
    let mut one = worker(&home, &site, "one", &over_grpc);
    let _two = worker(&home, &site, "two", &glm);
    let seen = nodes(&site, &[("one", "ready"), ("two", "ready")]).await;
    assert_eq!(seen["items"][0]["groups"], json!(["east"]));
    let models = site.get("/api/v1/models").await;
    let names = models["items"].as_array().unwrap().iter().map(|model| &model["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["autoglm-rules", "glm-4-plus"]);
    assert_eq!(models["items"][1]["slots"], 4, "{models}");

    let path = "/api/v1/models/glm-4-plus/generate";
    let short = json!({"prompt": "count", "max_tokens": 3});
    let answer = site.post(path, short.clone()).await;
    assert_eq!(answer["text"], "0 1 2 ");
    assert_eq!((&answer["finish"], &answer["answer_tokens"]), (&json!("length"), &json!(3)));

    // One drains with work in hand: the work comes to its end, and nothing new is given to it.
    let long = json!({"messages": [{"role": "user", "content": "count"}], "max_tokens": 100});
    let drained = async {
        let busy = |queues: &Value| queues["items"][0]["busy"] == 4;
        site.until("/api/v1/queues", busy).await;
        one.signal(Signal::TERM);
        nodes(&site, &[("one", "draining"), ("two", "ready")]).await;
    };
    let ask = || site.post(path, long.clone());
    let (answers, ()) = tokio::join!(futures_of([ask(), ask(), ask(), ask()]), drained);
    for answer in answers {
        let text = answer["text"].as_str().unwrap();
        assert!(text.starts_with("0 1 2 ") && text.ends_with(" 98 99 "), "{text}");
    }
    nodes(&site, &[("one", "left"), ("two", "ready")]).await;
    assert!(one.0.wait().unwrap().success());
    assert_eq!(site.post(path, short).await["text"], "0 1 2 ");
}

async fn futures_of<const N: usize>(all: [impl Future<Output = Value>; N]) -> Vec<Value> {
    futures::future::join_all(all).await
}

#[tokio::test]
async fn a_killed_worker_is_noticed_and_its_unbegun_work_done_elsewhere() {
    let home = Home::new();
    let site = home.start().await;
    let upstream = Counting::start().await;
    let url = upstream.url();
    let glm = ["--model", "m", "--upstream", &url, "--slots", "1"];
    let one = worker(&home, &site, "one", &glm);
    nodes(&site, &[("one", "ready")]).await;
    let path = "/api/v1/models/m/generate";
    let key = site.product.admin_key().unwrap();
    let long = json!({"prompt": "count", "max_tokens": 2_000});
    let begun = site.call(reqwest::Method::POST, path, Some(&long), &key);
    let killed = async {
        let one_writes = |queues: &Value| queues["items"][0]["running"][0]["tokens"] != 0;
        let _two = worker(&home, &site, "two", &glm);
        site.until("/api/v1/queues", one_writes).await;
        nodes(&site, &[("one", "ready"), ("two", "ready")]).await;
        one.signal(Signal::KILL);
        // What had not begun is done by the other.
        let answer = site.post(path, json!({"prompt": "count", "max_tokens": 2})).await;
        assert_eq!(answer["text"], "0 1 ");
        nodes(&site, &[("one", "lost"), ("two", "ready")]).await;
    };
    let ((status, problem), ()) = tokio::join!(begun, killed);
    // An upstream cannot go on with another's answer: that is said, and nothing half is passed off.
    assert_eq!((status, &problem["code"]), (503, &json!("OAG-1804")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("broke off"), "{problem}");
    let quiet = async || (upstream.open.load(Ordering::SeqCst) == 0).then_some(());
    oag_testkit::wait_until("the upstream is left", crate::world::LONG, quiet).await.unwrap();
}

#[tokio::test]
async fn queues_and_groups_are_seen_as_they_are_now() {
    let home = Home::new();
    let site = home.start().await;
    let upstream = Counting::start().await;
    let url = upstream.url();
    let glm = ["--model", "m", "--upstream", &url, "--slots", "1", "--group", "east"];
    let _one = worker(&home, &site, "one", &glm);
    nodes(&site, &[("one", "ready")]).await;
    let groups = site.get("/api/v1/node-groups").await;
    let east = json!({"name": "east", "nodes": 1, "connected": 1, "ready": 1, "models": ["m"],
                      "slots": 1, "busy": 0});
    assert_eq!(groups["items"], json!([east]));
    let mut events = site.events("/api/v1/queues?watch=true").await;
    let mut seen = async |wanted: &dyn Fn(&Value) -> bool| {
        let wait = async { while !wanted(&events.next().await) {} };
        tokio::time::timeout(crate::world::LONG, wait).await.unwrap();
    };
    let ask = site.post("/api/v1/models/m/generate", json!({"prompt": "count", "max_tokens": 150}));
    let watched = async {
        seen(&|list| list["items"][0]["running"][0]["node"] == "one").await;
        seen(&|list| list["items"][0]["busy"] == 0).await;
    };
    let (answer, ()) = tokio::join!(ask, watched);
    assert_eq!(answer["answer_tokens"], 150);
}

#[tokio::test]
async fn operators_see_and_hold_nodes_back() {
    let home = Home::new();
    let site = home.start().await;
    let key = site.product.admin_key().unwrap();
    let post = |path: &'static str, body: Value| {
        let (site, key) = (&site, key.as_str());
        async move { site.call(reqwest::Method::POST, path, Some(&body), key).await }
    };
    let (status, problem) = post("/api/v1/models/none/generate", json!({"prompt": "x"})).await;
    assert_eq!((status, &problem["code"]), (404, &json!("OAG-1302")));
    assert!(problem["detail"].as_str().unwrap().contains("openautoglm worker"), "{problem}");
    for odd in [
        json!({}),
        json!({"prompt": "x", "messages": [{"role": "user", "content": "y"}]}),
        json!({"messages": [{"role": "robot", "content": "y"}]}),
        json!({"prompt": "x", "max_tokens": 0}),
        json!({"prompt": "x", "temperature": 9}),
        json!({"prompt": "x", "stop": [""]}),
    ] {
        let (status, problem) = post("/api/v1/models/none/generate", odd.clone()).await;
        assert_eq!(status, 400, "{odd}: {problem}");
    }
    let upstream = Counting::start().await;
    let _one = worker(&home, &site, "one", &["--model", "m", "--upstream", &upstream.url()]);
    nodes(&site, &[("one", "ready")]).await;
    let words = ["nodes", "cordon", "one", "--reason", "new disk"];
    let data = ["--data", &home.data().display().to_string()].map(str::to_owned);
    let words: Vec<&str> = words.into_iter().chain(data.iter().map(String::as_str)).collect();
    let (code, said, error) = home.run(&words);
    assert_eq!((code, said.as_str()), (0, "one is cordoned\n"), "{error}");
    assert_eq!(site.ledger_kinds("node:one").await, ["node"]);
    let (status, _) = post("/api/v1/nodes/nobody/cordon", json!({"reason": "r"})).await;
    assert_eq!(status, 404);
    let seen = site.post("/api/v1/nodes/one/uncordon", json!({"reason": "done"})).await;
    assert_eq!(seen["state"], "ready");
    // It comes back by itself.
    site.post("/api/v1/nodes/one/disconnect", json!({"reason": "a look"})).await;
    nodes(&site, &[("one", "ready")]).await;
}

#[tokio::test]
async fn a_worker_says_what_it_lacks() {
    let home = Home::new();
    let run = |words: &[&str]| home.run(words);
    let (code, _, error) = run(&[
        "worker",
        "--controller",
        "nowhere",
        "--model",
        "m",
        "--upstream",
        "http://127.0.0.1:1/v1",
    ]);
    assert!(code == 1 && error.contains("such as http://127.0.0.1:8080/register"), "{error}");
    let (code, _, error) =
        run(&["worker", "--controller", "http://127.0.0.1:1", "--model", "glm-4-plus"]);
    assert!(code == 1 && error.contains("--upstream URL"), "{error}");
    let (code, _, error) = run(&["worker", "--controller", "http://127.0.0.1:1"]);
    assert!(code == 2 && error.contains("--model"), "{error}");
}

#[tokio::test]
async fn a_killed_controller_comes_back_and_no_kept_answer_is_lost() {
    let home = Home::new();
    // Where the workers look for it again.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut site = Site::start(home.options().port(port)).await;
    let upstream = Counting::start().await;
    let url = upstream.url();
    let model = ["--model", "m", "--upstream", &url, "--slots", "2"];
    let controller = site.product.base_url();
    let _one = worker_at(&home, &controller, "one", &model);
    let _two = worker_at(&home, &controller, "two", &model);
    nodes(&site, &[("one", "ready"), ("two", "ready")]).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        let asked = json!({"model": "m", "request": {"prompt": "count", "max_tokens": 150}});
        let kept = site.post("/api/v1/generations", asked).await;
        assert_eq!(kept["state"], "open");
        ids.push(kept["id"].as_str().unwrap().to_owned());
    }
    let busy = |queues: &Value| queues["items"][0]["busy"] == 4;
    site.until("/api/v1/queues", busy).await;
    let asked_before = upstream.asked.load(Ordering::SeqCst);
    site.product.kill9().unwrap();
    site.product.restart().await.unwrap();
    let wanted: String = (0..150).map(|number| format!("{number} ")).collect();
    for id in ids {
        let over = |kept: &Value| kept["state"] != "open";
        let kept = site.until(&format!("/api/v1/generations/{id}"), over).await;
        assert_eq!((&kept["state"], kept["text"].as_str()), (&json!("done"), Some(&*wanted)));
    }
    // What was being made was gone on with, not begun again.
    assert_eq!((asked_before, upstream.asked.load(Ordering::SeqCst)), (4, 6));
    let (status, _) = site
        .call(
            reqwest::Method::GET,
            "/api/v1/generations/gen_00000000000000000000000000000000",
            None,
            &site.product.admin_key().unwrap(),
        )
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_model_that_no_node_can_load_is_said_and_taken_back() {
    let home = Home::new();
    let site = home.start().await;
    let folder = home.path().join("models");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("m.gguf"), "this is no model").unwrap();
    let words = ["--models-dir", &folder.display().to_string()];
    let _one = worker_at(&home, &site.product.base_url(), "one", &words);
    nodes(&site, &[("one", "ready")]).await;
    let entry = json!({
        "name": "m", "group": "ai", "executor": "fleet", "spec": {"file": "m.gguf"},
        "scaling": {"mode": "off", "min_replicas": 0, "max_replicas": 2, "step_ms": 1_000},
    });
    site.put("/api/v1/services/m", entry).await;
    let plan = site.propose("start", "m", json!({})).await;
    let id = site.apply(&plan).await;
    let tried = |seen: &Value| {
        seen["fields"]["unhealthy"]
            .as_str()
            .is_some_and(|text| text.contains("one: serve m from m.gguf:"))
    };
    site.until("/api/v1/services/m/observed", tried).await;
    assert_eq!(site.ended(&id).await["phase"], "undone");
    let seen = site.get("/api/v1/services/m/observed").await["fields"].clone();
    assert_eq!((&seen["running"], &seen["ready_replicas"]), (&json!(false), &json!(0)));
    let log = site.get("/api/v1/services/m/logs").await;
    assert!(log.to_string().contains("serve m from m.gguf"), "{log}");
    let spec = json!({"file": "../m"});
    let wrong = json!({"name": "n", "group": "ai", "executor": "fleet", "spec": spec});
    let key = site.product.admin_key().unwrap();
    let (status, refused) = site.call(Method::PUT, "/api/v1/services/n", Some(&wrong), &key).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("spec.file")), "{refused}");
}
