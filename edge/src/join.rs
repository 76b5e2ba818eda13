//! How a node comes to its controller: directly on the same machine, with a certificate from
//! elsewhere.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use oag_cluster::{Dial, DialError, Membership};
use oag_link::{
    Controller, SecureAddress, SecureDial, SocketDial, StreamDial, enrol, renew, where_to,
};
use oag_pki::{Bundle, Identity, IdentityStore, Pin, client_config, pinned_config};
use oag_runtime::{Clock, OnError, Supervisor, TaskKind};
use oag_types::NodeName;
use rustls::ClientConfig;

use crate::options::{JoinArgs, Transport};

/// Pauses between two tries to reach a controller that is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The name a node was given, or one of the host and, without a certificate, of the process.
///
/// # Errors
/// When the name is not valid.
pub fn node_name(args: &JoinArgs, controller: &Controller) -> Result<NodeName> {
    if let Some(name) = &args.node_id {
        return Ok(NodeName::try_from(name.clone())?);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let sane = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = host.chars().filter(sane).take(48).collect();
    let host = host.trim_start_matches(['-', '_', '.']);
    let host = if host.is_empty() { "node" } else { host };
    // A certificate is for one name; without one, several nodes of a host differ by themselves.
    let certified = args.token.is_some() || controller.is_secure() || !controller.is_loopback();
    let name = if certified { host.to_owned() } else { format!("{host}-{}", std::process::id()) };
    Ok(NodeName::try_from(name)?)
}

/// The way to the controller; enrols first where that is needed, and keeps the certificate fresh.
/// While the controller is away it is tried again and again: whoever calls decides for how long.
///
/// # Errors
/// When the controller does not take the token, or the identity cannot be read or kept.
pub async fn dial(
    args: &JoinArgs,
    (controller, node): (&Controller, &NodeName),
    clock: &Arc<dyn Clock>,
    supervisor: &Supervisor,
) -> Result<Arc<dyn Dial>> {
    if !controller.is_secure() && controller.is_loopback() && args.token.is_none() {
        return Ok(match args.transport {
            Transport::Websocket => Arc::new(SocketDial::new(controller.clone())),
            Transport::Grpc => Arc::new(StreamDial::plain(controller.clone(), supervisor.clone())),
        });
    }
    let address = if controller.is_secure() {
        controller.secure_address()
    } else {
        patiently("the controller", async || where_to(controller).await).await?
    };
    let folder = identity_folder(args.identity.as_deref(), node)?;
    let store = IdentityStore::open(&folder)?;
    let known = store.identity()?.filter(|identity| identity.node().not_after > clock.now());
    let identity = match known {
        Some(identity) if identity.node().node_id == node.as_str() => identity,
        Some(identity) => bail!(
            "{} holds the certificate of {}; name that node, or another --identity folder",
            folder.display(),
            identity.node().node_id
        ),
        None => join(args, &address, node, &store, clock).await?,
    };
    let present = Arc::new(Mutex::new(identity));
    let (shown, now) = (Arc::clone(&present), Arc::clone(clock));
    let tls = move || {
        let identity = shown.lock().unwrap_or_else(PoisonError::into_inner);
        tls_of(&identity, &now).map_err(|error| error.to_string())
    };
    let renewal = keep_fresh(address.clone(), store, present, Arc::clone(clock));
    supervisor.spawn("certificate", TaskKind::Intake, OnError::Log, renewal);
    Ok(match args.transport {
        Transport::Websocket => Arc::new(SecureDial::new(address, Arc::new(tls))),
        Transport::Grpc => Arc::new(StreamDial::secure(address, Arc::new(tls), supervisor.clone())),
    })
}

/// What the node was given when it enrolled; none where it needs no certificate.
///
/// # Errors
/// When the identity cannot be read.
pub fn bundle(
    args: &JoinArgs,
    (controller, node): (&Controller, &NodeName),
) -> Result<Option<Bundle>> {
    if !controller.is_secure() && controller.is_loopback() && args.token.is_none() {
        return Ok(None);
    }
    let folder = identity_folder(args.identity.as_deref(), node)?;
    let identity = IdentityStore::open(&folder)?.identity()?;
    Ok(identity.map(|identity| identity.bundle().clone()))
}

/// Turns the token into a certificate.
async fn join(
    args: &JoinArgs,
    address: &SecureAddress,
    node: &NodeName,
    store: &IdentityStore,
    clock: &Arc<dyn Clock>,
) -> Result<Identity> {
    let text = args.token.as_deref().context(
        "this node has no certificate: make a token with `openautoglm nodes enrol` and give it \
         with --token",
    )?;
    let (token, pin) = text.split_once('.').context("the token has no pin after its first '.'")?;
    let pin: Pin = pin.parse().context("the pin of the token is not valid")?;
    let request = store.new_key_and_csr()?;
    let given = patiently("the controller", async || {
        let tls = pinned_config(pin, Arc::clone(clock));
        let tls = tls.map_err(|error| DialError::Refused(error.to_string()))?;
        enrol(address, tls, (token, node.as_str(), request.csr_pem())).await
    });
    let Membership { certificate, bundle } = given.await?;
    let bundle: Bundle = serde_json::from_value(bundle).context("the answer is not a bundle")?;
    bundle.check(pin, clock.now())?;
    let identity = store.install(request, &certificate, bundle)?;
    tracing::info!(node = node.as_str(), until = %identity.node().not_after, "enrolled");
    Ok(identity)
}

/// Renews the certificate at half of its time, again and again.
async fn keep_fresh(
    address: SecureAddress,
    store: IdentityStore,
    present: Arc<Mutex<Identity>>,
    clock: Arc<dyn Clock>,
) -> Result<(), std::convert::Infallible> {
    loop {
        let (wait, left) = {
            let identity = present.lock().unwrap_or_else(PoisonError::into_inner);
            let until = |at: oag_types::Timestamp| {
                let millis = at.as_millis().saturating_sub(clock.now().as_millis());
                Duration::from_millis(u64::try_from(millis).unwrap_or(0))
            };
            (until(identity.half_life()), until(identity.node().not_after))
        };
        tokio::time::sleep(wait).await;
        match once(&address, &store, &present, &clock).await {
            Ok(()) => tracing::info!("certificate renewed"),
            Err(error) => {
                tracing::warn!(%error, "certificate not renewed");
                tokio::time::sleep((left / 10).clamp(PAUSES.0, Duration::from_secs(600))).await;
            }
        }
    }
}

async fn once(
    address: &SecureAddress,
    store: &IdentityStore,
    present: &Mutex<Identity>,
    clock: &Arc<dyn Clock>,
) -> Result<()> {
    let tls = {
        let identity = present.lock().unwrap_or_else(PoisonError::into_inner);
        tls_of(&identity, clock)?
    };
    let request = store.new_key_and_csr()?;
    let Membership { certificate, bundle } = renew(address, tls, request.csr_pem()).await?;
    let bundle: Bundle = serde_json::from_value(bundle)?;
    let pin = present.lock().unwrap_or_else(PoisonError::into_inner).pin();
    bundle.check(pin, clock.now())?;
    let identity = store.install(request, &certificate, bundle)?;
    *present.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    Ok(())
}

fn tls_of(identity: &Identity, clock: &Arc<dyn Clock>) -> Result<ClientConfig> {
    Ok(client_config(identity, Arc::clone(clock))?)
}

/// Where the identity of a node is kept: where it is told, or under the user's state directory.
///
/// # Errors
/// When there is no state directory.
pub fn identity_folder(told: Option<&Path>, node: &NodeName) -> Result<PathBuf> {
    if let Some(folder) = told {
        return Ok(folder.to_owned());
    }
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    let state = state.context("there is no state directory: set HOME, or give --identity")?;
    Ok(state.join("openautoglm/nodes").join(node.as_str()))
}

/// Tries again as long as the other side is only away.
async fn patiently<T>(
    what: &str,
    once: impl AsyncFn() -> Result<T, DialError>,
) -> Result<T, DialError> {
    let mut pause = PAUSES.0;
    loop {
        match once().await {
            Err(DialError::Away(why)) => {
                tracing::warn!(what, why, pause_ms = pause.as_millis() as u64, "not reached");
            }
            other => return other,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
