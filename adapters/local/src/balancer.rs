//! The listener of a service: accepts connections within a limit and ends them gently.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::LocalError;
use crate::proxy;
use crate::unit::Unit;

/// Serves until the service is forgotten or the product drains; then requests in flight finish.
pub(crate) async fn run(unit: Arc<Unit>, listener: TcpListener) -> Result<(), LocalError> {
    let shutdown = unit.shared.supervisor.shutdown().clone();
    let config = &unit.shared.config;
    let places = Arc::new(Semaphore::new(config.connections_max.max(1)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_timeout_ms))
        .max_buf_size(config.header_bytes_max.max(8 << 10))
        .half_close(true);
    let graceful = GracefulShutdown::new();
    // A set of its own: the supervisor knows the balancer, the balancer its connections.
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = unit.closing.cancelled() => break,
            () = shutdown.draining() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: those in use must be given back first.
                tracing::warn!(service = %unit.name, %error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers must not wait for an acknowledgement; without it they are only slower.
        let _ = stream.set_nodelay(true);
        let serving = Arc::clone(&unit);
        let answer = service_fn(move |request| proxy::handle(Arc::clone(&serving), peer, request));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), answer));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    let grace = Duration::from_millis(config.stop_grace_ms);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(service = %unit.name, "connections were cut off");
    }
    connections.shutdown().await;
    unit.quiet.cancel();
    Ok(())
}
