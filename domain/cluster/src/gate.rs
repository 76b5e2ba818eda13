//! Who may join, as the surfaces ask it.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use oag_types::{NodeName, Problem, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a node is given when it joins or renews its certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// Its certificate, in PEM.
    pub certificate: String,
    /// The cluster: its authority and the key of its commands.
    pub bundle: Value,
}

/// A node that has shown its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name in it.
    pub node: NodeName,
    /// Its serial number.
    pub serial: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Lets nodes in, by tokens and certificates.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// The certificate of the cluster's authority, in PEM.
    fn authority(&self) -> String;

    /// The port where nodes come in, and the host when one is configured.
    fn address(&self) -> (Option<String>, u16);

    /// A secret of a token as it is carried to the node: with the pin of the authority.
    fn pass(&self, secret: &str) -> String;

    /// A token for a certificate.
    ///
    /// # Errors
    /// When the token or the request is not good.
    async fn enrol(
        &self,
        token: &str,
        node: &NodeName,
        request: &str,
    ) -> Result<Membership, Problem>;

    /// A certificate for a newer one.
    ///
    /// # Errors
    /// When the request is not good.
    async fn renew(&self, peer: &Peer, request: &str) -> Result<Membership, Problem>;

    /// Certificates that are revoked from now on, with their ends.
    fn revoked(&self, certificates: &[(String, Timestamp)]);

    /// Ends when a certificate is over or revoked.
    fn over(&self, peer: Peer) -> Pin<Box<dyn Future<Output = &'static str> + Send>>;
}
