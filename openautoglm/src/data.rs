//! The data directory: what lies where, and files that only their owner may read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oag_ledger::SigningKey;
use oag_pilot::LogKeys;
use serde::{Deserialize, Serialize};

/// The directory of one installation.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// What a running process says about itself, in `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) address: String,
}

/// Which database keeps the truth of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// A file of the data directory.
    Sqlite,
    /// A server.
    Postgres,
}

/// What makes an installation's ledger its own.
#[derive(Serialize, Deserialize)]
struct Identity {
    installation: String,
    ledger_key: Vec<u8>,
}

/// `FILE.identity`, readable by its owner only.
fn identity_file(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(".identity");
    PathBuf::from(name)
}

impl DataDir {
    /// Opens the directory, making it when it is new.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)
            .with_context(|| format!("the data directory {} cannot be made", root.display()))?;
        let root = root.canonicalize().context("the data directory cannot be found")?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("{} belongs to somebody else", root.display()))?;
        Ok(Self { root })
    }

    /// A directory that need not be there; only its paths are asked for.
    pub(crate) fn planned(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Opens a directory that must be there.
    pub(crate) fn existing(root: &Path) -> Result<Self> {
        let root = root.canonicalize().with_context(|| {
            format!("there is no data directory {}: name it with --data", root.display())
        })?;
        Ok(Self { root })
    }

    /// Copies the name and the private key of this installation beside a backup, so that a
    /// restored ledger goes on under the same name.
    pub(crate) fn copy_identity(&self, backup: &Path) -> Result<()> {
        let identity = Identity {
            installation: self.installation()?,
            ledger_key: fs::read(self.root.join("ledger.key")).context("the ledger's key")?,
        };
        write_secret(&identity_file(backup), &serde_json::to_vec(&identity)?)
    }

    /// Takes the name and key that were copied beside a backup.
    pub(crate) fn take_identity(&self, backup: &Path) -> Result<()> {
        let file = identity_file(backup);
        let bytes = fs::read(&file).with_context(|| {
            format!("{} is missing: it holds the key the ledger is signed with", file.display())
        })?;
        let identity: Identity =
            serde_json::from_slice(&bytes).with_context(|| file.display().to_string())?;
        write_secret(&self.root.join("installation"), identity.installation.as_bytes())?;
        write_secret(&self.root.join("ledger.key"), &identity.ledger_key)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn truth(&self) -> PathBuf {
        self.root.join("truth")
    }

    pub(crate) fn series(&self) -> PathBuf {
        self.root.join("series")
    }

    pub(crate) fn admin_key(&self) -> PathBuf {
        self.root.join("admin.key")
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// The name and private key of this installation's ledgers, made at the first start.
    pub(crate) fn log_keys(&self) -> Result<LogKeys> {
        let name_file = self.root.join("installation");
        let key_file = self.root.join("ledger.key");
        if !key_file.exists() {
            // Names of logs are unique by chance: the first bytes of a key nobody uses.
            let name = SigningKey::generate("new")?.verifier();
            let name = format!("openautoglm/{}", hex8(name.public_key()));
            let key = SigningKey::generate(&name)?;
            write_secret(&name_file, name.as_bytes())?;
            write_secret(&key_file, &key.to_pkcs8()?)?;
        }
        let name = fs::read_to_string(&name_file)
            .with_context(|| format!("cannot read {}", name_file.display()))?;
        let key =
            fs::read(&key_file).with_context(|| format!("cannot read {}", key_file.display()))?;
        LogKeys::new(name.trim(), key).context("the ledger's key is damaged")
    }

    /// The name of this installation, once it has started.
    pub(crate) fn installation(&self) -> Result<String> {
        let file = self.root.join("installation");
        let name = fs::read_to_string(&file)
            .with_context(|| format!("{} holds no installation", self.root.display()))?;
        Ok(name.trim().to_owned())
    }

    /// The name of the cluster of nodes.
    pub(crate) fn cluster(&self) -> Result<String> {
        Ok(self.installation()?.replace('/', "-"))
    }

    /// Where the keys for nodes are.
    pub(crate) fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    /// Notes which database keeps the truth, for commands that see no settings but these.
    pub(crate) fn note_store_kind(&self, kind: StoreKind) -> Result<()> {
        let word = match kind {
            StoreKind::Sqlite => "sqlite",
            StoreKind::Postgres => "postgres",
        };
        write_secret(&self.root.join("store"), word.as_bytes())
    }

    /// Which database kept the truth when the product last ran; nothing when it never did.
    pub(crate) fn store_kind(&self) -> Result<Option<StoreKind>> {
        let file = self.root.join("store");
        match fs::read_to_string(&file) {
            Ok(word) if word == "postgres" => Ok(Some(StoreKind::Postgres)),
            Ok(_) => Ok(Some(StoreKind::Sqlite)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    pub(crate) fn write_admin_key(&self, secret: &str) -> Result<()> {
        write_secret(&self.admin_key(), format!("{secret}\n").as_bytes())
    }

    pub(crate) fn write_running(&self, running: &Running) -> Result<()> {
        write_secret(&self.root.join("run.json"), serde_json::to_string(running)?.as_bytes())
    }

    pub(crate) fn remove_running(&self) {
        // A file that stays says a process that is gone; readers check the pid.
        let _ = fs::remove_file(self.root.join("run.json"));
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    let context = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    file.sync_all().with_context(context)?;
    fs::rename(&temporary, path).with_context(context)
}

fn hex8(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
