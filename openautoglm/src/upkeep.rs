//! What goes on beside requests and plans: old plans expire, checkpoints are signed, and changes of
//! circuit breakers are written down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use oag_pilot::Pilot;
use oag_runtime::ShutdownHandle;
use oag_types::{Problem, ServiceName, Tenant};

const EVERY: Duration = Duration::from_secs(1);

/// Goes round once a second, and once more at the end, when the last checkpoint is signed.
pub(crate) async fn run(
    pilot: Arc<Pilot>,
    tenant: Tenant,
    shutdown: ShutdownHandle,
) -> Result<(), Problem> {
    let mut breakers = HashMap::new();
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = shutdown.draining() => true,
        };
        if !ended && let Err(error) = watch_breakers(&pilot, &tenant, &mut breakers).await {
            tracing::warn!(%error, "breakers not watched");
        }
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

/// Each change of a breaker stands on the ledger, whoever or whatever made it.
async fn watch_breakers(
    pilot: &Pilot,
    tenant: &Tenant,
    seen: &mut HashMap<ServiceName, String>,
) -> Result<(), Problem> {
    for service in pilot.all_services(tenant).await? {
        let service = service.value;
        let Ok(state) = pilot.state_of(tenant, &service).await else { continue };
        let Some(now) = state.text("breaker") else { continue };
        let before = seen.insert(service.name.clone(), now.to_owned());
        let before = before.unwrap_or_else(|| "closed".to_owned());
        if before != now {
            let snapshot = state.text("breaker_snapshot").unwrap_or_default();
            pilot.breaker_changed(tenant, &service.name, &before, now, snapshot).await?;
        }
    }
    Ok(())
}
