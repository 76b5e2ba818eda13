//! A listener with a cluster's TLS and one small answer over HTTP, to be looked at with programs
//! that are not ours. It writes its address and the authority's pin, and answers until it is ended:
//! `cargo run -p oag-pki --example listener`.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use oag_pki::{Authority, Revoked, peer, server_config};
use oag_runtime::SystemClock;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long one connection may take; they are answered one after the other.
const CONNECTION_LIMIT: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let clock = SystemClock::shared();
    let authority = Authority::open(folder.path(), "example", clock.now())?;
    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let certificate = authority.server_certificate(&names, clock.now())?;
    let config: ServerConfig = server_config(&authority, certificate, &Revoked::new(), clock)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, pin) = (listener.local_addr()?, authority.pin());
    writeln!(std::io::stdout(), "https://{address} {pin}")?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let said = match tokio::time::timeout(CONNECTION_LIMIT, answer(&acceptor, tcp)).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "nothing was asked".to_owned(),
        };
        writeln!(std::io::stderr(), "{said}")?;
    }
}

async fn answer(acceptor: &TlsAcceptor, tcp: TcpStream) -> Result<String, std::io::Error> {
    let mut stream = acceptor.accept(tcp).await?;
    let state = stream.get_ref().1;
    let group = state.negotiated_key_exchange_group().map(|group| group.name());
    let said = format!("keys exchanged by {group:?}, node {:?}", peer(state));
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await?;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n";
    let text = format!("{head}content-length: {}\r\n\r\n{said}", said.len());
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(said)
}
