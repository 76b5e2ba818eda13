//! The cluster's authority: its key, and the certificates it signs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oag_types::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType,
    SubjectPublicKeyInfo,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::bundle::{Bundle, Pin};
use crate::certificate::{Facts, NodeIdentity, blank, check_name, has_signed, node_uri};
use crate::command::VerifyingKey;
use crate::error::{PkiError, crypto};
use crate::files;
use crate::listener::ServerCertificate;

/// The longest that the certificate of a node is valid.
pub const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How far certificates are dated back, for clocks that differ.
const BACKDATED_MS: i64 = 5 * 60 * 1000;
/// How long the authority's own certificate is valid; it is made anew at half of that.
const AUTHORITY_MS: i64 = 3650 * DAY_MS;
/// The longest request that is read, in bytes.
const REQUEST_LEN_MAX: usize = 16 * 1024;
const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";

/// The cluster's authority. Shown without its secret.
pub struct Authority {
    cluster: String,
    certificate: Certified,
    pin: Pin,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that was signed for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, for the node.
    pub certificate_pem: String,
    /// What it says, for the books.
    pub identity: NodeIdentity,
}

struct Certified {
    der: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    /// Loads the authority of a folder, or makes one there.
    ///
    /// The key is never made anew. The certificate around it is when half of its ten years are
    /// over, or when a crash kept it from being written: the pin stays, and what the key has
    /// signed stays valid.
    ///
    /// # Errors
    /// [`PkiError::OtherCluster`] for the folder of another cluster, [`PkiError::Damaged`] when a
    /// file is not what was written or the key is gone, [`PkiError::Argument`] for the name, and
    /// others when files or the library refuse.
    pub fn open(folder: &Path, cluster: &str, now: Timestamp) -> Result<Self, PkiError> {
        check_name("cluster", cluster)?;
        files::create_folder(folder)?;
        let (key_file, file) = (folder.join(KEY_FILE), folder.join(CERTIFICATE_FILE));
        let written = files::read(&file)?;
        let key = match (files::read(&key_file)?, &written) {
            (Some(pem), _) => {
                KeyPair::from_pem(&pem).map_err(|error| PkiError::damaged(&key_file, error))?
            }
            (None, Some(_)) => {
                return Err(PkiError::damaged(&key_file, "it is gone, the certificate is there"));
            }
            (None, None) => {
                let key = new_key()?;
                files::write(&key_file, key.serialize_pem().as_bytes())?;
                key
            }
        };
        let kept = written.map(|pem| read(folder, &file, pem, &key, cluster, now)).transpose()?;
        let certificate = match kept.flatten() {
            Some(certificate) => certificate,
            None => {
                let made = certify_self(&key, cluster, now)?;
                files::write(&file, made.pem.as_bytes())?;
                made
            }
        };
        Self::with(cluster, certificate, key)
    }

    fn with(cluster: &str, certificate: Certified, key: KeyPair) -> Result<Self, PkiError> {
        let facts = Facts::read(&certificate.der);
        let pin = facts.ok_or(PkiError::Crypto { action: "read a new certificate" })?.pin;
        let issuer = Issuer::from_ca_cert_der(&certificate.der, key)
            .map_err(crypto("read the authority's certificate"))?;
        Ok(Self { cluster: cluster.to_owned(), certificate, pin, issuer })
    }

    /// The name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.certificate.pem
    }

    /// What a person carries to a node, so that it knows the cluster.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// What a node is given when it enrols.
    #[must_use]
    pub fn bundle(&self, command_key: VerifyingKey) -> Bundle {
        let (cluster, ca_pem) = (self.cluster.clone(), self.certificate.pem.clone());
        Bundle { cluster, ca_pem, command_key }
    }

    /// Signs a certificate for a node. It ends `lifetime` from now; of the request, only the key
    /// counts, and that the request was signed with it.
    ///
    /// Whether the node may have one is for the caller to know: here is no list of nodes.
    ///
    /// # Errors
    /// [`PkiError::Request`] for a request that is unreadable, not signed by its own key or with
    /// another key than P-256 or Ed25519; [`PkiError::Argument`] for the id of the node and for a
    /// lifetime below a second or above [`LIFETIME_MAX`].
    pub fn issue(
        &self,
        request_pem: &str,
        node_id: &str,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<Issued, PkiError> {
        check_name("node_id", node_id)?;
        if !(Duration::from_secs(1)..=LIFETIME_MAX).contains(&lifetime) {
            return Err(PkiError::argument("lifetime", "must be a second to 24 hours"));
        }
        let key = requested_key(request_pem)?;
        let not_after = now.plus_millis(i64::try_from(lifetime.as_millis()).unwrap_or(DAY_MS));
        // What is dated back must not make it longer than a day.
        let not_before = now.plus_millis(-BACKDATED_MS).max(not_after.plus_millis(-DAY_MS));
        let mut params = blank(node_id, not_before, not_after)?;
        let uri = node_uri(node_id).try_into().map_err(crypto("write the name of a node"))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let certificate = self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, &key)?;
        let identity = Facts::read(certificate.der()).and_then(Facts::identity);
        let identity = identity.ok_or(PkiError::Crypto { action: "read a new certificate" })?;
        Ok(Issued { certificate_pem: certificate.pem(), identity })
    }

    /// A certificate, with a key of its own, for the controller's listener under the names and
    /// addresses that nodes reach it by.
    ///
    /// # Errors
    /// [`PkiError::Argument`] for names that are no host names or addresses, and for none or more
    /// than 64 of them; [`PkiError::Crypto`] when the library refuses.
    pub fn server_certificate(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<Arc<ServerCertificate>, PkiError> {
        ServerCertificate::new(self, names, now).map(Arc::new)
    }

    /// Signs what is no authority and good for one use only.
    pub(crate) fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, PkiError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.signed_by(key, &self.issuer).map_err(crypto("sign a certificate"))
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate.der
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Authority");
        shown.field("cluster", &self.cluster).field("pin", &self.pin).finish_non_exhaustive()
    }
}

pub(crate) fn new_key() -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto("generate a key"))
}

/// When a certificate that is made now begins.
pub(crate) fn backdated(now: Timestamp) -> Timestamp {
    now.plus_millis(-BACKDATED_MS)
}

fn certify_self(key: &KeyPair, cluster: &str, now: Timestamp) -> Result<Certified, PkiError> {
    let not_before = backdated(now);
    let mut params = blank(cluster, not_before, now.plus_millis(AUTHORITY_MS))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(key).map_err(crypto("sign the authority"))?;
    Ok(Certified { der: certificate.der().clone(), pem: certificate.pem() })
}

/// The certificate in a file, when it is that of the key and half of its time is still to come.
fn read(
    folder: &Path,
    file: &Path,
    pem: String,
    key: &KeyPair,
    cluster: &str,
    now: Timestamp,
) -> Result<Option<Certified>, PkiError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| PkiError::damaged(file, error))?;
    let facts = Facts::read(&der).ok_or_else(|| PkiError::damaged(file, "no certificate"))?;
    let found = facts.subject.clone().unwrap_or_default();
    if found != cluster {
        let (path, wanted) = (folder.to_owned(), cluster.to_owned());
        return Err(PkiError::OtherCluster { path, found, wanted });
    }
    if facts.public_key != key.der_bytes() || !facts.is_ca || !has_signed(&der, &der) {
        return Err(PkiError::damaged(file, "it is not the certificate of the key beside it"));
    }
    Ok((now < facts.half_life()).then_some(Certified { der, pem }))
}

/// The key of a request, which the request must have been signed with.
fn requested_key(pem: &str) -> Result<SubjectPublicKeyInfo, PkiError> {
    let refused = |problem: &str| PkiError::request(problem);
    if pem.len() > REQUEST_LEN_MAX {
        return Err(refused("it is too long"));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| refused("it is not in PEM form"))?;
    let parsed = X509CertificationRequest::from_der(&der);
    let (rest, request) = parsed.map_err(|_| refused("it is not readable"))?;
    if !rest.is_empty() {
        return Err(refused("something follows it"));
    }
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .ok()
        .filter(|key| [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519].contains(&key.algorithm()))
        .ok_or_else(|| refused("its key is neither P-256 nor Ed25519"))?;
    request.verify_signature().map_err(|_| refused("it is not signed with its own key"))?;
    Ok(key)
}
