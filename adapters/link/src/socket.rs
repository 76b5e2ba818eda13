//! Sessions over WebSocket.

use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use oag_cluster::protocol::{FromNode, Hello, MESSAGE_BYTES_MAX, ToNode};
use oag_cluster::{Dial, DialError, Wire};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::address::Controller;
use crate::secure::of_chain;

/// How long a connection may take to stand.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes read at once; an idle node keeps a buffer of this size.
const READ_BYTES: usize = 4_096;
/// Bytes of a refusal that are shown.
const REASON_CHARS_MAX: usize = 300;

/// Connects without TLS, to a controller on the same machine.
#[derive(Debug, Clone)]
pub struct SocketDial {
    controller: Controller,
}

impl SocketDial {
    /// To a controller.
    #[must_use]
    pub const fn new(controller: Controller) -> Self {
        Self { controller }
    }
}

#[async_trait]
impl Dial for SocketDial {
    async fn dial(&self, hello: Hello) -> Result<Wire, DialError> {
        let url = self.controller.socket_url();
        let connect = async {
            let address = (self.controller.host(), self.controller.port());
            let stream = TcpStream::connect(address).await.map_err(away)?;
            stream.set_nodelay(true).map_err(away)?;
            open(&url, stream).await
        };
        let socket = tokio::time::timeout(PATIENCE, connect).await;
        let socket = socket.map_err(|_| away("it does not answer"))??;
        begin(socket, &hello).await
    }
}

/// Makes a WebSocket of a stream.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    url: &str,
    stream: S,
) -> Result<WebSocketStream<S>, DialError> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    match client_async_with_config(url, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            let said: String =
                String::from_utf8_lossy(body).trim().chars().take(REASON_CHARS_MAX).collect();
            let text = if said.is_empty() { status.to_string() } else { said };
            if status.is_client_error() && status.as_u16() != 429 {
                return Err(DialError::Refused(text));
            }
            Err(DialError::Away(text))
        }
        Err(error) => Err(of_chain(&error)),
    }
}

/// Says hello and makes the messages of both sides ready.
pub(crate) async fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut socket: WebSocketStream<S>,
    hello: &Hello,
) -> Result<Wire, DialError> {
    socket.send(Message::Text(hello.to_text().into())).await.map_err(away)?;
    let (told, said) = socket.split();
    let said = said.filter_map(async |message| match message {
        Ok(Message::Text(text)) => Some(
            ToNode::from_text(&text)
                .map_err(|error| format!("the controller said something else: {error}")),
        ),
        Ok(_) => None,
        Err(error) => Some(Err(error.to_string())),
    });
    let told = told
        .sink_map_err(|error| error.to_string())
        .with(async |message: FromNode| Ok::<_, String>(Message::Text(message.to_text().into())));
    Ok(Wire { said: said.boxed(), told: Box::pin(told) })
}

fn away(error: impl std::fmt::Display) -> DialError {
    DialError::Away(error.to_string())
}
