//! A bench: an executor on a folder, services that this binary plays, and clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use oag_local::{LocalConfig, LocalExecutor};
use oag_pilot::{ExecError, Executor, Mandate, Observed, Operation};
use oag_runtime::{ShutdownHandle, Supervisor, SystemClock};
use oag_types::{Digest, Receipt, Service, ServiceName, Tenant};
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub(crate) struct Bench {
    pub(crate) executor: Arc<LocalExecutor>,
    pub(crate) supervisor: Supervisor,
    pub(crate) folder: PathBuf,
    keep: Option<tempfile::TempDir>,
}

pub(crate) fn tenant() -> Tenant {
    Tenant::default_tenant()
}

pub(crate) fn shop() -> ServiceName {
    "shop".parse().unwrap()
}

/// A service whose replicas are this binary; `more` goes over the spec.
pub(crate) fn service(name: &str, more: Value) -> Service {
    let exe = std::env::current_exe().unwrap();
    let mut spec = json!({
        "command": [exe, "--exact", "roles::replica", "--nocapture", "--test-threads=1"],
        "env": { "ROLE": "replica" },
        "health": { "path": "/healthz", "interval_ms": 100, "timeout_ms": 2000 },
        "replicas": 1,
    });
    for (field, value) in more.as_object().unwrap() {
        if let (Some(env), Some(over)) = (spec[field].as_object_mut(), value.as_object()) {
            env.extend(over.clone());
        } else {
            spec[field] = value.clone();
        }
    }
    serde_json::from_value(json!({
        "name": name,
        "group": "shops",
        "executor": "local",
        "spec": spec,
        "scaling": { "step_ms": 1000 },
        "features": [
            { "name": "reviews", "path_prefix": "/reviews" },
            { "name": "pay", "path_prefix": "/pay", "core": true },
        ],
    }))
    .unwrap()
}

impl Bench {
    pub(crate) fn new(change: impl FnOnce(&mut LocalConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self::at(folder.path().to_owned(), change);
        bench.keep = Some(folder);
        bench
    }

    pub(crate) fn at(folder: PathBuf, change: impl FnOnce(&mut LocalConfig)) -> Self {
        let mut config = LocalConfig {
            data_dir: folder.clone(),
            reconcile_interval_ms: 20,
            backoff_first_ms: 20,
            stop_grace_ms: 10_000,
            stable_ms: 300,
            ..LocalConfig::default()
        };
        change(&mut config);
        let supervisor = Supervisor::new(ShutdownHandle::new());
        let executor =
            LocalExecutor::new(config, SystemClock::shared(), supervisor.clone()).unwrap();
        Self { executor, supervisor, folder, keep: None }
    }

    /// With the service `shop`, ready.
    pub(crate) async fn with_shop(more: Value) -> Self {
        let bench = Self::new(|_| {});
        bench.executor.adopt(&tenant(), &service("shop", more)).await.unwrap();
        bench.settled().await;
        bench
    }

    pub(crate) async fn apply(
        &self,
        operation: Operation,
        key: &str,
    ) -> Result<Receipt, ExecError> {
        let mandate = Mandate { key, plan: &Digest::of(b"plan") };
        self.executor.apply(&tenant(), &shop(), &operation, mandate).await
    }

    pub(crate) async fn observe(&self) -> Observed {
        self.executor.observe(&tenant(), &shop()).await.unwrap()
    }

    pub(crate) async fn settled(&self) -> Observed {
        self.until("settled", |seen| seen.fields["settled"] == true).await
    }

    /// Waits until something is seen.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Observed) -> bool) -> Observed {
        let mut last = None;
        for _ in 0..3_000 {
            let seen = self.observe().await;
            if is(&seen) {
                return seen;
            }
            last = Some(seen);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let logs = self.executor.logs(&tenant(), &shop(), 20).await;
        panic!("never {what}: {last:#?} {logs:#?}");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.executor.endpoint(&tenant(), &shop()).unwrap()
    }

    pub(crate) async fn pids(&self) -> Vec<i32> {
        pids(&self.observe().await)
    }

    /// Drains as the product does; nothing is left running.
    pub(crate) async fn stop(self) {
        let pids = self.pids().await;
        self.supervisor.shutdown().begin();
        assert!(self.supervisor.drain(Duration::from_secs(30)).await.is_empty());
        for pid in pids {
            assert!(!is_alive(pid), "{pid} is left");
        }
    }
}

impl Drop for Bench {
    /// A test that failed leaves no process behind either.
    fn drop(&mut self) {
        let executor = Arc::clone(&self.executor);
        if !std::thread::panicking() {
            return;
        }
        let seen = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { executor.observe(&tenant(), &shop()).await })
        });
        for pid in seen.join().unwrap().map(|seen| pids(&seen)).unwrap_or_default() {
            kill(pid);
        }
    }
}

pub(crate) fn pids(seen: &Observed) -> Vec<i32> {
    serde_json::from_value(seen.fields["pids"].clone()).unwrap()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z')
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub(crate) type Web = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn web() -> Web {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

pub(crate) async fn get(web: &Web, address: SocketAddr, path: &str) -> Result<Answer, String> {
    let uri = format!("http://{address}{path}").parse().unwrap();
    let response = web.get(uri).await.map_err(|error| format!("{error:?}"))?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    Ok(Answer { status, headers, text })
}

/// Clients that ask without pause.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, clients: usize) -> Self {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (stop, good) = (Arc::clone(&stop), Arc::clone(&good));
            set.spawn(async move {
                let web = web();
                let mut failed = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    match get(&web, address, "/work").await {
                        Ok(answer) if answer.status == 200 => {
                            good.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(answer) => failed.push(format!("{} {}", answer.status, answer.text)),
                        Err(error) => failed.push(error),
                    }
                }
                failed
            });
        }
        Self { stop, good, clients: set }
    }

    /// Waits for so many good answers more.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.good.load(Ordering::SeqCst) + count;
        for _ in 0..3_000 {
            if self.good.load(Ordering::SeqCst) >= goal {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the load does not come through");
    }

    /// Good answers and what failed.
    pub(crate) async fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let failed = self.clients.join_all().await.concat();
        (self.good.load(Ordering::SeqCst), failed)
    }
}
