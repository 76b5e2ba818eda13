//! `/register` on the main port: sessions from this machine, and for others where to go.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, FORWARDED, HeaderName, ORIGIN, VIA};
use http::{HeaderMap, StatusCode};
use oag_cluster::Cluster;
use oag_cluster::protocol::PROTOCOL;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::socket::session;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Settings of where nodes come in, section `nodes` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodesConfig {
    /// Whether processes on this machine may join without a certificate.
    pub loopback: bool,
}

impl Default for NodesConfig {
    fn default() -> Self {
        Self { loopback: true }
    }
}

/// What the routes for nodes are made of.
#[derive(Clone)]
pub struct NodesParts {
    /// The fleet that nodes join.
    pub cluster: Cluster,
    /// Settings.
    pub config: NodesConfig,
}

/// The routes on the main port. The connection's address must be among the extensions of requests,
/// as [`ConnectInfo`].
pub fn plain(parts: NodesParts) -> Router {
    Router::new().route("/register", get(register)).with_state(parts)
}

async fn register(
    State(parts): State<NodesParts>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let told = json!({ "protocol": PROTOCOL }).to_string();
        return ([(CONTENT_TYPE, "application/json")], told).into_response();
    };
    match refused(&parts.config, peer, &headers) {
        Some(why) => {
            tracing::warn!(%peer, why, "session of a node refused");
            (StatusCode::FORBIDDEN, format!("{why}\n")).into_response()
        }
        None => session(upgrade, parts.cluster, None),
    }
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
        assert!(refused(&NodesConfig { loopback: false }, here, &none).is_some());
        for name in [X_FORWARDED_FOR, FORWARDED, VIA, ORIGIN] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            assert!(refused(&config, here, &headers).is_some(), "{headers:?}");
        }
    }
}
