//! `worker`: offers models to a controller.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use oag_cluster::{Agent, AgentConfig, AgentParts, Dial};
use oag_edge::{LoadMeter, ModelArgs, dial, exit_code, node_name, offers, onnx_files, patience};
use oag_engine::Local;
use oag_link::Controller;
use oag_placement::{Orders, Shelf};
use oag_runtime::{
    Clock, RandomIds, Shutdown, ShutdownHandle, Supervisor, SystemClock, TelemetryConfig,
    init_telemetry,
};
use oag_serve::Engines;

use crate::options::WorkerArgs;
use crate::shelf::{EngineStarter, local_config, obey};

/// Runs until it has drained or the controller does not want it.
pub(crate) fn run(args: &WorkerArgs) -> Result<ExitCode> {
    let mut telemetry = TelemetryConfig::default();
    if args.join.json_logs {
        telemetry.format = oag_runtime::LogFormat::Json;
    }
    let _telemetry = init_telemetry(&telemetry)?;
    let controller: Controller = args.join.controller.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start")?;
    let code = runtime.block_on(work(args, controller))?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(code)
}

async fn work(args: &WorkerArgs, controller: Controller) -> Result<ExitCode> {
    let shutdown = ShutdownHandle::new();
    let supervisor = Supervisor::new(shutdown.clone());
    let node = node_name(&args.join, &controller)?;
    tracing::info!(node = node.as_str(), %controller, "worker starts");
    let config = AgentConfig {
        groups: args.join.groups.clone(),
        capabilities: Orders::capabilities(args.models_dir.is_some(), args.scripts_dir.is_some()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat: Duration::from_millis(args.join.heartbeat_ms),
        ..AgentConfig::new(node)
    };
    let clock = SystemClock::shared();
    let prepared = async {
        let engines = Arc::new(engines(args, &supervisor).await?);
        let to = (&controller, &config.node);
        anyhow::Ok((engines, dial(&args.join, to, &clock, &supervisor).await?))
    };
    let (engines, dial) = tokio::select! {
        prepared = prepared => prepared?,
        // Nothing was begun yet.
        () = shutdown.draining() => return Ok(ExitCode::SUCCESS),
        Err(error) = Shutdown::listen(shutdown.clone()) => {
            return Err(error).context("signals cannot be listened for");
        }
    };
    let agent = agent(args, (&controller, config), engines, dial, &clock, &supervisor)?;
    let ended = tokio::select! {
        ended = agent.run() => ended,
        Err(error) = Shutdown::listen(shutdown.clone()) => {
            return Err(error).context("signals cannot be listened for");
        }
        () = patience(&shutdown, args.join.drain_ms) => {
            tracing::warn!("ended before its work was done");
            return Ok(ExitCode::from(1));
        }
    };
    exit_code(ended)
}

/// The agent, with what it may be told.
fn agent(
    args: &WorkerArgs,
    (controller, config): (&Controller, AgentConfig),
    engines: Arc<Engines>,
    dial: Arc<dyn Dial>,
    clock: &Arc<dyn Clock>,
    supervisor: &Supervisor,
) -> Result<Arc<Agent>> {
    // What is offered stays so while a process of an engine is started again.
    let fixed = offers(&engines, args.slots, args.max_tokens);
    let told: Arc<OnceLock<Arc<Agent>>> = Arc::default();
    let changed = Arc::clone(&told);
    let starter = Arc::new(EngineStarter { args: args.clone(), supervisor: supervisor.clone() });
    let shelf = Shelf::new(
        (Arc::clone(&engines), fixed),
        args.models_dir.clone(),
        starter,
        supervisor.clone(),
        move || changed.get().into_iter().for_each(|agent| agent.offers_changed()),
    );
    let obey = obey(args, (controller, &config.node), &shelf, clock)?;
    let meter = LoadMeter::new(Arc::clone(&engines), Arc::clone(clock));
    let agent = Arc::new(Agent::new(AgentParts {
        config,
        engines,
        offers: Arc::new(move || shelf.offers()),
        load: Arc::new(move || meter.load()),
        obey,
        dial,
        supervisor: supervisor.clone(),
        ids: Arc::new(RandomIds),
    }));
    told.get_or_init(|| Arc::clone(&agent));
    Ok(agent)
}

/// What runs the models that are named: files here, all others at an upstream.
async fn engines(args: &WorkerArgs, supervisor: &Supervisor) -> Result<Engines> {
    let engines = Engines::new();
    if args.gguf.len() + args.onnx.len() > args.models.len() {
        bail!(
            "there are more --gguf and --onnx files than --model names; the --gguf files are the \
             first models', the --onnx files those of the next, each in the order it is given"
        );
    }
    let (local, others) = args.models.split_at(args.gguf.len());
    let (predicting, elsewhere) = others.split_at(args.onnx.len());
    for (model, file) in local.iter().zip(&args.gguf) {
        let engine = Local::start(local_config(args, model, file), supervisor)?;
        let card = engine.loaded().await;
        let card = card.with_context(|| format!("{} cannot be loaded", file.display()))?;
        tracing::info!(model, about = card.about, "model loaded");
        engines.put(Arc::new(engine));
    }
    for engine in onnx_files(predicting, &args.onnx, args.threads).await? {
        engines.put(engine);
    }
    let elsewhere = ModelArgs {
        models: elsewhere,
        upstream: args.upstream.as_deref(),
        slots: args.slots,
        max_tokens: args.max_tokens,
        hint: "--gguf FILE or --onnx FILE for a file, ",
    };
    for engine in oag_edge::engines(&elsewhere)? {
        engines.put(engine);
    }
    Ok(engines)
}
