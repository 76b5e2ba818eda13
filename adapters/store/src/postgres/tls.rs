//! TLS to a server: rustls on aws-lc-rs, with the certificates that the address names.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Security;
use crate::SetupError;

/// What makes connections secure; `None` for those in the clear.
pub(super) fn connector(security: &Security) -> Result<Option<MakeRustlsConnect>, SetupError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed = |error: Error| SetupError::Unsupported(format!("TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    let config = match security {
        Security::Clear => return Ok(None),
        Security::Named(file) => builder.with_root_certificates(roots(file)?),
        Security::Encrypted => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName { roots: None, provider })),
        Security::Signed(file) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName {
                roots: Some(roots(file)?),
                provider,
            }))
        }
    };
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Some(MakeRustlsConnect::new(config)))
}

/// The certificates of a file.
fn roots(file: &Path) -> Result<RootCertStore, SetupError> {
    let wrong = |why: String| {
        SetupError::Unsupported(format!("sslrootcert={} is not usable: {why}", file.display()))
    };
    let read = |error: pem::Error| wrong(error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(read)? {
        let added = roots.add(certificate.map_err(read)?);
        added.map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate in PEM form".to_owned()));
    }
    Ok(roots)
}

/// What an operator can do about a handshake that failed, when it is known.
pub(super) fn hint(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(Error::InvalidCertificate(why)) = tls {
            return certificate_hint(why);
        }
        match error.to_string().as_str() {
            "server does not support TLS" => {
                return Some("switch it on there (ssl = on), or say sslmode=disable");
            }
            "no hostname provided for TLS handshake" => {
                return Some("a socket file needs no TLS: say sslmode=disable");
            }
            _ => cause = error.source(),
        }
    }
    None
}

fn certificate_hint(why: &CertificateError) -> Option<&'static str> {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Some("no certificate in sslrootcert has signed the server's")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some("name the server in the address as its certificate does, or say sslmode=verify-ca")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("the server needs a new certificate")
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Some(
            "the server shows an authority's certificate: give it one that the authority signed",
        ),
        _ => None,
    }
}

/// Takes a certificate for any name: any at all, or any that one of the roots has signed. Either
/// way the server must hold its key.
#[derive(Debug)]
struct AnyName {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
