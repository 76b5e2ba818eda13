//! What a node keeps of its membership: its key, its certificate and the cluster's bundle.

use std::fmt;
use std::path::{Path, PathBuf};

use oag_types::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use crate::authority::new_key;
use crate::bundle::{Bundle, Pin};
use crate::certificate::{Facts, NodeIdentity, half_life, has_signed};
use crate::error::{PkiError, crypto};
use crate::files;

const FILE: &str = "node.json";

/// The folder of a node's membership. It holds one file, so that the key, the certificate and the
/// cluster in it always belong together.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    file: PathBuf,
}

/// A new key with the request to sign it. It is in memory only: a node that ends before the answer
/// makes another. Shown without its secret.
pub struct Request {
    key: KeyPair,
    pem: String,
}

/// A node's membership, complete and checked. Shown without its secret.
pub struct Identity {
    node: NodeIdentity,
    not_before: Timestamp,
    pin: Pin,
    bundle: Bundle,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    bundle: Bundle,
    certificate_pem: String,
    key_pem: String,
}

impl IdentityStore {
    /// The store in a folder, which is made when missing.
    ///
    /// # Errors
    /// [`PkiError::File`] when it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, PkiError> {
        files::create_folder(folder)?;
        Ok(Self { file: folder.join(FILE) })
    }

    /// What the node is; nothing before it has enrolled.
    ///
    /// # Errors
    /// [`PkiError::Damaged`] when the file is not what was written, [`PkiError::File`] when it
    /// cannot be read.
    pub fn identity(&self) -> Result<Option<Identity>, PkiError> {
        let Some(text) = files::read(&self.file)? else { return Ok(None) };
        let damaged = |problem: String| PkiError::damaged(&self.file, problem);
        let kept: Kept = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let key = KeyPair::from_pem(&kept.key_pem).map_err(|error| damaged(error.to_string()))?;
        let identity = Identity::of(kept.bundle, &kept.certificate_pem, &key);
        identity.map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// A new key, and the request to send to the controller: to enrol, or when half of the
    /// certificate's time is over.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when the library refuses.
    pub fn new_key_and_csr(&self) -> Result<Request, PkiError> {
        let key = new_key()?;
        let mut params = CertificateParams::default();
        // The controller says what the certificate is called.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(crypto("sign a request"))?;
        let pem = request.pem().map_err(crypto("write a request"))?;
        Ok(Request { key, pem })
    }

    /// Keeps the answer to a request; from now on it is what the node is.
    ///
    /// Who enrols checks the bundle against the pin first ([`Bundle::check`]).
    ///
    /// # Errors
    /// [`PkiError::Untrusted`] when the certificate is not one for a node, for this key and of the
    /// bundle's authority, or when the node is a member of another cluster already;
    /// [`PkiError::File`] when it cannot be written. The old identity stays.
    pub fn install(
        &self,
        request: Request,
        certificate_pem: &str,
        bundle: Bundle,
    ) -> Result<Identity, PkiError> {
        let identity = Identity::of(bundle, certificate_pem, &request.key)?;
        if let Some(old) = self.identity()?
            && old.pin != identity.pin
        {
            let problem = "the node is a member of another cluster, which it has to forget first";
            return Err(PkiError::untrusted(problem));
        }
        let kept = Kept {
            bundle: identity.bundle.clone(),
            certificate_pem: certificate_pem.to_owned(),
            key_pem: request.key.serialize_pem(),
        };
        let text = serde_json::to_vec_pretty(&kept).map_err(crypto("write the identity"))?;
        files::write(&self.file, &text)?;
        Ok(identity)
    }

    /// Forgets the cluster; the node can enrol in another.
    ///
    /// # Errors
    /// [`PkiError::File`] when the file cannot be removed.
    pub fn forget(&self) -> Result<(), PkiError> {
        files::remove(&self.file)
    }
}

impl Request {
    /// The request in PEM, to be sent.
    #[must_use]
    pub fn csr_pem(&self) -> &str {
        &self.pem
    }
}

impl Identity {
    /// The node, as the controller sees it.
    #[must_use]
    pub fn node(&self) -> &NodeIdentity {
        &self.node
    }

    /// The cluster.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The key of the cluster's authority.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// When half of the certificate's time is over: from then on the node asks for a new one.
    #[must_use]
    pub fn half_life(&self) -> Timestamp {
        half_life(self.not_before, self.node.not_after)
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    /// Joins the parts when they belong together.
    fn of(bundle: Bundle, certificate_pem: &str, key: &KeyPair) -> Result<Self, PkiError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| PkiError::untrusted("the certificate is not in PEM form"))?;
        let unreadable = || PkiError::untrusted("a certificate is not readable");
        let authority = bundle.certificate()?;
        let pin = Facts::read(&authority).ok_or_else(unreadable)?.pin;
        let facts = Facts::read(&certificate).ok_or_else(unreadable)?;
        if facts.public_key != key.der_bytes() {
            return Err(PkiError::untrusted("the certificate is for another key"));
        }
        if !has_signed(&authority, &certificate) {
            return Err(PkiError::untrusted("the certificate is of another authority"));
        }
        let not_before = facts.not_before;
        let node = facts.identity();
        let node = node.ok_or_else(|| PkiError::untrusted("the certificate is not for a node"))?;
        Ok(Self { node, not_before, pin, bundle, certificate, key: key.serialize_der() })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Identity");
        shown.field("node", &self.node).field("cluster", &self.bundle.cluster);
        shown.finish_non_exhaustive()
    }
}
