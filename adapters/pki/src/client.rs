//! The node's end: with a certificate to its own cluster, and with a pin to the one it enrols in.

use std::sync::Arc;

use oag_runtime::Clock;
use oag_types::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    Resumption, WantsClientCert, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor,
    verify_server_name,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use crate::bundle::{Pin, is_authority};
use crate::certificate::Facts;
use crate::error::{PkiError, crypto};
use crate::identity::Identity;
use crate::tls::{Time, VERSIONS, provider, roots};

/// TLS from a node that has enrolled to the controller of its cluster. After a rotation a new one
/// is made, for new connections. The protocols to offer (ALPN) are for the caller to set.
///
/// # Errors
/// [`PkiError::Crypto`] when the library refuses.
pub fn client_config(identity: &Identity, clock: Arc<dyn Clock>) -> Result<ClientConfig, PkiError> {
    let provider = provider();
    let roots = Arc::new(roots(&identity.bundle().certificate()?)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(crypto("check the controller's certificate"))?;
    let config = builder(provider, verifier, clock)?
        .with_client_auth_cert(vec![identity.certificate()], identity.key())
        .map_err(crypto("show the node's certificate"))?;
    Ok(without_resumption(config))
}

/// TLS from a node that enrols: the controller must show an authority with the key of the pin,
/// and a certificate of that authority for the name or address that was asked. Whatever else the
/// machine trusts does not count.
///
/// # Errors
/// [`PkiError::Crypto`] when the library refuses.
pub fn pinned_config(pin: Pin, clock: Arc<dyn Clock>) -> Result<ClientConfig, PkiError> {
    let provider = provider();
    let verifier = Arc::new(PinVerifier { pin, provider: Arc::clone(&provider) });
    let config = builder(provider, verifier, clock)?.with_no_client_auth();
    Ok(without_resumption(config))
}

fn builder(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    clock: Arc<dyn Clock>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, PkiError> {
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Time(clock)));
    let builder = builder.with_protocol_versions(VERSIONS).map_err(crypto("speak TLS 1.3"))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

/// Takes a server whose authority has one key, and no other.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    /// The authority of the pin among what the server shows beside its own certificate.
    fn authority(&self, shown: &[CertificateDer<'_>], now: Timestamp) -> Option<RootCertStore> {
        let pinned = |der: &&CertificateDer<'_>| {
            Facts::read(der)
                .is_some_and(|facts| facts.pin == self.pin && is_authority(der, &facts, now))
        };
        roots(shown.iter().find(pinned)?).ok()
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let millis = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000);
        let roots = self
            .authority(intermediates, Timestamp::from_millis(millis))
            .ok_or(CertificateError::UnknownIssuer)?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, algorithms)?;
        verify_server_name(&certificate, server_name)?;
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
