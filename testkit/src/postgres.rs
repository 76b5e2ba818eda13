//! A real PostgreSQL server for tests: own data directory, own loopback port, gone afterwards.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::Issued;

const PASSWORD: &str = "secret";
const READY_POLLS: u32 = 600;

/// Runs the server in the foreground of a shell that waits for the end of its standard input, so
/// that the server and its directory go away with this process, however that ends.
const KEEPER: &str = r#"dir=$1; shift
"$@" >"$dir/server.log" 2>&1 &
server=$!
read -r _
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$dir""#;

/// A running server. Dropping it stops the server and removes its directory.
#[derive(Debug)]
pub struct Postgres {
    keeper: Child,
    dir: PathBuf,
    binaries: PathBuf,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server that trusts the disk (`fsync=off`), which is what tests want.
    ///
    /// # Errors
    /// When no server is installed (package `postgresql-15`) or it does not come up.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&["fsync=off"])
    }

    /// Starts a server with settings such as `fsync=on`.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_as(settings, None)
    }

    /// Starts a server that speaks TLS, too, with a certificate.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with_tls(issued: &Issued) -> anyhow::Result<Self> {
        Self::start_as(&["fsync=off"], Some(issued))
    }

    fn start_as(settings: &[&str], tls: Option<&Issued>) -> anyhow::Result<Self> {
        let binaries = newest_binaries()?;
        let mut last = None;
        for _ in 0..3 {
            match Self::try_start(&binaries, settings, tls) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("PostgreSQL did not start")))
    }

    /// The address of the database every server has.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Makes a new empty database and returns its address.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn fresh_database(&self) -> anyhow::Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        let made = Command::new(self.binaries.join("createdb"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "app", &name])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .context("cannot run createdb")?;
        if !made.status.success() {
            bail!("createdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        Ok(self.url_of(&name))
    }

    /// Does something to a database behind the product's back.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn sql(&self, url: &str, sql: &str) -> anyhow::Result<()> {
        let done = Command::new(self.binaries.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
            .output()
            .context("cannot run psql (package postgresql-client-15)")?;
        if !done.status.success() {
            bail!("psql failed: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(())
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://app:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    fn try_start(binaries: &Path, settings: &[&str], tls: Option<&Issued>) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("oag-postgres-").tempdir()?;
        let user = User::for_server(dir.path())?;
        initialise(binaries, dir.path(), &user)?;
        let port = free_port()?;
        // The keeper removes the directory from here on.
        let dir = dir.keep();
        let server = user.command(&binaries.join("postgres"));
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(&dir).args(server);
        command.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", dir.display()));
        for setting in settings {
            command.args(["-c", setting]);
        }
        if let Some(issued) = tls {
            let certificate = user.copy(&issued.certificate, &dir.join("server.pem"))?;
            let key = user.copy(&issued.key, &dir.join("server.key"))?;
            command.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={certificate}")]);
            command.args(["-c", &format!("ssl_key_file={key}")]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = command.spawn().context("cannot run sh")?;
        let databases = AtomicU32::new(0);
        let server = Self { keeper, dir, binaries: binaries.to_owned(), port, databases };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let port = self.port.to_string();
        for _ in 0..READY_POLLS {
            let answer = Command::new(self.binaries.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", "app"])
                .status()
                .context("cannot run pg_isready")?;
            if answer.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
        bail!("PostgreSQL did not become ready on port {port}:\n{log}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Closing its input ends the keeper; an error means it is gone already.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Who runs the server: it refuses root.
enum User {
    Myself,
    Postgres { uid: u32, gid: u32 },
}

impl User {
    fn for_server(dir: &Path) -> anyhow::Result<Self> {
        if std::fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(Self::Myself);
        }
        let accounts = std::fs::read_to_string("/etc/passwd")?;
        let account = accounts.lines().find(|line| line.starts_with("postgres:"));
        let account = account.context("no user 'postgres': install the package postgresql-15")?;
        let mut fields = account.split(':').skip(2);
        let mut number = || fields.next().and_then(|id| id.parse().ok()).context("/etc/passwd");
        let (uid, gid) = (number()?, number()?);
        std::os::unix::fs::chown(dir, Some(uid), Some(gid))?;
        Ok(Self::Postgres { uid, gid })
    }

    /// A copy that this user alone may read.
    fn copy(&self, from: &Path, to: &Path) -> anyhow::Result<String> {
        std::fs::copy(from, to)?;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600))?;
        if let Self::Postgres { uid, gid } = self {
            std::os::unix::fs::chown(to, Some(*uid), Some(*gid))?;
        }
        Ok(to.display().to_string())
    }

    /// The words that run `program` as this user.
    fn command(&self, program: &Path) -> Vec<String> {
        let program = program.display().to_string();
        match self {
            Self::Myself => vec![program],
            Self::Postgres { uid, gid } => vec![
                "setpriv".to_owned(),
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".to_owned(),
                program,
            ],
        }
    }
}

fn initialise(binaries: &Path, dir: &Path, user: &User) -> anyhow::Result<()> {
    let password = dir.join("password");
    writeln!(std::fs::File::create(&password)?, "{PASSWORD}")?;
    let words = user.command(&binaries.join("initdb"));
    let Some((program, rest)) = words.split_first() else { bail!("no program to run") };
    let made = Command::new(program)
        .args(rest)
        .args(["-U", "app", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"])
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(dir.join("data"))
        .current_dir(dir)
        .output()
        .with_context(|| format!("cannot run {program} (package util-linux or postgresql-15)"))?;
    if !made.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(())
}

fn newest_binaries() -> anyhow::Result<PathBuf> {
    let missing = "no PostgreSQL under /usr/lib/postgresql: install the package postgresql-15";
    let versions = std::fs::read_dir("/usr/lib/postgresql").context(missing)?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, path)| path.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path).context(missing)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
