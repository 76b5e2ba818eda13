//! What a node has to know of its cluster, and the pin by which it knows that it is the right one.

use std::fmt;
use std::str::FromStr;

use oag_types::{Digest, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::PkiError;
use crate::certificate::{Facts, check_name, has_signed};
use crate::command::VerifyingKey;

const PIN_HEAD: &str = "sha256:";

/// The key of a cluster's authority, short enough to be typed: `sha256:` and the hexadecimal
/// digest of the authority's public key as its certificate writes it (DER SubjectPublicKeyInfo).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin(pub(crate) Digest);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PIN_HEAD}{}", self.0)
    }
}

impl FromStr for Pin {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let digest = text.trim().strip_prefix(PIN_HEAD).and_then(|digits| digits.parse().ok());
        let wrong = || PkiError::argument("pin", "must be 'sha256:' and 64 hexadecimal digits");
        digest.map(Self).ok_or_else(wrong)
    }
}

/// What a node is given when it enrols: nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The name of the cluster.
    pub cluster: String,
    /// The certificate of its authority, in PEM.
    pub ca_pem: String,
    /// The key that its commands are signed with.
    pub command_key: VerifyingKey,
}

impl Bundle {
    /// Checks that this is the cluster of the pin, and that its authority is in force.
    ///
    /// # Errors
    /// [`PkiError::Untrusted`] otherwise.
    pub fn check(&self, pin: Pin, now: Timestamp) -> Result<(), PkiError> {
        check_name("cluster", &self.cluster)?;
        let der = self.certificate()?;
        let facts = Facts::read(&der)
            .ok_or_else(|| PkiError::untrusted("the authority's certificate is not readable"))?;
        if facts.pin != pin {
            let problem = format!("the authority's key has the pin {}, not {pin}", facts.pin);
            return Err(PkiError::untrusted(problem));
        }
        if facts.subject.as_deref() != Some(&self.cluster) {
            return Err(PkiError::untrusted("the authority is that of another cluster"));
        }
        if !is_authority(&der, &facts, now) {
            let problem = "the authority's certificate is none, or not in force";
            return Err(PkiError::untrusted(problem));
        }
        Ok(())
    }

    pub(crate) fn certificate(&self) -> Result<CertificateDer<'static>, PkiError> {
        CertificateDer::from_pem_slice(self.ca_pem.as_bytes())
            .map_err(|_| PkiError::untrusted("the authority's certificate is not in PEM form"))
    }
}

/// Whether a certificate is an authority's own, in force now.
pub(crate) fn is_authority(der: &[u8], facts: &Facts, now: Timestamp) -> bool {
    let in_force = (facts.not_before..=facts.not_after).contains(&now);
    facts.is_ca && in_force && has_signed(der, der)
}
