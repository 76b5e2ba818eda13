//! A cluster on loopback, and clients that do what no honest node would.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oag_pki::command::SigningKey;
use oag_pki::{
    Authority, Identity, IdentityStore, Issued, NodeIdentity, Revoked, ServerCertificate, peer,
    server_config,
};
use oag_runtime::{Clock, FakeClock, SystemClock};
use oag_types::Timestamp;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const NAME: &str = "controller.test";

/// A controller: its authority, its listener's certificate, who is revoked, and its clock.
pub(crate) struct Cluster {
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) certificate: Arc<ServerCertificate>,
    pub(crate) revoked: Revoked,
    pub(crate) clock: FakeClock,
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // The real time to start with: some clients of the tests have a clock of their own.
        let clock = FakeClock::at(SystemClock::new().now());
        let authority = Authority::open(folder.path(), name, clock.now())?;
        let names = [NAME, "127.0.0.1"].map(str::to_owned);
        let certificate = authority.server_certificate(&names, clock.now())?;
        Ok(Self { folder, authority, certificate, revoked: Revoked::new(), clock })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    pub(crate) fn server(&self) -> Result<ServerConfig> {
        let certificate = Arc::clone(&self.certificate);
        Ok(server_config(&self.authority, certificate, &self.revoked, self.clock())?)
    }

    /// A node that has enrolled, with a certificate for an hour.
    pub(crate) fn node(&self, id: &str) -> Result<Identity> {
        self.enrol(&IdentityStore::open(&self.folder.path().join(id))?, id)
    }

    pub(crate) fn enrol(&self, store: &IdentityStore, id: &str) -> Result<Identity> {
        let request = store.new_key_and_csr()?;
        let issued = self.authority.issue(request.csr_pem(), id, self.now(), HOUR)?;
        let bundle = self.authority.bundle(SigningKey::open(self.folder.path())?.public());
        Ok(store.install(request, &issued.certificate_pem, bundle)?)
    }

    /// A certificate of this authority, with its key.
    pub(crate) fn issue(&self, id: &str) -> Result<(Issued, KeyPair)> {
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?.pem()?;
        Ok((self.authority.issue(&request, id, self.now(), HOUR)?, key))
    }

    /// What someone with the authority's key could sign, that the authority never does.
    pub(crate) fn forge(&self, params: &CertificateParams) -> Result<(String, KeyPair)> {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name));
        let issuer =
            Issuer::from_ca_cert_pem(&read("ca.pem")?, KeyPair::from_pem(&read("ca.key")?)?)?;
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &issuer)?.pem(), key))
    }

    /// A client that trusts this cluster and shows any certificate.
    pub(crate) fn showing(&self, certificate_pem: &str, key: &KeyPair) -> Result<ClientConfig> {
        let chain = vec![certificate(certificate_pem)?];
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        Ok(builder.with_client_auth_cert(chain, private(key))?)
    }

    pub(crate) fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(self.authority.ca_pem())?)?;
        Ok(roots)
    }
}

pub(crate) fn certificate(pem: &str) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_slice(pem.as_bytes())?)
}

pub(crate) fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}

/// How a connection went. TLS 1.3 has it that a client learns after its handshake that the server
/// did not want it; `answer` is of the first byte that it read.
pub(crate) struct Met {
    pub(crate) node: std::result::Result<Option<NodeIdentity>, rustls::Error>,
    pub(crate) answer: std::result::Result<(), rustls::Error>,
    pub(crate) group: Option<NamedGroup>,
    pub(crate) kind: Option<HandshakeKind>,
}

/// One connection over loopback, with one byte as answer.
pub(crate) async fn meet(server: &ServerConfig, client: &ClientConfig, name: &str) -> Result<Met> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(Arc::new(server.clone()));
    let connector = TlsConnector::from(Arc::new(client.clone()));
    let name = ServerName::try_from(name.to_owned())?;
    let serve = async {
        let (tcp, _) = listener.accept().await?;
        let mut stream = match acceptor.accept(tcp).await {
            Ok(stream) => stream,
            Err(error) => return tls_error(error).map(|error| (Err(error), None, None)),
        };
        let state = stream.get_ref().1;
        let group = state.negotiated_key_exchange_group().map(|group| group.name());
        let (node, kind) = (peer(state), state.handshake_kind());
        stream.write_all(b"x").await?;
        stream.shutdown().await?;
        Ok::<_, Box<dyn Error>>((Ok(node), group, kind))
    };
    let call = async {
        let tcp = TcpStream::connect(address).await?;
        let answer = async { connector.connect(name, tcp).await?.read_u8().await };
        match answer.await {
            Ok(_) => Ok::<_, Box<dyn Error>>(Ok(())),
            Err(error) => tls_error(error).map(Err),
        }
    };
    let both = async { tokio::join!(serve, call) };
    let (served, called) = tokio::time::timeout(Duration::from_secs(20), both).await?;
    let (node, group, kind) = served?;
    Ok(Met { node, answer: called?, group, kind })
}

/// What TLS said, when it was TLS.
fn tls_error(error: std::io::Error) -> Result<rustls::Error> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.cloned().ok_or_else(|| error.into())
}

pub(crate) fn mode(path: &Path) -> Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

/// A request for a certificate, with all that a node could wish to be.
pub(crate) fn request(params: &CertificateParams, key: &impl rcgen::SigningKey) -> Result<String> {
    Ok(params.serialize_request(key)?.pem()?)
}
