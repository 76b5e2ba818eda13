//! The product as a real process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{TempDir, client, temp_dir, wait_until};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// How to start the product.
#[derive(Debug, Default)]
pub struct Options {
    binary: Option<PathBuf>,
    data: Option<PathBuf>,
    port: u16,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Options {
    /// Own data directory, own port, nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs this program in place of the binary built here.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Uses this data directory and leaves it behind.
    #[must_use]
    pub fn data(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data = Some(dir.into());
        self
    }

    /// Listens here; 0 is any free port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// One more word after `up --data DIR --port N`.
    #[must_use]
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.arguments.push(word.into());
        self
    }

    /// One variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When there is no binary, or it ends or is not ready in time; with the end of its log.
    pub async fn start(self) -> anyhow::Result<Product> {
        let scratch = temp_dir()?;
        let data = self.data.clone().unwrap_or_else(|| scratch.path().join("data"));
        let log = scratch.path().join("product.log");
        let (child, address) = launch(&self, &data, &log).await?;
        Ok(Product { options: self, scratch, data, child, address })
    }
}

/// A running product. Dropping it kills the process and removes its own data directory.
#[derive(Debug)]
pub struct Product {
    options: Options,
    scratch: TempDir,
    data: PathBuf,
    child: Child,
    address: String,
}

impl Product {
    /// Starts one with its own data directory and port.
    ///
    /// # Errors
    /// As [`Options::start`].
    pub async fn start() -> anyhow::Result<Self> {
        Options::new().start().await
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The key of the first administrator, as the product wrote it down.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn admin_key(&self) -> anyhow::Result<String> {
        let path = self.data.join("admin.key");
        let key = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(key.trim().to_owned())
    }

    /// A request to `path` (`/api/v1/…`) as the administrator.
    ///
    /// # Errors
    /// When there is no key or no client.
    pub fn request(
        &self,
        method: reqwest::Method,
        path: &str,
    ) -> anyhow::Result<reqwest::RequestBuilder> {
        let url = format!("{}{path}", self.base_url());
        Ok(client()?.request(method, url).bearer_auth(self.admin_key()?))
    }

    /// What the process has printed so far, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Ends it at once, as a power cut would.
    ///
    /// # Errors
    /// When it has been waited for already.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time; then it is killed.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("no pid")?, rustix::process::Signal::TERM)?;
        let child = &mut self.child;
        let ended = wait_until("the product ends", STOP, async || child.try_wait().ok().flatten());
        match ended.await {
            Ok(status) => Ok(status),
            Err(late) => {
                self.kill9()?;
                Err(late.context(tail(&self.log_path())))
            }
        }
    }

    /// Leaves a variable out of the environment of later starts.
    pub fn forget_env(&mut self, name: &str) {
        self.options.environment.retain(|(known, _)| known != name);
    }

    /// Starts it again on the same data, ending it first when it still runs. With port 0 the
    /// address is a new one.
    ///
    /// # Errors
    /// As [`Options::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.terminate().await?;
        let log = self.log_path();
        (self.child, self.address) = launch(&self.options, &self.data, &log).await?;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.path().join("product.log")
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the product writes to `run.json` once it has bound its port.
#[derive(Debug, Deserialize)]
struct RunFile {
    pid: u32,
    address: String,
}

/// Kills the process unless it is handed on.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // An error means it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn launch(options: &Options, data: &Path, log: &Path) -> anyhow::Result<(Child, String)> {
    let binary = options.binary.clone().map_or_else(binary, Ok)?;
    let output = File::options().create(true).append(true).open(log)?;
    let child = Command::new(&binary)
        .arg("up")
        .arg("--data")
        .arg(data)
        .args(["--port", &options.port.to_string()])
        .args(&options.arguments)
        // It is for tests, and the product refuses settings it does not know.
        .env_remove("OPENAUTOGLM_BIN")
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| binary.display().to_string())?;
    let mut starting = Starting(Some(child));
    let client = client()?;
    let started = wait_until("the product is ready", START, async || {
        let child = starting.0.as_mut()?;
        if let Ok(Some(status)) = child.try_wait() {
            return Some(Err(anyhow::anyhow!("the product ended: {status}")));
        }
        let address = bound_address(data, child.id())?;
        let ready = client.get(format!("http://{address}/health/ready")).send().await.ok()?;
        ready.status().is_success().then_some(Ok(address))
    });
    let address = started.await.and_then(|result| result).with_context(|| tail(log))?;
    let child = starting.0.take().context("the process is gone")?;
    Ok((child, address))
}

/// The address, once this process has written it: the file of an earlier one may still be there.
fn bound_address(data: &Path, pid: u32) -> Option<String> {
    let text = std::fs::read(data.join("run.json")).ok()?;
    let run: RunFile = serde_json::from_slice(&text).ok()?;
    (run.pid == pid).then_some(run.address)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len().saturating_sub(40);
    format!("the end of its log:\n{}", lines.get(last..).unwrap_or_default().join("\n"))
}

/// `OPENAUTOGLM_BIN`, or the binary beside the test, built when it is missing. A test of another
/// package than the binary's runs what was built last; `cargo test --workspace` builds it anew.
fn binary() -> anyhow::Result<PathBuf> {
    static BUILD: Mutex<()> = Mutex::new(());
    if let Some(path) = std::env::var_os("OPENAUTOGLM_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let profile = test.ancestors().find(|dir| dir.join("deps").is_dir());
    let profile = profile.context("the test does not lie in a target directory of cargo")?;
    let binary = profile.join(format!("openautoglm{}", std::env::consts::EXE_SUFFIX));
    let _one_at_a_time = BUILD.lock();
    if !binary.exists() {
        build(profile)?;
    }
    Ok(binary)
}

fn build(profile: &Path) -> anyhow::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "-p", "openautoglm"]);
    cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    if let Some(target) = profile.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    match profile.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => {}
        Some(name) => {
            cargo.args(["--profile", name]);
        }
    }
    let status = cargo.stdin(Stdio::null()).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the product does not build: {status}");
    }
    Ok(())
}
