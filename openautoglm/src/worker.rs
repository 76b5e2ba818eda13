//! `worker`: offers models to a controller.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use oag_cluster::orders::{MemoryForm, Obey, Settings};
use oag_cluster::protocol::{Load, ModelLoad, Offer};
use oag_cluster::{Agent, AgentConfig, AgentParts, Dial, Ended};
use oag_engine::{
    Dialect, Local, LocalConfig, MemoryKind, OnnxConfig, SetupError, Upstream, UpstreamConfig,
    UpstreamModel, load_onnx,
};
use oag_link::Controller;
use oag_placement::{Orders, Shelf, Starter};
use oag_runtime::{
    Clock, RandomIds, Shutdown, ShutdownHandle, Supervisor, SystemClock, TelemetryConfig,
    init_telemetry,
};
use oag_schedule::Rates;
use oag_serve::{Engine, EngineError, Engines, ModelCard};
use oag_types::NodeName;

use crate::membership;
use crate::options::{Memory, WorkerArgs};
use crate::orders::OrderCheck;

/// Where models of Zhipu are, when a worker is told only their names.
const ZHIPU: &str = "https://open.bigmodel.cn/api/paas/v4";
/// The variable in which Zhipu's own tools look for the key.
const ZHIPU_KEY: &str = "ZHIPUAI_API_KEY";
/// The variable with the key of another upstream.
const UPSTREAM_KEY: &str = "OPENAUTOGLM_UPSTREAM_KEY";

/// Runs until it has drained or the controller does not want it.
pub(crate) fn run(args: &WorkerArgs) -> Result<ExitCode> {
    let mut telemetry = TelemetryConfig::default();
    if args.json_logs {
        telemetry.format = oag_runtime::LogFormat::Json;
    }
    let _telemetry = init_telemetry(&telemetry)?;
    let controller: Controller = args.controller.parse()?;
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
    let node = node_name(args, &controller)?;
    tracing::info!(node = node.as_str(), %controller, "worker starts");
    let config = AgentConfig {
        groups: args.groups.clone(),
        capabilities: Orders::capabilities(args.models_dir.is_some(), args.scripts_dir.is_some()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat: Duration::from_millis(args.heartbeat_ms),
        ..AgentConfig::new(node)
    };
    let clock = SystemClock::shared();
    let prepared = async {
        let engines = Arc::new(engines(args, &supervisor).await?);
        let to = (&controller, &config.node);
        anyhow::Ok((engines, membership::dial(args, to, &clock, &supervisor).await?))
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
        () = patience(&shutdown, args.drain_ms) => {
            tracing::warn!("ended before its work was done");
            return Ok(ExitCode::from(1));
        }
    };
    match ended {
        Ended::Drained => {
            tracing::info!("drained");
            Ok(ExitCode::SUCCESS)
        }
        Ended::Refused(why) => bail!("the controller does not take this worker: {why}"),
    }
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
    let meter = Meter::new(Arc::clone(&engines), Arc::clone(clock));
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

/// What carries orders out; none when nothing may be ordered.
fn obey(
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
    let bundle = membership::bundle(args, (controller, node))?;
    let folder = membership::identity_folder(args, node)?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let nonces = folder.join("orders.json");
    let check = OrderCheck::new(node.clone(), nonces, bundle.as_ref(), Arc::clone(clock))?;
    Ok(Some(Orders::new(Arc::clone(shelf), check, args.scripts_dir.clone())))
}

/// Starts engines for files that the controller names.
struct EngineStarter {
    args: WorkerArgs,
    supervisor: Supervisor,
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
        args.memory = match settings.memory {
            Some(MemoryForm::F32) => Memory::F32,
            Some(MemoryForm::F16) => Memory::F16,
            Some(MemoryForm::Q8) => Memory::Q8,
            None => args.memory,
        };
        if file.extension().is_some_and(|extension| extension == "onnx") {
            let wrong = |error: SetupError| EngineError::refused(error.field, error.problem);
            let engine = onnx(&args, model, file).await.map_err(wrong)?;
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
fn local_config(args: &WorkerArgs, model: &str, file: &Path) -> LocalConfig {
    let mut config = LocalConfig::new(model, file);
    config.window_tokens = Some(args.max_tokens);
    config.slots = args.slots.unwrap_or(config.slots);
    config.threads = args.threads;
    config.memory = match args.memory {
        Memory::F32 => MemoryKind::F32,
        Memory::F16 => MemoryKind::F16,
        Memory::Q8 => MemoryKind::Q8,
    };
    config
}

/// The engine of an ONNX file.
async fn onnx(args: &WorkerArgs, model: &str, file: &Path) -> Result<Arc<dyn Engine>, SetupError> {
    let mut config = OnnxConfig::new(model, file);
    config.threads = args.threads;
    load_onnx(config).await
}

/// Ends when the drain has lasted too long.
async fn patience(shutdown: &ShutdownHandle, drain_ms: u64) {
    shutdown.draining().await;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(drain_ms)) => {}
        () = shutdown.ended() => {}
    }
}

/// The name it was given, or one of the host and the process.
fn node_name(args: &WorkerArgs, controller: &Controller) -> Result<NodeName> {
    if let Some(name) = &args.node_id {
        return Ok(NodeName::try_from(name.clone())?);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let sane = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = host.chars().filter(sane).take(48).collect();
    let host = host.trim_start_matches(['-', '_', '.']);
    let host = if host.is_empty() { "worker" } else { host };
    // A certificate is for one name; without one, several workers of a host differ by themselves.
    let certified = args.token.is_some() || controller.is_secure() || !controller.is_loopback();
    let name = if certified { host.to_owned() } else { format!("{host}-{}", std::process::id()) };
    Ok(NodeName::try_from(name)?)
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
    for (model, file) in predicting.iter().zip(&args.onnx) {
        let engine = onnx(args, model, file).await.context("an ONNX model cannot be loaded")?;
        if let Some(card) = engine.card(model) {
            tracing::info!(model, about = card.about, "model loaded");
        }
        engines.put(engine);
    }
    if !elsewhere.is_empty() {
        engines.put(Arc::new(upstream(args, elsewhere)?));
    }
    Ok(engines)
}

fn upstream(args: &WorkerArgs, models: &[String]) -> Result<Upstream> {
    let upstream = match (&args.upstream, variable(ZHIPU_KEY)) {
        (Some(url), _) => Some((url.clone(), variable(UPSTREAM_KEY))),
        (None, Some(key)) => Some((ZHIPU.to_owned(), Some(key))),
        (None, None) => None,
    };
    let Some((url, key)) = upstream else {
        bail!(
            "say what runs {}: --gguf FILE or --onnx FILE for a file, --upstream URL for an \
             OpenAI-compatible server (its key in {UPSTREAM_KEY}), or set {ZHIPU_KEY} for Zhipu's \
             own",
            models.join(", ")
        );
    };
    let mut config = UpstreamConfig::new("upstream", url);
    if config.url.contains("/api/paas/") {
        config.dialect = Dialect::Zhipu;
    }
    config.key = key.map(Into::into);
    if let Some(slots) = args.slots {
        config.concurrent_max = slots as usize;
    }
    config.models = models.iter().map(|name| upstream_model(name, args.max_tokens)).collect();
    Ok(Upstream::new(config)?)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `NAME` or `NAME=NAME-THERE`.
fn upstream_model(text: &str, window_tokens: u32) -> UpstreamModel {
    let (name, there) =
        text.split_once('=').map_or((text, None), |(name, there)| (name, Some(there)));
    UpstreamModel {
        upstream: there.map(str::to_owned),
        window_tokens: Some(window_tokens),
        completes: true,
        embeds: true,
        ..UpstreamModel::new(name)
    }
}

fn offers(engines: &Engines, slots: Option<u32>, window: u32) -> Vec<Offer> {
    let of = |entry: oag_serve::Entry| offer(entry.card, entry.engine.stats().slots, slots, window);
    engines.models().into_iter().map(of).collect()
}

fn offer(card: ModelCard, able: u32, slots: Option<u32>, window: u32) -> Offer {
    let slots = slots.unwrap_or(able).max(1);
    let window = u64::from(card.window_tokens.unwrap_or(window).min(window));
    Offer {
        card,
        slots,
        window_tokens: window,
        memory_tokens: window * u64::from(slots),
        rates: Rates::default(),
        held: None,
    }
}

/// Tells how loaded the engines are.
struct Meter {
    engines: Arc<Engines>,
    clock: Arc<dyn Clock>,
    /// Tokens written by each engine when it was asked last, and when that was.
    before: Mutex<BTreeMap<String, (u64, Duration)>>,
}

impl Meter {
    fn new(engines: Arc<Engines>, clock: Arc<dyn Clock>) -> Self {
        Self { engines, clock, before: Mutex::default() }
    }

    fn load(&self) -> Load {
        let now = self.clock.monotonic();
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let mut models = Vec::new();
        for engine in self.engines.all() {
            let stats = engine.stats();
            let last = before.insert(engine.name().to_owned(), (stats.tokens, now));
            let per_s = last.map_or(0.0, |(tokens, at)| {
                let passed = now.saturating_sub(at).as_secs_f64().max(0.001);
                stats.tokens.saturating_sub(tokens) as f64 / passed
            });
            models.extend(engine.models().into_iter().map(|card| ModelLoad {
                model: card.name,
                busy: stats.busy,
                waiting: stats.waiting,
                tokens_per_s: per_s,
            }));
        }
        Load { models, cpu: None, memory: None }
    }
}
