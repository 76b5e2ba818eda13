//! Who may join the fleet: the cluster's authority, and the pilot's books.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use oag_cluster::{Gate, Membership, Peer};
use oag_nodes::{NodesConfig, NodesParts, SecureParts, serve_secure};
use oag_pilot::Pilot;
use oag_pki::command::SigningKey;
use oag_pki::{
    Authority, NodeIdentity, PkiError, Revocations, Revoked, ServerCertificate, server_config,
};
use oag_runtime::{Clock, OnError, Supervisor, TaskKind};
use oag_types::{Code, NodeName, Problem, Tenant, Timestamp};
use rustls::ServerConnection;
use tokio::net::TcpListener;

/// Time between two looks at whether the listener's certificate is half over.
const RENEW_LOOK: Duration = Duration::from_secs(3_600);

/// The way in for nodes of other machines.
pub(crate) struct Door {
    authority: Authority,
    command_key: SigningKey,
    revoked: Revoked,
    certificate: Arc<ServerCertificate>,
    pilot: Arc<Pilot>,
    tenant: Tenant,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    host: Option<String>,
    port: u16,
}

impl Door {
    /// Opens the authority in a folder, and takes over what was revoked.
    pub(crate) async fn open(
        folder: &Path,
        cluster: &str,
        config: &NodesConfig,
        port: u16,
        pilot: &Arc<Pilot>,
        (tenant, clock): (&Tenant, &Arc<dyn Clock>),
    ) -> Result<Arc<Self>> {
        let now = clock.now();
        let authority = Authority::open(folder, cluster, now)?;
        let command_key = SigningKey::open(folder)?;
        let certificate = authority.server_certificate(&names(config), now)?;
        let revoked = Revoked::new();
        let records = pilot.node_records(tenant).await?;
        let all = records.into_iter().flat_map(|record| record.certificates);
        let serials = all
            .filter(|certificate| certificate.revoked_at.is_some() && certificate.not_after > now)
            .map(|certificate| (certificate.serial, certificate.not_after));
        revoked.replace(Revocations { serials: serials.collect(), ..Revocations::default() })?;
        let lifetime = u64::try_from(config.certificate_ms).unwrap_or(0);
        Ok(Arc::new(Self {
            authority,
            command_key,
            revoked,
            certificate,
            pilot: Arc::clone(pilot),
            tenant: tenant.clone(),
            clock: Arc::clone(clock),
            lifetime: Duration::from_millis(lifetime),
            host: config.names.first().cloned(),
            port,
        }))
    }

    /// Serves the port for nodes.
    pub(crate) fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        nodes: NodesParts,
        supervisor: &Supervisor,
    ) -> Result<()> {
        let (certificate, clock) = (Arc::clone(&self.certificate), Arc::clone(&self.clock));
        let mut tls = server_config(&self.authority, certificate, &self.revoked, clock)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let gate = Arc::clone(self) as Arc<dyn Gate>;
        let parts = SecureParts { nodes, gate, tls: Arc::new(tls), peer: Arc::new(peer) };
        let shutdown = supervisor.shutdown().clone();
        let serve = serve_secure(listener, parts, shutdown);
        supervisor.spawn("nodes", TaskKind::Drains, OnError::Shutdown, serve);
        let door = Arc::clone(self);
        let renew = async move {
            loop {
                tokio::time::sleep(RENEW_LOOK).await;
                let now = door.clock.now();
                door.revoked.prune(now);
                if now >= door.certificate.half_life() {
                    door.certificate.renew(&door.authority, now)?;
                }
            }
            #[expect(unreachable_code, reason = "gives the task its type")]
            Ok::<(), PkiError>(())
        };
        supervisor.spawn("certificate of nodes", TaskKind::Intake, OnError::Shutdown, renew);
        Ok(())
    }

    async fn issue(&self, node: &NodeName, request: &str) -> Result<Membership, Problem> {
        let now = self.clock.now();
        let issued = self.authority.issue(request, node.as_str(), now, self.lifetime);
        let issued =
            issued.map_err(|error| Problem::new(Code::INVALID_INPUT, error.to_string()))?;
        let NodeIdentity { serial, not_after, .. } = &issued.identity;
        self.pilot.note_certificate(&self.tenant, node, serial, *not_after).await?;
        let bundle = self.authority.bundle(self.command_key.public());
        let bundle = serde_json::to_value(bundle).unwrap_or_default();
        Ok(Membership { certificate: issued.certificate_pem, bundle })
    }
}

#[async_trait]
impl Gate for Door {
    fn authority(&self) -> String {
        self.authority.ca_pem().to_owned()
    }

    fn address(&self) -> (Option<String>, u16) {
        (self.host.clone(), self.port)
    }

    fn pass(&self, secret: &str) -> String {
        format!("{secret}.{}", self.authority.pin())
    }

    async fn enrol(
        &self,
        token: &str,
        node: &NodeName,
        request: &str,
    ) -> Result<Membership, Problem> {
        self.pilot.redeem_node_token(&self.tenant, token, node).await?;
        self.issue(node, request).await
    }

    async fn renew(&self, peer: &Peer, request: &str) -> Result<Membership, Problem> {
        self.issue(&peer.node, request).await
    }

    fn revoked(&self, certificates: &[(String, Timestamp)]) {
        for (serial, until) in certificates {
            if let Err(error) = self.revoked.revoke_serial(serial, *until) {
                tracing::error!(%error, serial, "certificate not revoked in this process");
            }
        }
    }

    fn over(&self, peer: Peer) -> Pin<Box<dyn Future<Output = &'static str> + Send>> {
        let (revoked, clock) = (self.revoked.clone(), Arc::clone(&self.clock));
        Box::pin(async move {
            let Peer { node, serial, not_after } = peer;
            let left = not_after.as_millis().saturating_sub(clock.now().as_millis());
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
            let identity = NodeIdentity { node_id: node.as_str().to_owned(), serial, not_after };
            tokio::select! {
                () = revoked.wait(&identity) => "the certificate was revoked",
                () = tokio::time::sleep(left) => "the certificate is over",
            }
        })
    }
}

fn peer(connection: &ServerConnection) -> Option<Peer> {
    let NodeIdentity { node_id, serial, not_after } = oag_pki::peer(connection)?;
    Some(Peer { node: NodeName::try_from(node_id).ok()?, serial, not_after })
}

/// The names of the listener: those that are configured, and those of this machine.
fn names(config: &NodesConfig) -> Vec<String> {
    let mut names = config.names.clone();
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    for name in [host.as_str(), "localhost", "127.0.0.1", "::1"] {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Binds the port for nodes, when there is one.
pub(crate) async fn bind(config: &NodesConfig) -> Result<Option<TcpListener>> {
    let Some(address) = &config.listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    let text = || format!("cannot listen on {address} for nodes (nodes.listen): is it taken?");
    listener.with_context(text).map(Some)
}
