//! Sessions over gRPC.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::mpsc;
use futures::{Sink, SinkExt, Stream, StreamExt, stream};
use http::Uri;
use http::uri::PathAndQuery;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use oag_cluster::protocol::{FromNode, Hello, ToNode};
use oag_cluster::{Dial, DialError, Frame, Wire};
use oag_runtime::{OnError, Supervisor, TaskKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::address::Controller;
use crate::secure::{SecureAddress, TlsOf, away};
use crate::witness::{Seen, Witness};

/// How long a connection may take to stand.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two pings, which have to be answered within [`PATIENCE`].
const PING: Duration = Duration::from_secs(30);
/// Bytes that a controller may have under way before they are read.
const WINDOW_BYTES: u32 = 256 << 10;
/// Frames that wait for the connection; more wait where they come from.
const WAITING_MAX: usize = 64;

/// Connects over HTTP/2: with the node's certificate, or without TLS to a controller on the same
/// machine.
pub struct StreamDial {
    to: To,
    supervisor: Supervisor,
}

enum To {
    Plain(Controller),
    Secure(SecureAddress, TlsOf),
}

impl StreamDial {
    /// To a controller on the same machine. Connections run under the supervisor.
    #[must_use]
    pub const fn plain(controller: Controller, supervisor: Supervisor) -> Self {
        Self { to: To::Plain(controller), supervisor }
    }

    /// To a controller's port for nodes. Connections run under the supervisor.
    #[must_use]
    pub const fn secure(address: SecureAddress, tls: TlsOf, supervisor: Supervisor) -> Self {
        Self { to: To::Secure(address, tls), supervisor }
    }

    async fn open(&self, hello: &Hello) -> Result<Wire, DialError> {
        match &self.to {
            To::Plain(controller) => {
                let address = (controller.host(), controller.port());
                let stream = TcpStream::connect(address).await.map_err(away)?;
                stream.set_nodelay(true).map_err(away)?;
                let at = SecureAddress::new(controller.host(), controller.port());
                self.begin(stream, origin("http", &at)?, hello).await
            }
            To::Secure(address, tls) => {
                let mut tls = tls().map_err(away)?;
                tls.alpn_protocols = vec![b"h2".to_vec()];
                let stream = address.connect(Arc::new(tls)).await?;
                self.begin(stream, origin("https", address)?, hello).await
            }
        }
    }

    /// Makes a session of a stream, and says hello.
    async fn begin<S>(&self, stream: S, origin: Uri, hello: &Hello) -> Result<Wire, DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let hello = Frame::from(hello.to_text());
        // The server looks at the certificate after the client has finished: a refusal is heard
        // when the answer is read, and HTTP/2 passes on no more than its text.
        let (stream, seen) = Witness::new(stream);
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PATIENCE)
            .initial_connection_window_size(WINDOW_BYTES)
            .initial_stream_window_size(WINDOW_BYTES)
            .handshake::<_, Body>(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(away)?;
        let run = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the controller broke");
            }
            Ok::<_, Infallible>(())
        };
        self.supervisor.spawn("connection", TaskKind::Drains, OnError::Log, run);
        let service = tower::service_fn(move |request| sender.clone().send_request(request));
        let mut grpc =
            Grpc::with_origin(service, origin).max_decoding_message_size(Frame::BYTES_MAX);
        grpc.ready().await.map_err(away)?;
        let (told, frames) = mpsc::channel(WAITING_MAX);
        let frames = stream::iter([hello]).chain(frames);
        let path = PathAndQuery::from_static(Frame::SESSION);
        let codec = ProstCodec::<Frame, Frame>::default();
        let answer = grpc.streaming(Request::new(frames), path, codec).await;
        let said = answer.map_err(|status| seen.refusal().unwrap_or_else(|| meant(&status)))?;
        Ok(wire(said.into_inner(), told, seen))
    }
}

#[async_trait]
impl Dial for StreamDial {
    async fn dial(&self, hello: Hello) -> Result<Wire, DialError> {
        let opened = tokio::time::timeout(PATIENCE, self.open(&hello)).await;
        opened.map_err(|_| away("it does not answer"))?
    }
}

/// What the controller says. Both halves of a wire read it: the one that speaks, at its end.
#[derive(Clone)]
struct Said {
    frames: Arc<Mutex<Streaming<Frame>>>,
    seen: Seen,
}

impl Stream for Said {
    type Item = Result<ToNode, String>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ready!(frames.poll_next_unpin(cx));
        let why = |status: Status| match self.seen.refusal() {
            Some(refusal) => refusal.to_string(),
            None => status.message().to_owned(),
        };
        let message = |frame: Frame| {
            ToNode::from_text(frame.text()?)
                .map_err(|error| format!("the controller said something else: {error}"))
        };
        Poll::Ready(next.map(|frame| frame.map_err(why).and_then(message)))
    }
}

/// What the controller is told. Closing it waits until the controller has ended the session as
/// well, so that the last word is heard: who just lets go of a stream cancels it.
struct Told {
    frames: mpsc::Sender<Frame>,
    said: Said,
}

impl Sink<FromNode> for Told {
    type Error = String;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.frames.poll_ready(cx).map_err(gone)
    }

    fn start_send(mut self: Pin<&mut Self>, message: FromNode) -> Result<(), String> {
        self.frames.start_send(Frame::from(message.to_text())).map_err(gone)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.frames.poll_flush_unpin(cx).map_err(gone)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        ready!(self.frames.poll_close_unpin(cx)).map_err(gone)?;
        while let Some(Ok(_)) = ready!(self.said.poll_next_unpin(cx)) {}
        Poll::Ready(Ok(()))
    }
}

fn wire(frames: Streaming<Frame>, told: mpsc::Sender<Frame>, seen: Seen) -> Wire {
    let said = Said { frames: Arc::new(Mutex::new(frames)), seen };
    Wire { said: said.clone().boxed(), told: Box::pin(Told { frames: told, said }) }
}

fn gone(_: mpsc::SendError) -> String {
    "the connection is gone".to_owned()
}

fn origin(scheme: &str, address: &SecureAddress) -> Result<Uri, DialError> {
    format!("{scheme}://{address}").parse().map_err(away)
}

/// What a refused call means: who may not come in now, may not later.
fn meant(status: &Status) -> DialError {
    let said: String = status.message().chars().take(300).collect();
    match status.code() {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented
        | Code::InvalidArgument => DialError::Refused(said),
        _ => DialError::Away(said),
    }
}
