//! A home for everything that a test starts, and the product as it is asked over HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oag_testkit::{Options, Product, TempDir, client, temp_dir, wait_until};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The product, built for this test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_openautoglm");
/// How long anything may take before a test gives up.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// A directory of its own that is also `HOME`. Whatever is started in it carries it in its
/// environment and is ended with it, also when the test fails.
pub(crate) struct Home {
    dir: TempDir,
}

/// A process that was started in a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    command: String,
}

impl Home {
    /// A home whose installation looks often and signs checkpoints often.
    pub(crate) fn new() -> Self {
        let home = Self { dir: temp_dir().unwrap() };
        home.configure("");
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes the configuration, with more top-level settings and sections.
    pub(crate) fn configure(&self, more: &str) {
        let text = format!(
            "host_interval_ms = 500\n{more}\n[pilot]\nlook_ms = 50\ncheckpoint_ms = 500\n\
             [local]\nstop_grace_ms = 3000\n"
        );
        std::fs::create_dir_all(self.data()).unwrap();
        std::fs::write(self.data().join("config.toml"), text).unwrap();
    }

    /// How the product is started here.
    pub(crate) fn options(&self) -> Options {
        // A worker that stands still at a crash point must not take the last one away.
        Options::new()
            .binary(BINARY)
            .data(self.data())
            .env("HOME", self.path().display().to_string())
            .env("XDG_STATE_HOME", self.state().display().to_string())
            .env("TOKIO_WORKER_THREADS", "4")
    }

    /// Where exported checkpoints land.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) async fn start(&self) -> Site {
        Site::start(self.options()).await
    }

    /// Sizes of the checkpoints that were exported, in order, each once.
    pub(crate) fn exported(&self) -> Vec<u64> {
        let folders = std::fs::read_dir(self.state().join("openautoglm/checkpoints"));
        let files = folders.into_iter().flatten().flatten();
        let files = files.map(|folder| folder.path().join("default.checkpoints"));
        let text: String = files.flat_map(std::fs::read_to_string).collect();
        // The last line may just be being written.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut sizes: Vec<u64> = lines.map(|line| line["size"].as_u64().unwrap()).collect();
        sizes.dedup();
        sizes
    }

    /// Waits until a checkpoint over so many rows is exported.
    pub(crate) async fn exports(&self, rows: u64) {
        let exported = wait_until("a checkpoint is exported", LONG, async || {
            self.exported().last().is_some_and(|last| *last >= rows).then_some(())
        });
        exported.await.unwrap();
    }

    /// The product with other words.
    pub(crate) fn command(&self, words: &[&str]) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(BINARY);
        command.args(words).env("HOME", self.path()).env("XDG_STATE_HOME", self.state());
        command.current_dir(self.path()).timeout(LONG);
        command
    }

    /// Runs the product with other words: exit code, standard output, standard error.
    pub(crate) fn run(&self, words: &[&str]) -> (i32, String, String) {
        let output = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// The replicas that are really there, by pid.
    pub(crate) fn replicas(&self) -> Vec<i32> {
        let all = self.processes().into_iter();
        all.filter(|p| p.command.contains("sample-service")).map(|p| p.pid).collect()
    }

    /// Lines that scripts have written to `effects`.
    pub(crate) fn effects(&self) -> usize {
        let text = std::fs::read_to_string(self.path().join("effects")).unwrap_or_default();
        text.lines().count()
    }

    /// A service whose replicas are sample services. Its script `touch` leaves a line in
    /// `effects`; `slow` does so and stays.
    pub(crate) fn service(&self, name: &str, replicas: u32) -> Value {
        let effects = self.path().join("effects");
        let script = |more: &str| {
            let line = format!("echo done >> '{}'{more}", effects.display());
            json!({"command": ["/bin/sh", "-c", line], "timeout_ms": 60_000})
        };
        json!({
            "name": name, "group": "shops", "executor": "local",
            "spec": {
                "command": [BINARY, "sample-service", "--port", "{port}",
                    "--concurrency", "2", "--service-ms", "20"],
                "health": {"path": "/healthz", "interval_ms": 50, "timeout_ms": 5_000},
                "concurrency_per_replica": 2, "replicas": replicas,
                "scripts": {"touch": script(""), "slow": script("; sleep 600")},
            },
            "scaling": {"mode": "off", "min_replicas": 1, "max_replicas": 8, "step_ms": 500},
        })
    }

    /// Everything that carries this home in its environment.
    fn processes(&self) -> Vec<Running> {
        let mark = format!("HOME={}", self.path().display());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let running = entries.filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let ours = environment.split(|byte| *byte == 0).any(|line| line == mark.as_bytes());
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            ours.then_some(Running { pid, command })
        });
        running.collect()
    }

    /// Ends what was started here.
    pub(crate) fn end_all(&self) {
        // Twice: what was about to start a process may have done so meanwhile.
        for _ in 0..2 {
            for process in self.processes() {
                if let Some(pid) = Pid::from_raw(process.pid) {
                    // An error means it has ended already.
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// Documents that come as server-sent events.
pub(crate) struct Documents {
    answer: reqwest::Response,
    text: String,
}

impl Documents {
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let found = data.map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                if let Some(document) = found {
                    return document;
                }
                continue;
            }
            let chunk = self.answer.chunk().await.unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// A running product, asked as its administrator.
pub(crate) struct Site {
    pub(crate) product: Product,
    client: reqwest::Client,
    /// A key other than the one in the data directory.
    key: Option<String>,
}

impl Site {
    pub(crate) async fn start(options: Options) -> Self {
        Self { product: options.start().await.unwrap(), client: client().unwrap(), key: None }
    }

    /// The same, asked with a key that is known from before.
    pub(crate) async fn start_with_key(options: Options, key: String) -> Self {
        let mut site = Self::start(options).await;
        site.key = Some(key);
        site
    }

    /// Any request: status and document.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: &str,
    ) -> (u16, Value) {
        let url = format!("{}{path}", self.product.base_url());
        let mut request = self.client.request(method, url).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let key = self.key.clone().unwrap_or_else(|| self.product.admin_key().unwrap());
        let (status, document) = self.call(method.clone(), path, body, &key).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {document}");
        document
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.must(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.must(Method::POST, path, Some(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        self.must(Method::PUT, path, Some(&body)).await
    }

    /// The documents of a stream of events.
    pub(crate) async fn events(&self, path: &str) -> Documents {
        let url = format!("{}{path}", self.product.base_url());
        let key = self.product.admin_key().unwrap();
        let answer = self.client.get(url).bearer_auth(key).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Documents { answer, text: String::new() }
    }

    /// Asks until the document is as wanted.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait_until("the document is as wanted", LONG, async || {
            last = self.get(path).await;
            wanted(&last).then(|| last.clone())
        });
        let found = found.await;
        found.unwrap_or_else(|error| panic!("GET {path}: {error}; the last was {last}"))
    }

    /// Puts a service into the catalogue and waits until it runs as wanted.
    pub(crate) async fn serve(&self, service: Value) {
        let name = service["name"].as_str().unwrap().to_owned();
        self.put(&format!("/api/v1/services/{name}"), service).await;
        self.settled(&name).await;
    }

    /// Waits until all replicas wanted are ready and nothing is being replaced.
    pub(crate) async fn settled(&self, name: &str) -> Value {
        let path = format!("/api/v1/services/{name}/observed");
        let ready = |seen: &Value| {
            let fields = &seen["fields"];
            fields["settled"] == json!(true) && fields["ready_replicas"] == fields["replicas"]
        };
        self.until(&path, ready).await["fields"].clone()
    }

    /// Proposes one action.
    pub(crate) async fn propose(&self, kind: &str, service: &str, params: Value) -> Value {
        self.propose_with(json!({"kind": kind, "service": service, "params": params})).await
    }

    pub(crate) async fn propose_with(&self, action: Value) -> Value {
        let body = json!({"reason": "a test asks for it", "actions": [action]});
        self.post("/api/v1/plans", body).await
    }

    /// Sets a plan to work; where two people must agree, a second one does.
    pub(crate) async fn apply(&self, plan: &Value) -> String {
        let id = plan["id"].as_str().unwrap().to_owned();
        let digest = json!({"digest": plan["digest"]});
        let applied = self.post(&format!("/api/v1/plans/{id}/apply"), digest.clone()).await;
        if applied["phase"] == "awaiting_approval" {
            let key = self.second_person().await;
            let path = format!("/api/v1/plans/{id}/approve");
            let (status, answer) = self.call(Method::POST, &path, Some(&digest), &key).await;
            assert_eq!((status, &answer["phase"]), (202, &json!("queued")), "{answer}");
        }
        id
    }

    /// The key of another person who may do everything.
    async fn second_person(&self) -> String {
        let roles = json!([{"role": "admin", "scope": "all"}]);
        let person = json!({"kind": "person", "name": "the second", "roles": roles});
        let person = self.post("/api/v1/principals", person).await;
        let key = json!({"principal": person["id"], "name": "a test"});
        self.post("/api/v1/keys", key).await["secret"].as_str().unwrap().to_owned()
    }

    /// Waits until a plan is over.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let open = ["proposed", "awaiting_approval", "queued", "running"];
        let over = |plan: &Value| !open.contains(&plan["phase"].as_str().unwrap());
        self.until(&format!("/api/v1/plans/{id}"), over).await
    }

    /// Proposes, sets to work and waits for the end.
    pub(crate) async fn carry_out(&self, kind: &str, service: &str, params: Value) -> Value {
        let plan = self.propose(kind, service, params).await;
        let id = self.apply(&plan).await;
        self.ended(&id).await
    }

    /// The kinds of the ledger's rows about something, in order.
    pub(crate) async fn ledger_kinds(&self, subject: &str) -> Vec<String> {
        let rows = self.get(&format!("/api/v1/ledger/rows?subject={subject}")).await;
        let rows = rows["items"].as_array().unwrap().iter();
        rows.map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.product.log();
            let lines: Vec<&str> = log.lines().filter(|l| !l.contains("http::edge")).collect();
            let last = lines.len().saturating_sub(60);
            eprintln!("the end of the product's log:\n{}", lines[last..].join("\n"));
        }
    }
}
