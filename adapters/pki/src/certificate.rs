//! What certificates say, and the parts that all that are made here have in common.

use std::time::Duration;

use aws_lc_rs::rand;
use oag_types::{Digest, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, SerialNumber};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::bundle::Pin;
use crate::error::{PkiError, crypto};

/// What the name of a node follows in its certificate.
const NODE_URI: &str = "urn:openautoglm:node:";
/// Bytes of a serial number; all of them random.
const SERIAL_LEN: usize = 16;
/// The longest name that fits the subject of a certificate.
const NAME_LEN_MAX: usize = 64;

/// Which node a certificate of the cluster speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The id of the node.
    pub node_id: String,
    /// The serial number of the certificate: 32 hexadecimal digits.
    pub serial: String,
    /// Until when the certificate is valid.
    pub not_after: Timestamp,
}

/// What is read of a certificate. Nothing of it is trusted before the chain was checked.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) serial: String,
    pub(crate) node_id: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) public_key: Vec<u8>,
    pub(crate) pin: Pin,
    pub(crate) is_ca: bool,
}

impl Facts {
    /// Reads a certificate in DER; nothing when it is none.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = parse_x509_certificate(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let key = certificate.public_key();
        let validity = certificate.validity();
        let seconds = |at: i64| Timestamp::from_millis(at.saturating_mul(1000));
        let name = certificate.subject().iter_common_name().next();
        Some(Self {
            serial: serial_text(certificate.raw_serial()),
            node_id: node_id(&certificate),
            subject: name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            not_before: seconds(validity.not_before.timestamp()),
            not_after: seconds(validity.not_after.timestamp()),
            public_key: key.subject_public_key.data.to_vec(),
            pin: Pin(Digest::of(key.raw)),
            is_ca: certificate.is_ca(),
        })
    }

    /// The node that the certificate speaks for, when it is one of a node.
    pub(crate) fn identity(self) -> Option<NodeIdentity> {
        let node_id = self.node_id?;
        Some(NodeIdentity { node_id, serial: self.serial, not_after: self.not_after })
    }

    /// When half of the time is over.
    pub(crate) fn half_life(&self) -> Timestamp {
        half_life(self.not_before, self.not_after)
    }
}

pub(crate) fn half_life(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    not_before.plus_millis(not_after.millis_since(not_before) / 2)
}

/// Whether the key of one certificate has signed another; both in DER.
pub(crate) fn has_signed(authority: &[u8], der: &[u8]) -> bool {
    let (Ok((_, authority)), Ok((_, certificate))) =
        (parse_x509_certificate(authority), parse_x509_certificate(der))
    else {
        return false;
    };
    certificate.verify_signature(Some(authority.public_key())).is_ok()
}

/// Parameters with a name, a validity and a random serial number, and nothing else.
pub(crate) fn blank(
    name: &str,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let since_epoch = |at: Timestamp| {
        // Certificates count in seconds.
        Duration::from_secs(u64::try_from(at.as_millis() / 1000).unwrap_or(0))
    };
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_before);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_after);
    let mut serial = [0; SERIAL_LEN];
    rand::fill(&mut serial).map_err(crypto("draw a serial number"))?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// How a node is called in its certificate.
pub(crate) fn node_uri(node_id: &str) -> String {
    format!("{NODE_URI}{node_id}")
}

/// Checks the name of a cluster or the id of a node: it goes into certificates and paths.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), PkiError> {
    if is_name(name) {
        return Ok(());
    }
    let problem = format!("must be 1 to {NAME_LEN_MAX} letters, digits, '-', '_' or '.'");
    Err(PkiError::argument(field, problem))
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// The one node in the alternative names; nothing when there is another name beside it.
fn node_id(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let [GeneralName::URI(uri)] = names.as_slice() else { return None };
    let id = uri.strip_prefix(NODE_URI)?;
    is_name(id).then(|| id.to_owned())
}

/// The number without its sign, in as many digits as were drawn.
fn serial_text(raw: &[u8]) -> String {
    let start = raw.iter().position(|byte| *byte != 0).unwrap_or(raw.len());
    let digits = hex::encode(raw.get(start..).unwrap_or_default());
    format!("{digits:0>width$}", width = 2 * SERIAL_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_has_the_same_text_however_it_is_encoded() {
        assert_eq!(serial_text(&[0, 0xff, 1]), format!("{}ff01", "0".repeat(28)));
        assert_eq!(serial_text(&[0xff, 1]), serial_text(&[0, 0xff, 1]));
        assert_eq!(serial_text(&[0xab; 16]), "ab".repeat(16));
    }

    #[test]
    fn names_fit_certificates_and_paths() {
        for good in ["node-1", "nod_0192", "a.b", &"x".repeat(64)] {
            assert!(check_name("node_id", good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a:b", "ä", "a\n", &"x".repeat(65)] {
            assert!(check_name("node_id", bad).is_err(), "{bad}");
        }
    }
}
