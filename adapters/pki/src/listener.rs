//! The certificate of the controller's own listener.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use oag_types::Timestamp;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::authority::{Authority, backdated, new_key};
use crate::certificate::{blank, half_life};
use crate::error::{PkiError, crypto};

/// How long the certificate of a listener is valid.
const LIFETIME_MS: i64 = 7 * 24 * 60 * 60 * 1000;
const NAMES_MAX: usize = 64;
/// What the certificate is called; clients go by the alternative names alone.
const SUBJECT: &str = "controller";

/// A certificate that the controller's listener shows, and that can be renewed under it: new
/// connections see the new one. Its key is in memory only. Shown without its secret.
pub struct ServerCertificate {
    names: Vec<String>,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    key: Arc<CertifiedKey>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl ServerCertificate {
    pub(crate) fn new(
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let current = RwLock::new(certify(authority, names, now)?);
        Ok(Self { names: names.to_vec(), current })
    }

    /// When it should be renewed.
    #[must_use]
    pub fn half_life(&self) -> Timestamp {
        let current = self.current();
        half_life(current.not_before, current.not_after)
    }

    /// Until when it is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.current().not_after
    }

    /// Takes a new key and certificate, for the same names.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when the library refuses; the old one stays.
    pub fn renew(&self, authority: &Authority, now: Timestamp) -> Result<(), PkiError> {
        let fresh = certify(authority, &self.names, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key)
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ServerCertificate");
        shown.field("names", &self.names).field("not_after", &self.not_after());
        shown.finish_non_exhaustive()
    }
}

fn certify(authority: &Authority, names: &[String], now: Timestamp) -> Result<Current, PkiError> {
    if names.is_empty() || names.len() > NAMES_MAX {
        let problem = format!("must be 1 to {NAMES_MAX} host names or addresses");
        return Err(PkiError::argument("names", problem));
    }
    let (not_before, not_after) = (backdated(now), now.plus_millis(LIFETIME_MS));
    let mut params = blank(SUBJECT, not_before, not_after)?;
    params.subject_alt_names = alternative_names(names)?;
    let key = new_key()?;
    let certificate = authority.sign(params, ExtendedKeyUsagePurpose::ServerAuth, &key)?;
    // The authority's own is shown too: a node that enrols has nothing but the pin of its key.
    let chain = vec![certificate.der().clone(), authority.certificate().clone()];
    let key = any_supported_type(&PrivateKeyDer::from(key)).map_err(crypto("read a new key"))?;
    Ok(Current { key: Arc::new(CertifiedKey::new(chain, key)), not_before, not_after })
}

fn alternative_names(names: &[String]) -> Result<Vec<rcgen::SanType>, PkiError> {
    for name in names {
        if rustls::pki_types::ServerName::try_from(name.as_str()).is_err() {
            let problem = format!("'{name}' is no host name or address");
            return Err(PkiError::argument("names", problem));
        }
    }
    let params = CertificateParams::new(names);
    params.map(|params| params.subject_alt_names).map_err(crypto("write the names of a listener"))
}
