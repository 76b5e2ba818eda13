//! Whether a replica can serve.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpStream;

/// Asks a path, or only connects when there is none.
pub(crate) async fn check(
    client: &Client<HttpConnector, Empty<Bytes>>,
    address: SocketAddr,
    path: Option<&str>,
    timeout: Duration,
) -> Result<(), String> {
    let asked = async {
        let Some(path) = path else {
            return TcpStream::connect(address)
                .await
                .map(drop)
                .map_err(|error| format!("does not accept connections: {error}"));
        };
        let uri = format!("http://{address}{path}");
        let uri = uri.parse().map_err(|_| format!("'{uri}' is not an address"))?;
        let response =
            client.get(uri).await.map_err(|error| match std::error::Error::source(&error) {
                Some(cause) => format!("does not answer {path}: {cause}"),
                None => format!("does not answer {path}: {error}"),
            })?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        Err(format!("answers {path} with {status}"))
    };
    tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| {
        Err(format!("gives no health answer within {} ms", timeout.as_millis()))
    })
}
