//! The light node as a process: it joins, reports, and loses nothing while the controller is away.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use oag_testkit::wait_until;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fleet::{Counting, Worker, nodes};
use crate::world::{BINARY, Home, LONG, Site};

/// Names the light node's own program, where it was built as it is shipped (`make test STAGES=edge`).
const BUILT: &str = "OAG_EDGE_BIN";
/// What a connection to its port may take, in kB.
const CONNECTION_KB_MAX: u64 = 40;
/// What the program may take in memory, its code included, in kB.
const RESIDENT_KB_MAX: u64 = 12 * 1_024;
/// What it may take beside what lies in its file, in kB. A build for tests has much that is adapted
/// to where it was loaded.
const OWN_KB_MAX: u64 = 6 * 1_024;

/// A port that is free just now.
fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// The light node: as the product's command, or the program that was built for it.
fn program() -> Command {
    if let Some(built) = std::env::var_os(BUILT) {
        return Command::new(built);
    }
    let mut command = Command::new(BINARY);
    command.arg("edge");
    command
}

/// A light node and its own port.
struct Edge {
    process: Worker,
    port: u16,
}

impl Edge {
    fn start(home: &Home, controller: &str, more: &[&str]) -> Self {
        let port = free_port();
        let mut command = program();
        command
            .args(["--controller", controller, "--node-id", "far"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--heartbeat-ms", "200", "--report-ms", "50"])
            .args(more)
            .env("HOME", home.path())
            .env("XDG_STATE_HOME", home.state())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self { process: Worker(command.spawn().unwrap()), port }
    }

    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = oag_testkit::client().unwrap().get(url).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// A figure of its own.
    async fn figure(&self, name: &str) -> Option<u64> {
        let (_, text) = self.get("/metrics").await?;
        let line = format!("openautoglm_edge_{name} ");
        let value = text.lines().find_map(|found| found.strip_prefix(&line))?;
        value.parse::<f64>().ok().map(|value| value as u64)
    }

    /// Memory, in kB, by its name in `/proc`.
    fn memory_kb(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.0.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    /// A connection on which a request was answered, and which stays open.
    fn connection(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        stream
    }

    /// Waits until a figure is as wanted.
    async fn until(&self, name: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let found = wait_until(name, LONG, async || self.figure(name).await.filter(|v| wanted(*v)));
        found.await.unwrap()
    }
}

/// The moments of a series of the node that the controller knows, in its order.
async fn moments(site: &Site, metric: &str) -> Vec<String> {
    let path = format!("/api/v1/series/window?name={metric}&labels=node=far&from=0");
    let window = site.get(&path).await;
    let samples = window["samples"].as_array().unwrap().iter();
    samples.map(|sample| sample["at"].as_str().unwrap().to_owned()).collect()
}

fn figure_of(text: &Value, name: &str) -> u64 {
    let line = format!("openautoglm_{name} ");
    let value = text.as_str().unwrap().lines().find_map(|found| found.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap() as u64
}

#[tokio::test]
async fn a_light_node_reports_over_tls_and_what_it_kept_arrives_after_a_killed_controller() {
    let home = Home::new();
    home.configure(&format!("[nodes]\nlisten = \"127.0.0.1:{}\"\n", free_port()));
    let mut site = Site::start(home.options().port(free_port())).await;
    let minted = site.post("/api/v1/node-tokens", json!({"node": "far"})).await;
    let address = minted["address"].as_str().unwrap().replace("HOST", "127.0.0.1");
    let token = minted["token"].as_str().unwrap();
    let upstream = Counting::start().await;
    let url = upstream.url();
    let more = ["--token", token, "--model", "m", "--upstream", &url, "--group", "yard"];
    let edge = Edge::start(&home, &format!("https://{address}"), &more);
    nodes(&site, &[("far", "ready")]).await;
    let measured = |seen: &Value| seen["items"][0]["cpu"].is_f64();
    let seen = site.until("/api/v1/nodes", measured).await["items"][0].clone();
    assert_eq!((&seen["role"], &seen["groups"]), (&json!("edge"), &json!(["yard"])));
    assert!(seen["memory"].as_f64().is_some_and(|share| share > 0.0 && share < 1.0), "{seen}");
    assert_eq!(edge.get("/health/ready").await.unwrap().0, 200);

    // Its samples are signals like others.
    edge.until("reports_acknowledged_total", |reports| reports >= 3).await;
    let data = home.data().display().to_string();
    let (code, list, error) = home.run(&["get", "series", "--data", &data]);
    assert_eq!(code, 0, "{error}");
    for metric in ["host_cpu_usage", "host_memory_usage", "edge_buffer_usage"] {
        assert!(list.lines().any(|line| line.contains(metric) && line.contains("far")), "{list}");
    }
    let path = "/api/v1/models/m/generate";
    let answer = site.post(path, json!({"prompt": "count", "max_tokens": 3})).await;
    assert_eq!(answer["text"], "0 1 2 ");
    assert_eq!(edge.figure("requests_total").await, Some(1));

    site.product.kill9().unwrap();
    let kept = edge.until("buffer_reports", |reports| reports >= 30).await;
    assert_eq!(edge.get("/health/ready").await.unwrap().0, 503);
    assert_eq!(edge.get("/health/live").await.unwrap().0, 200);
    site.product.restart().await.unwrap();
    nodes(&site, &[("far", "ready")]).await;
    edge.until("buffer_reports", |reports| reports < 5).await;
    assert_eq!(edge.figure("samples_dropped_total").await, Some(0));
    let moments = moments(&site, "edge_buffer_usage").await;
    assert!(moments.len() as u64 >= kept, "{kept} were kept, {} came", moments.len());
    assert!(moments.is_sorted_by(|one, next| one < next), "each once: {moments:?}");
    let figures = site.get("/metrics").await;
    assert!(figure_of(&figures, "fleet_reports_total") >= kept, "{figures}");
    assert_eq!(figure_of(&figures, "signals_duplicate_total"), 0);
}

#[tokio::test]
async fn a_light_node_with_a_file_loses_nothing_with_its_process() {
    let home = Home::new();
    let port = free_port();
    let controller = format!("http://127.0.0.1:{port}");
    let file = home.path().join("reports").display().to_string();
    let more = ["--buffer-file", file.as_str()];
    // There is no controller yet.
    let mut first = Edge::start(&home, &controller, &more);
    let kept = first.until("buffer_reports", |reports| reports >= 10).await;
    first.process.signal(Signal::KILL);
    first.process.0.wait().unwrap();
    let mut second = Edge::start(&home, &controller, &more);
    second.until("buffer_reports", |reports| reports >= kept).await;
    let site = Site::start(home.options().port(port)).await;
    nodes(&site, &[("far", "ready")]).await;
    second.until("buffer_reports", |reports| reports < 5).await;
    let moments = moments(&site, "edge_buffer_usage").await;
    assert!(moments.len() as u64 >= kept, "{kept} were kept, {} came", moments.len());
    assert!(moments.is_sorted_by(|one, next| one < next), "each once: {moments:?}");
    // What it has left is told before it goes.
    second.process.signal(Signal::TERM);
    assert!(second.process.0.wait().unwrap().success());
    nodes(&site, &[("far", "left")]).await;
    let left = std::fs::read_to_string(&file).unwrap();
    let last = left.lines().last().unwrap();
    assert!(last.contains("forget") || last.contains("place"), "{last}");
}

#[tokio::test]
async fn a_light_node_takes_little_memory() {
    const CONNECTIONS: u64 = 200;
    let home = Home::new();
    home.configure("[nodes]\nlisten = \"127.0.0.1:0\"\n");
    let site = home.start().await;
    let minted = site.post("/api/v1/node-tokens", json!({"node": "far"})).await;
    let address = minted["address"].as_str().unwrap().replace("HOST", "127.0.0.1");
    let token = minted["token"].as_str().unwrap();
    let edge = Edge::start(&home, &format!("https://{address}"), &["--token", token]);
    nodes(&site, &[("far", "ready")]).await;
    edge.until("reports_acknowledged_total", |reports| reports >= 20).await;
    let (all, own) = (edge.memory_kb("VmRSS:"), edge.memory_kb("RssAnon:"));
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| edge.connection()).collect();
    edge.until("port_connections", |open| open >= CONNECTIONS).await;
    let grown = edge.memory_kb("VmRSS:").saturating_sub(all);
    drop(connections);
    let each = grown as f64 / CONNECTIONS as f64;
    eprintln!("{all} kB in memory, {own} kB of them its own, {each:.1} kB for each connection");
    assert!(grown <= CONNECTION_KB_MAX * CONNECTIONS, "{each:.1} kB for each connection");
    assert!(own <= OWN_KB_MAX, "{own} kB of its own");
    if std::env::var_os(BUILT).is_some() {
        assert!(all <= RESIDENT_KB_MAX, "{all} kB in memory");
    }
}

#[tokio::test]
async fn a_light_node_says_what_it_lacks() {
    let home = Home::new();
    let port = free_port();
    let free = format!("127.0.0.1:{port}");
    let run = |more: &[&str]| {
        let words = ["edge", "--controller", "http://127.0.0.1:1", "--listen", &free];
        home.run(&[&words, more].concat())
    };
    let (code, _, error) = run(&["--upstream", "http://127.0.0.1:1/v1"]);
    assert!(code == 1 && error.contains("--model NAME"), "{error}");
    let (code, _, error) = run(&["--model", "m"]);
    assert!(code == 1 && error.contains("--upstream URL"), "{error}");
    let diary = home.path().join("diary");
    std::fs::write(&diary, "dear diary\n").unwrap();
    let (code, _, error) = run(&["--buffer-file", &diary.display().to_string()]);
    assert!(code == 1 && error.contains("none of a buffer of reports"), "{error}");
    let _taken = std::net::TcpListener::bind(&free).unwrap();
    let (code, _, error) = run(&[]);
    assert!(code == 1 && error.contains("--listen"), "{error}");
}
