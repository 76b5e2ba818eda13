//! The node's own port: probes and figures, over HTTP/1.1.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::state::State;

/// How long a connection may be without the head of a request.
const IDLE: Duration = Duration::from_secs(60);
/// Most bytes of a head. A connection holds a buffer of at least 8 KiB once it has said something.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Pause after a connection that could not be accepted, as when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const FIGURES: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the port has done.
#[derive(Debug, Default)]
pub(crate) struct PortCounts {
    /// Requests that were answered.
    pub(crate) requests: AtomicU64,
    /// Connections that are open.
    pub(crate) open: AtomicU64,
}

/// Listens, before anything else is done.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is it taken? Choose another with --listen")
    })
}

/// Answers until it is dropped; at most so many connections at once.
pub(crate) async fn serve(
    listener: TcpListener,
    connections_max: usize,
    state: Arc<State>,
) -> Result<(), Infallible> {
    let places = Arc::new(Semaphore::new(connections_max));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(TokioIo::new(stream), Arc::clone(&state));
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn connection(
    stream: TokioIo<tokio::net::TcpStream>,
    state: Arc<State>,
) -> impl Future<Output = ()> + Send {
    let counted = Arc::clone(&state);
    let service = service_fn(move |request| {
        let answer = answer(&state, &request);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(stream, service);
    async move {
        counted.port.open.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = served.await {
            tracing::debug!(%error, "connection ended early");
        }
        counted.port.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer<B>(state: &State, request: &Request<B>) -> Response<Full<Bytes>> {
    state.port.requests.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path();
    if !matches!(path, "/health/live" | "/health/ready" | "/metrics") {
        let known = "here are /health/live, /health/ready and /metrics\n";
        return with(StatusCode::NOT_FOUND, TEXT, known.to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = with(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".to_owned());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/metrics" => with(StatusCode::OK, FIGURES, state.metrics.encode()),
        "/health/ready" => health(state.why_not_ready()),
        _ => health(None),
    }
}

fn health(trouble: Option<&'static str>) -> Response<Full<Bytes>> {
    let controller = json!({ "name": "controller", "ok": trouble.is_none(), "detail": trouble });
    let (status, word) = match trouble {
        None => (StatusCode::OK, "ok"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    with(status, JSON, json!({ "status": word, "components": [controller] }).to_string())
}

fn with(status: StatusCode, kind: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::alone;

    fn ask(state: &State, method: Method, path: &str) -> Response<Full<Bytes>> {
        answer(state, &Request::builder().method(method).uri(path).body(()).unwrap())
    }

    #[test]
    fn probes_and_figures_are_answered_and_nothing_else() {
        let state = alone();
        let status = |method, path| ask(&state, method, path).status().as_u16();
        assert_eq!(status(Method::GET, "/health/live"), 200);
        assert_eq!(status(Method::GET, "/health/ready"), 503, "no controller knows it yet");
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        assert_eq!(status(Method::GET, "/"), 404);
        let text = state.metrics.encode();
        assert!(text.contains("openautoglm_edge_port_requests_total 5"), "{text}");
    }
}
