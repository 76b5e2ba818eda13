//! What a worker serves by its command line, and what it may be told to serve.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use oag_cluster::orders::{MemoryForm, Obey, Settings};
use oag_cluster::protocol::Offer;
use oag_edge::{bundle, identity_folder, offer, onnx};
use oag_engine::{Local, LocalConfig, MemoryKind, SetupError};
use oag_link::Controller;
use oag_placement::{Orders, Shelf, Starter};
use oag_runtime::{Clock, Supervisor};
use oag_serve::{Engine, EngineError};
use oag_types::NodeName;

use crate::options::{Memory, WorkerArgs};
use crate::orders::OrderCheck;

/// What carries orders out; none when nothing may be ordered.
pub(crate) fn obey(
    args: &WorkerArgs,
    (controller, node): (&Controller, &NodeName),
    shelf: &Arc<Shelf>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn Obey>>> {
    if args.models_dir.is_none() && args.scripts_dir.is_none() {
        return Ok(None);
    }
    for folder in args.models_dir.iter().chain(&args.scripts_dir) {
        if !folder.is_dir() {
            bail!("{} is no folder", folder.display());
        }
    }
    let given = bundle(&args.join, (controller, node))?;
    let folder = identity_folder(args.join.identity.as_deref(), node)?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let nonces = folder.join("orders.json");
    let check = OrderCheck::new(node.clone(), nonces, given.as_ref(), Arc::clone(clock))?;
    Ok(Some(Orders::new(Arc::clone(shelf), check, args.scripts_dir.clone())))
}

/// Starts engines for files that the controller names.
pub(crate) struct EngineStarter {
    pub(crate) args: WorkerArgs,
    pub(crate) supervisor: Supervisor,
}

#[async_trait]
impl Starter for EngineStarter {
    async fn start(
        &self,
        model: &str,
        file: &Path,
        settings: Settings,
    ) -> Result<(Arc<dyn Engine>, Offer), EngineError> {
        let mut args = self.args.clone();
        args.max_tokens = settings.window_tokens.unwrap_or(args.max_tokens);
        args.slots = settings.slots.or(args.slots);
        args.threads = settings.threads.or(args.threads);
        args.gpu_layers = settings.gpu_layers.or(args.gpu_layers);
        args.memory = match settings.memory {
            Some(MemoryForm::F32) => Memory::F32,
            Some(MemoryForm::F16) => Memory::F16,
            Some(MemoryForm::Q8) => Memory::Q8,
            None => args.memory,
        };
        if file.extension().is_some_and(|extension| extension == "onnx") {
            let wrong = |error: SetupError| EngineError::refused(error.field, error.problem);
            let engine = onnx(model, file, args.threads).await.map_err(wrong)?;
            let none = || EngineError::Unavailable("it offers nothing".to_owned());
            let card = engine.card(model).ok_or_else(none)?;
            let offer = offer(card, engine.stats().slots, args.slots, args.max_tokens);
            return Ok((engine, offer));
        }
        let wrong = |error: SetupError| EngineError::refused("settings", error.to_string());
        let engine =
            Local::start(local_config(&args, model, file), &self.supervisor).map_err(wrong)?;
        let card = engine.loaded().await?;
        let offer = offer(card, engine.stats().slots, args.slots, args.max_tokens);
        Ok((Arc::new(engine), offer))
    }
}

/// The settings of a model of a file.
pub(crate) fn local_config(args: &WorkerArgs, model: &str, file: &Path) -> LocalConfig {
    let mut config = LocalConfig::new(model, file);
    config.window_tokens = Some(args.max_tokens);
    config.slots = args.slots.unwrap_or(config.slots);
    config.threads = args.threads;
    config.gpu_layers = args.gpu_layers;
    config.memory = match args.memory {
        Memory::F32 => MemoryKind::F32,
        Memory::F16 => MemoryKind::F16,
        Memory::Q8 => MemoryKind::Q8,
    };
    config
}
