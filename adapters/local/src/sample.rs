//! A small service for demonstrations and tests: a fixed number of places, a waiting service time,
//! a queue, a slow start and a gentle end.

use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use oag_runtime::{Clock, SystemClock};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How the sample behaves.
#[derive(Debug, Clone)]
pub struct SampleConfig {
    /// Requests worked on at once.
    pub concurrency: usize,
    /// Time a request takes, in milliseconds; spent waiting, a fifth more or less by chance.
    pub service_ms: u64,
    /// Time until it says that it is healthy, in milliseconds.
    pub start_delay_ms: u64,
    /// Requests that wait for a place; more are refused.
    pub queue_max: usize,
    /// Seed of the chance.
    pub seed: u64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { concurrency: 4, service_ms: 50, start_delay_ms: 0, queue_max: 1_000, seed: 1 }
    }
}

struct Sample {
    config: SampleConfig,
    places: Semaphore,
    waiting: AtomicUsize,
    served: AtomicU64,
    clock: SystemClock,
}

/// Serves `/healthz`, `/work`, `/env/NAME` (an environment variable) and `/status/CODE` on the
/// loopback address until it is asked to end; then it finishes what it has begun.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn serve(port: u16, config: SampleConfig) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let line = format!("sample service {} listens on port {port}\n", std::process::id());
    tokio::io::stdout().write_all(line.as_bytes()).await?;
    tokio::io::stdout().flush().await?;
    let sample = Arc::new(Sample {
        places: Semaphore::new(config.concurrency.max(1)),
        waiting: AtomicUsize::new(0),
        served: AtomicU64::new(0),
        clock: SystemClock::new(),
        config,
    });
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let sample = Arc::clone(&sample);
        let service = service_fn(move |request| {
            let sample = Arc::clone(&sample);
            async move { Ok::<_, Infallible>(sample.answer(&request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(graceful.watch(connection));
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

impl Sample {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path == "/healthz" {
            let delay = Duration::from_millis(self.config.start_delay_ms);
            let warm = self.clock.monotonic() >= delay;
            let code = if warm { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            return text(code, if warm { "ready" } else { "starting" });
        }
        if let Some(name) = path.strip_prefix("/env/") {
            return text(StatusCode::OK, std::env::var(name).unwrap_or_default());
        }
        if let Some(code) = path.strip_prefix("/status/") {
            let code = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
            return text(code.unwrap_or(StatusCode::BAD_REQUEST), "as asked");
        }
        self.work().await
    }

    async fn work(&self) -> Response<Full<Bytes>> {
        let waiting = Waiting::one_more(&self.waiting);
        if waiting.before >= self.config.queue_max + self.config.concurrency.max(1) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "full");
        }
        // The semaphore is fair and is never closed.
        let Ok(_place) = self.places.acquire().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "closed");
        };
        let turn = self.served.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.service_time(turn)).await;
        text(StatusCode::OK, std::process::id().to_string())
    }

    /// 80 to 120 % of the configured time, the same for the same seed and turn.
    fn service_time(&self, turn: u64) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.config.seed, turn).hash(&mut hasher);
        let percent = 80 + hasher.finish() % 41;
        Duration::from_micros(self.config.service_ms.saturating_mul(10).saturating_mul(percent))
    }
}

struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    response
}
