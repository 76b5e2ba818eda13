//! Certificates of a test's own, made by the openssl program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// An authority that nobody else trusts. Its files go away with it.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
}

/// A certificate and its private key, as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// When there is no openssl, or it fails.
    pub fn new() -> anyhow::Result<Self> {
        let authority = Self { dir: tempfile::Builder::new().prefix("oag-authority-").tempdir()? };
        authority.openssl(&[
            &["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority"],
            &NEW_KEY[..],
            &["-addext", "keyUsage=critical,keyCertSign"],
        ])?;
        Ok(authority)
    }

    /// The certificate to trust.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The authority's own certificate and key, for a server that shows them as if they were its.
    #[must_use]
    pub fn itself(&self) -> Issued {
        Issued { certificate: self.certificate(), key: self.dir.path().join("ca.key") }
    }

    /// A certificate for a host name.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn issue(&self, host: &str) -> anyhow::Result<Issued> {
        let file = |end: &str| format!("{host}.{end}");
        let subject = format!("/CN={host}");
        let request = ["req", "-keyout", &file("key"), "-out", &file("csr"), "-subj", &subject];
        self.openssl(&[&request, &NEW_KEY[..]])?;
        let names = self.dir.path().join(file("names"));
        fs::write(&names, format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n"))?;
        let sign = ["x509", "-req", "-in", &file("csr"), "-out", &file("pem"), "-days", "2"];
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(&[&sign, &by, &["-extfile", &names.display().to_string()]])?;
        let path = |end: &str| self.dir.path().join(file(end));
        Ok(Issued { certificate: path("pem"), key: path("key") })
    }

    fn openssl(&self, words: &[&[&str]]) -> anyhow::Result<()> {
        run(self.dir.path(), &words.concat())
    }
}

const NEW_KEY: [&str; 7] =
    ["-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"];

fn run(dir: &Path, words: &[&str]) -> anyhow::Result<()> {
    let done = Command::new("openssl").args(words).current_dir(dir).output();
    let done = done.context("cannot run openssl (package openssl)")?;
    if !done.status.success() {
        bail!("openssl {} failed: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}
