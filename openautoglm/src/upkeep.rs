//! What goes on beside requests and plans: old plans expire and checkpoints are signed.

use std::sync::Arc;
use std::time::Duration;

use oag_pilot::Pilot;
use oag_runtime::ShutdownHandle;
use oag_types::{Problem, Tenant};

const EVERY: Duration = Duration::from_secs(1);

/// Goes round once a second, and once more at the end, when the last checkpoint is signed.
pub(crate) async fn run(
    pilot: Arc<Pilot>,
    tenant: Tenant,
    shutdown: ShutdownHandle,
) -> Result<(), Problem> {
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = shutdown.draining() => true,
        };
        if let Err(error) = pilot.expire_plans(&tenant).await {
            tracing::warn!(%error, "plans not expired");
        }
        if let Err(error) = pilot.checkpoint(&tenant, ended).await {
            tracing::warn!(%error, "checkpoint not made");
        }
        if ended {
            return Ok(());
        }
    }
}
