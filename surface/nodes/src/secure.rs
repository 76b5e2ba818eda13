//! The port of nodes: enrolment, renewal and sessions over mutual TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use oag_cluster::{Frame, Gate, Peer};
use oag_runtime::ShutdownHandle;
use oag_types::{ErrorKind, NodeName, Problem};
use rustls::{ServerConfig, ServerConnection};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tower::ServiceExt;

use crate::converse::Terms;
use crate::register::NodesParts;
use crate::stream::IDLE;
use crate::{socket, stream};

/// How long a handshake, or the head of a request, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a request to enrol.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Most bytes of the head of a request over HTTP/2.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// Requests and sessions at once on a connection.
const STREAMS_MAX: u32 = 16;
/// Bytes that a connection, and a stream of it, may have under way before they are read.
const WINDOW_BYTES: u32 = 256 << 10;
/// Time between two pings over HTTP/2, which have to be answered within [`PATIENCE`].
const PING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
const NO_CERTIFICATE: &str = "a certificate is needed here; enrol with a token first";

/// Reads who is at the other end of a connection.
pub type PeerOf = Arc<dyn Fn(&ServerConnection) -> Option<Peer> + Send + Sync>;

/// What the port of nodes is made of.
pub struct SecureParts {
    /// The fleet, and settings.
    pub nodes: NodesParts,
    /// Lets nodes in.
    pub gate: Arc<dyn Gate>,
    /// TLS of the listener.
    pub tls: Arc<ServerConfig>,
    /// Reads the certificate of a connection.
    pub peer: PeerOf,
}

#[derive(Clone)]
struct Shared {
    nodes: NodesParts,
    gate: Arc<dyn Gate>,
}

/// Who is at the other end, when it has shown a certificate.
#[derive(Clone)]
struct Shown(Option<Peer>);

/// A request to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The token, without the pin.
    pub token: String,
    /// How the node calls itself.
    pub node_id: NodeName,
    /// A certificate signing request, in PEM.
    pub request: String,
}

/// A request for a newer certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// A certificate signing request, in PEM.
    pub request: String,
}

/// Serves the port of nodes until the drain begins.
///
/// # Errors
/// Never at present; what goes wrong with one connection ends that connection.
pub async fn serve_secure(
    listener: TcpListener,
    parts: SecureParts,
    shutdown: ShutdownHandle,
) -> std::io::Result<()> {
    let SecureParts { nodes, gate, tls, peer } = parts;
    let places = Arc::new(Semaphore::new(nodes.config.connections_max));
    let acceptor = TlsAcceptor::from(tls);
    let router = router(Shared { nodes, gate });
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = shutdown.draining() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.draining() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                let connection = connection(
                    stream,
                    address,
                    acceptor.clone(),
                    Arc::clone(&peer),
                    router.clone(),
                );
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection of a node not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Sessions go on as long as the process: work in hand comes to its end over them.
    connections.detach_all();
    Ok(())
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    peer: PeerOf,
    router: Router,
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::warn!(%address, %error, "TLS with a node failed");
            return;
        }
        Err(_) => return,
    };
    let shown = Shown(peer(stream.get_ref().1));
    let alive = Arc::new(Notify::new());
    let touched = Arc::clone(&alive);
    let service = service_fn(move |request: Request<Incoming>| {
        touched.notify_one();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(shown.clone());
        request.extensions_mut().insert(Arc::clone(&touched));
        router.clone().oneshot(request)
    });
    let builder = builder();
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%address, error, "connection of a node ended early");
        },
        () = idle(&alive) => tracing::debug!(%address, "connection of a node was idle too long"),
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING))
        .keep_alive_timeout(PATIENCE)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES);
    builder
}

/// Ends when nothing was heard for too long.
async fn idle(alive: &Notify) {
    while tokio::time::timeout(IDLE, alive.notified()).await.is_ok() {}
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/enrol", post(enrol))
        .route("/renew", post(renew))
        .route("/session", get(open_session))
        .route(Frame::SESSION, post(open_stream))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

async fn enrol(State(shared): State<Shared>, body: Bytes) -> Response {
    let asked: EnrolRequest = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let given = shared.gate.enrol(&asked.token, &asked.node_id, &asked.request).await;
    if given.is_ok() {
        tracing::info!(node = asked.node_id.as_str(), "node enrolled");
    }
    answer(given)
}

async fn renew(
    State(shared): State<Shared>,
    Extension(shown): Extension<Shown>,
    body: Bytes,
) -> Response {
    let Shown(Some(peer)) = shown else { return no_certificate() };
    match serde_json::from_slice::<RenewRequest>(&body) {
        Ok(asked) => answer(shared.gate.renew(&peer, &asked.request).await),
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn open_session(
    State(shared): State<Shared>,
    Extension(shown): Extension<Shown>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Shown(Some(peer)) = shown else { return no_certificate() };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let terms = terms(&shared, peer);
    socket::session(upgrade, shared.nodes.cluster, terms)
}

async fn open_stream(
    State(shared): State<Shared>,
    Extension(shown): Extension<Shown>,
    Extension(alive): Extension<Arc<Notify>>,
    request: Request<Body>,
) -> Response {
    let Shown(Some(peer)) = shown else {
        return stream::refuse(&Status::unauthenticated(NO_CERTIFICATE));
    };
    let terms = terms(&shared, peer);
    stream::session(request, shared.nodes.cluster, terms, alive).await
}

fn terms(shared: &Shared, peer: Peer) -> Terms {
    Terms { over: shared.gate.over(peer.clone()), name: Some(peer.node) }
}

fn no_certificate() -> Response {
    refuse(StatusCode::UNAUTHORIZED, NO_CERTIFICATE)
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

fn answer(given: Result<impl Serialize, Problem>) -> Response {
    let problem = match given {
        Ok(given) => {
            let body = serde_json::to_vec(&given).unwrap_or_default();
            return ([(CONTENT_TYPE, "application/json")], body).into_response();
        }
        Err(problem) => problem,
    };
    tracing::warn!(code = %problem.code, detail = problem.detail, "node refused");
    let status = match problem.code.kind {
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    refuse(status, &problem.detail)
}
