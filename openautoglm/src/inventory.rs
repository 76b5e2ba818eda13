//! The inventory of nodes: read at the start, and again whenever its file has changed.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use oag_cluster::{Cluster, Inventory};
use oag_runtime::{OnError, Supervisor, TaskKind};

/// Time between two looks at the file.
const LOOK: Duration = Duration::from_secs(5);

/// Lets an inventory count, and follows its changes. One that is wrong at the start ends the start;
/// one that becomes wrong later is said, and the one before stays.
pub(crate) fn follow(file: &Path, cluster: Cluster, supervisor: &Supervisor) -> Result<()> {
    let mut known = changed_at(file);
    let inventory = read(file)?;
    tracing::info!(hosts = inventory.len(), file = %file.display(), "inventory read");
    cluster.take_inventory(inventory);
    let file = file.to_owned();
    let shutdown = supervisor.shutdown().clone();
    let look = async move {
        while tokio::time::timeout(LOOK, shutdown.draining()).await.is_err() {
            let changed = changed_at(&file);
            if changed == known {
                continue;
            }
            known = changed;
            match again(&file).await {
                Ok(inventory) => {
                    tracing::info!(hosts = inventory.len(), "inventory read again");
                    cluster.take_inventory(inventory);
                }
                Err(error) => tracing::error!(error = format!("{error:#}"), "inventory stays"),
            }
        }
        Ok::<(), Infallible>(())
    };
    supervisor.spawn("inventory", TaskKind::Intake, OnError::Log, look);
    Ok(())
}

async fn again(file: &Path) -> Result<Inventory> {
    let file: PathBuf = file.to_owned();
    tokio::task::spawn_blocking(move || read(&file)).await?
}

fn read(file: &Path) -> Result<Inventory> {
    let named = || format!("the inventory {} (nodes.inventory) cannot be used", file.display());
    let text = std::fs::read_to_string(file).with_context(named)?;
    Inventory::parse(&text).with_context(named)
}

fn changed_at(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|found| found.modified()).ok()
}
