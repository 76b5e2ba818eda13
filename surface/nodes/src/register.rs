//! `/register` on the main port: sessions from this machine, and for others where to go.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, FORWARDED, HOST, HeaderName, ORIGIN, VIA};
use http::uri::Authority;
use http::{HeaderMap, Request, StatusCode};
use oag_cluster::protocol::PROTOCOL;
use oag_cluster::{Cluster, Frame, Gate};
use oag_runtime::ShutdownHandle;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic::Status;

use crate::converse::Terms;
use crate::{socket, stream};

/// Time between two looks at whether work in hand has come to its end.
const LOOK: Duration = Duration::from_millis(100);
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Settings of where nodes come in, section `nodes` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodesConfig {
    /// Whether processes on this machine may join without a certificate.
    pub loopback: bool,
    /// The address of the port for nodes with certificates, such as `0.0.0.0:8443`; none: nodes of
    /// other machines cannot join.
    pub listen: Option<String>,
    /// Host names and addresses by which nodes reach that port, beside those of this machine. The
    /// first is told to nodes that ask where to go.
    pub names: Vec<String>,
    /// How long a node's certificate is good, in milliseconds; at most a day. It is renewed at half
    /// of that.
    pub certificate_ms: i64,
    /// Connections to that port at once.
    pub connections_max: usize,
    /// An inventory as Ansible has it, which says what role and groups nodes have; none: nodes say
    /// so themselves.
    pub inventory: Option<PathBuf>,
    /// Whether nodes may report samples of services: decisions about these then rest on what any
    /// node says.
    pub report_services: bool,
}

impl Default for NodesConfig {
    fn default() -> Self {
        Self {
            loopback: true,
            listen: None,
            names: Vec::new(),
            certificate_ms: 24 * 3_600_000,
            connections_max: 16_384,
            inventory: None,
            report_services: false,
        }
    }
}

/// What the routes for nodes are made of.
#[derive(Clone)]
pub struct NodesParts {
    /// The fleet that nodes join.
    pub cluster: Cluster,
    /// Settings.
    pub config: NodesConfig,
    /// Lets nodes of other machines in; none where there is no port for them.
    pub gate: Option<Arc<dyn Gate>>,
    /// When to stop.
    pub shutdown: ShutdownHandle,
}

/// The routes on the main port. The connection's address must be among the extensions of requests,
/// as [`ConnectInfo`].
pub fn plain(parts: NodesParts) -> Router {
    Router::new()
        .route("/register", get(register))
        .route(Frame::SESSION, post(open_stream))
        .with_state(parts)
}

async fn register(
    State(parts): State<NodesParts>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let told = told(&parts, &headers).to_string();
        return ([(CONTENT_TYPE, "application/json")], told).into_response();
    };
    match refused(&parts.config, peer, &headers) {
        Some(why) => {
            tracing::warn!(%peer, why, "session of a node refused");
            (StatusCode::FORBIDDEN, format!("{why}\n")).into_response()
        }
        None => socket::session(upgrade, parts.cluster, Terms::none()),
    }
}

async fn open_stream(
    State(parts): State<NodesParts>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response {
    if let Some(why) = refused(&parts.config, peer, request.headers()) {
        tracing::warn!(%peer, why, "session of a node refused");
        return stream::refuse(&Status::permission_denied(why));
    }
    let over = Box::pin(drained(parts.cluster.clone(), parts.shutdown));
    stream::session(request, parts.cluster, Terms { name: None, over }, Arc::default()).await
}

/// The main port waits for its connections when it drains, and a session is a part of one. It ends
/// when nobody needs its node any more.
async fn drained(cluster: Cluster, shutdown: ShutdownHandle) -> &'static str {
    shutdown.draining().await;
    while cluster.figures().open > 0 {
        tokio::time::sleep(LOOK).await;
    }
    "the controller stops"
}

/// What a node of another machine is told: the authority, and where to go. It believes neither
/// before it has compared the authority with its pin.
fn told(parts: &NodesParts, headers: &HeaderMap) -> Value {
    let Some(gate) = &parts.gate else { return json!({ "protocol": PROTOCOL }) };
    let (host, port) = gate.address();
    let asked = || {
        let host = headers.get(HOST)?.to_str().ok()?;
        let host = host.parse::<Authority>().ok()?;
        Some(host.host().to_owned())
    };
    let host = host.or_else(asked).unwrap_or_else(|| "localhost".to_owned());
    json!({
        "protocol": PROTOCOL, "authority": gate.authority(), "address": format!("{host}:{port}"),
    })
}

/// Why somebody may not open a session without a certificate.
fn refused(config: &NodesConfig, peer: SocketAddr, headers: &HeaderMap) -> Option<&'static str> {
    let passed_on = [X_FORWARDED_FOR, FORWARDED, VIA].iter().any(|name| headers.contains_key(name));
    if !peer.ip().to_canonical().is_loopback() || passed_on {
        return Some("without a certificate nodes join from the controller's own machine only");
    }
    // A page in a browser on this machine is not this machine.
    if headers.contains_key(ORIGIN) {
        return Some("sessions are not for browsers");
    }
    (!config.loopback).then_some("nodes need a certificate here (nodes.loopback is false)")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_processes_on_this_machine_need_no_certificate() {
        let none = HeaderMap::new();
        let here = "127.0.0.1:9".parse().unwrap();
        let config = NodesConfig::default();
        assert_eq!(refused(&config, here, &none), None);
        assert_eq!(refused(&config, "[::ffff:127.0.0.1]:9".parse().unwrap(), &none), None);
        assert!(refused(&config, "10.0.0.7:9".parse().unwrap(), &none).is_some());
        let closed = NodesConfig { loopback: false, ..NodesConfig::default() };
        assert!(refused(&closed, here, &none).is_some());
        for name in [X_FORWARDED_FOR, FORWARDED, VIA, ORIGIN] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            assert!(refused(&config, here, &headers).is_some(), "{headers:?}");
        }
    }
}
