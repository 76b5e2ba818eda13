//! Sessions, enrolment and renewal over mutual TLS. Certificates come from the caller.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oag_cluster::protocol::Hello;
use oag_cluster::{Dial, DialError, Membership, Wire};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, Error as TlsError};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::socket::{begin, open};

const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Host and port of a controller's port for nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureAddress {
    host: String,
    port: u16,
}

impl SecureAddress {
    pub(crate) const fn new(host: String, port: u16) -> Self {
        Self { host, port }
    }

    /// From `host:port`, as controllers tell it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then_some(())?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }

    pub(crate) async fn connect(
        &self,
        tls: Arc<ClientConfig>,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let connect = async {
            let name = ServerName::try_from(self.host.clone()).map_err(away)?;
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(away)?;
            stream.set_nodelay(true).map_err(away)?;
            TlsConnector::from(tls).connect(name, stream).await.map_err(|error| of_io(&error))
        };
        let connected = tokio::time::timeout(PATIENCE, connect).await;
        connected.map_err(|_| away("it does not answer"))?
    }
}

impl fmt::Display for SecureAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Gives the TLS of the node's present certificate.
pub type TlsOf = Arc<dyn Fn() -> Result<ClientConfig, String> + Send + Sync>;

/// Connects with the node's certificate.
pub struct SecureDial {
    address: SecureAddress,
    tls: TlsOf,
}

impl SecureDial {
    /// To a controller.
    #[must_use]
    pub const fn new(address: SecureAddress, tls: TlsOf) -> Self {
        Self { address, tls }
    }
}

#[async_trait]
impl Dial for SecureDial {
    async fn dial(&self, hello: Hello) -> Result<Wire, DialError> {
        let mut tls = (self.tls)().map_err(away)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = self.address.connect(Arc::new(tls)).await?;
        let url = format!("ws://{}/session", self.address);
        // The server looks at the certificate after the client has finished: a refusal is heard
        // with the first answer.
        let socket = tokio::time::timeout(PATIENCE, open(&url, stream)).await;
        begin(socket.map_err(|_| away("it does not answer"))??, &hello).await
    }
}

/// Turns a token into a membership. `tls` must have compared the authority with the pin.
///
/// # Errors
/// When the controller is away, or does not take token or request.
pub async fn enrol(
    address: &SecureAddress,
    tls: ClientConfig,
    (token, node_id, request): (&str, &str, &str),
) -> Result<Membership, DialError> {
    let body = json!({ "token": token, "node_id": node_id, "request": request });
    post(address, tls, "/enrol", &body).await
}

/// Asks for a newer certificate. `tls` carries the present one.
///
/// # Errors
/// When the controller is away, or does not renew.
pub async fn renew(
    address: &SecureAddress,
    tls: ClientConfig,
    request: &str,
) -> Result<Membership, DialError> {
    post(address, tls, "/renew", &json!({ "request": request })).await
}

/// What a controller tells those who ask its main port where to go. Nothing of it is believed
/// before the authority was compared with the pin.
///
/// # Errors
/// When the controller is away, or has no port for nodes.
pub async fn where_to(controller: &crate::Controller) -> Result<SecureAddress, DialError> {
    // The address begins with http://: nobody's certificate is looked at.
    let client = reqwest::Client::builder().timeout(PATIENCE).tls_certs_only([]);
    let client = client.build().map_err(away)?;
    let answer = client.get(controller.to_string()).send().await.map_err(away)?;
    let told: Value = answer.json().await.map_err(away)?;
    let address = told.get("address").and_then(Value::as_str).and_then(SecureAddress::parse);
    let none = "it has no port for nodes of other machines (nodes.listen)";
    address.ok_or_else(|| DialError::Refused(none.to_owned()))
}

async fn post(
    address: &SecureAddress,
    mut tls: ClientConfig,
    path: &str,
    body: &(impl Serialize + Sync),
) -> Result<Membership, DialError> {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(away)?;
    let answer = client.post(format!("https://{address}{path}")).json(body).send().await;
    let answer = answer.map_err(|error| of_chain(&error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(away)?;
    if !status.is_success() {
        let said: String = text.trim().chars().take(300).collect();
        let later = status.is_server_error() || status.as_u16() == 429;
        return Err(if later { DialError::Away(said) } else { DialError::Refused(said) });
    }
    if text.len() > ANSWER_BYTES_MAX {
        return Err(away("its answer is too large"));
    }
    serde_json::from_str(&text).map_err(away)
}

/// What a failed connection means: a certificate that is refused stays refused.
fn of_io(error: &std::io::Error) -> DialError {
    refused(error).unwrap_or_else(|| away(error))
}

/// What TLS says in an error or inside it, when it is final.
pub(crate) fn refused(error: &(dyn std::error::Error + 'static)) -> Option<DialError> {
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return refused(io.get_ref()?);
    }
    match error.downcast_ref::<TlsError>()? {
        TlsError::AlertReceived(alert) if is_final(*alert) => {
            Some(DialError::Refused(format!("it does not take the certificate ({alert:?})")))
        }
        TlsError::InvalidCertificate(why) => {
            Some(DialError::Refused(format!("its certificate is not the cluster's: {why}")))
        }
        _ => None,
    }
}

const fn is_final(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRevoked
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
    )
}

/// The error of a connection in a chain of others.
pub(crate) fn of_chain(error: &(dyn std::error::Error + 'static)) -> DialError {
    let mut next = Some(error);
    while let Some(inner) = next {
        if let Some(refused) = refused(inner) {
            return refused;
        }
        next = inner.source();
    }
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        text = format!("{text}: {inner}");
        next = inner.source();
    }
    DialError::Away(text)
}

pub(crate) fn away(error: impl std::fmt::Display) -> DialError {
    DialError::Away(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_told() {
        let of = |text: &str| SecureAddress::parse(text).map(|at| (at.host, at.port));
        assert_eq!(of("a.example:8443"), Some(("a.example".to_owned(), 8443)));
        assert_eq!(of("[::1]:1"), Some(("::1".to_owned(), 1)));
        assert!(["", ":1", "a", "a:b"].into_iter().all(|odd| of(odd).is_none()));
    }
}
