//! The controller's end: nodes are known by their certificates, and who shows none comes in
//! nameless.

use std::sync::Arc;

use oag_runtime::Clock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, CommonState, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::authority::Authority;
use crate::certificate::{Facts, NodeIdentity};
use crate::error::{PkiError, crypto};
use crate::listener::ServerCertificate;
use crate::revoked::Revoked;
use crate::tls::{Time, VERSIONS, provider, roots};

/// TLS for the port of the nodes. A client certificate is asked for and not required, for nodes
/// that enrol; one that is shown must be of this authority, in force and not revoked, or there is
/// no connection. The protocols to offer (ALPN) are for the caller to set.
///
/// No session is resumed: a resumed one would not look at the certificate again.
///
/// # Errors
/// [`PkiError::Crypto`] when the library refuses.
pub fn server_config(
    authority: &Authority,
    certificate: Arc<ServerCertificate>,
    revoked: &Revoked,
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, PkiError> {
    let provider = provider();
    let roots = Arc::new(roots(authority.certificate())?);
    let inner = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(crypto("check certificates of nodes"))?;
    let verifier = NodeVerifier { inner, revoked: revoked.clone() };
    let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(clock)));
    let builder = builder.with_protocol_versions(VERSIONS).map_err(crypto("speak TLS 1.3"))?;
    let builder = builder.with_client_cert_verifier(Arc::new(verifier));
    let mut config = builder.with_cert_resolver(certificate);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The node at the other end of a connection of [`server_config`] after its handshake; nothing
/// for one that showed no certificate.
#[must_use]
pub fn peer(connection: &CommonState) -> Option<NodeIdentity> {
    let certificate = connection.peer_certificates()?.first()?;
    Facts::read(certificate)?.identity()
}

/// Takes certificates of the authority that name a node which is not revoked.
#[derive(Debug)]
struct NodeVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    revoked: Revoked,
}

impl ClientCertVerifier for NodeVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let identity = Facts::read(end_entity).and_then(Facts::identity);
        let identity = identity.ok_or(CertificateError::ApplicationVerificationFailure)?;
        if self.revoked.current().hold(&identity) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
