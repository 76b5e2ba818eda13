//! The light node, from its start to its end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use oag_cluster::protocol::NodeRole;
use oag_cluster::{Agent, AgentConfig, AgentParts, Dial, Ended};
use oag_link::Controller;
use oag_runtime::{
    Clock, OnError, RandomIds, Shutdown, ShutdownHandle, Supervisor, SystemClock, TaskKind,
};
use oag_serve::Engines;
use oag_types::NodeName;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use crate::counted::Counted;
use crate::engines::{ModelArgs, engines, offers, onnx_files};
use crate::join::{dial, node_name};
use crate::load::LoadMeter;
use crate::log;
use crate::options::EdgeArgs;
use crate::port;
use crate::spool::FileSpool;
use crate::state::State;

/// Stack of the threads that look names up; nothing else runs beside the one thread.
const STACK_BYTES: usize = 256 << 10;

/// Runs until it has drained or the controller does not want it.
///
/// # Errors
/// When a setting cannot be used, or the controller does not take the node.
pub fn run(args: &EdgeArgs) -> Result<ExitCode> {
    log::start(args.join.json_logs)?;
    let controller: Controller = args.join.controller.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(2)
        .build()
        .context("the async runtime cannot start")?;
    let code = runtime.block_on(Box::pin(until_signalled(args, &controller)))?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(code)
}

async fn until_signalled(args: &EdgeArgs, controller: &Controller) -> Result<ExitCode> {
    let shutdown = ShutdownHandle::new();
    tokio::select! {
        ended = work(args, controller, shutdown.clone()) => ended,
        Err(error) = Shutdown::listen(shutdown.clone()) => {
            Err(error).context("signals cannot be listened for")
        }
    }
}

async fn work(
    args: &EdgeArgs,
    controller: &Controller,
    shutdown: ShutdownHandle,
) -> Result<ExitCode> {
    let supervisor = Supervisor::new(shutdown.clone());
    let node = node_name(&args.join, controller)?;
    let listener = port::bind(args.listen).await?;
    tracing::info!(
        node = node.as_str(), %controller, listen = %listener.local_addr()?, "edge node starts"
    );
    let clock = SystemClock::shared();
    let state = State::new(Arc::clone(&clock), shutdown.clone());
    let engines = counted_engines(args, &state).await?;
    serve(listener, args.connections_max as usize, &state, &supervisor);
    let joined = tokio::select! {
        joined = dial(&args.join, (controller, &node), &clock, &supervisor) => joined?,
        // Nothing was begun yet.
        () = shutdown.draining() => return Ok(ExitCode::SUCCESS),
    };
    let agent = agent(args, node, (engines, joined), &clock, &supervisor)?;
    state.set_agent(&agent);
    report(Duration::from_millis(args.report_ms), &state, &agent, &supervisor);
    let ended = tokio::select! {
        ended = agent.run() => ended,
        () = patience(&shutdown, args.join.drain_ms) => {
            tracing::warn!("ended before its work was done");
            return Ok(ExitCode::from(1));
        }
    };
    exit_code(ended)
}

/// How the process of a node ends when its agent has.
///
/// # Errors
/// When the controller does not take the node.
pub fn exit_code(ended: Ended) -> Result<ExitCode> {
    match ended {
        Ended::Drained => {
            tracing::info!("drained");
            Ok(ExitCode::SUCCESS)
        }
        Ended::Refused(why) => bail!("the controller does not take this node: {why}"),
    }
}

async fn counted_engines(args: &EdgeArgs, state: &State) -> Result<Arc<Engines>> {
    let found = Engines::new();
    let counted = |engine| Arc::new(Counted { engine, requests: Arc::clone(&state.requests) });
    if args.onnx.len() > args.models.len() {
        bail!(
            "there are more --onnx files than --model names; the first file is the first model's"
        );
    }
    let (here, elsewhere) = args.models.split_at(args.onnx.len());
    for engine in onnx_files(here, &args.onnx, None).await? {
        found.put(counted(engine));
    }
    let models = ModelArgs {
        models: elsewhere,
        upstream: args.upstream.as_deref(),
        slots: args.slots,
        max_tokens: args.max_tokens,
        hint: "--onnx FILE for a file, ",
    };
    for engine in engines(&models)? {
        found.put(counted(engine));
    }
    Ok(Arc::new(found))
}

fn serve(
    listener: TcpListener,
    connections_max: usize,
    state: &Arc<State>,
    supervisor: &Supervisor,
) {
    let serve = port::serve(listener, connections_max, Arc::clone(state));
    // Probes are answered until the end.
    supervisor.spawn("port", TaskKind::Drains, OnError::Shutdown, serve);
}

fn agent(
    args: &EdgeArgs,
    node: NodeName,
    (engines, dial): (Arc<Engines>, Arc<dyn Dial>),
    clock: &Arc<dyn Clock>,
    supervisor: &Supervisor,
) -> Result<Arc<Agent>> {
    let config = AgentConfig {
        role: NodeRole::Edge,
        groups: args.join.groups.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat: Duration::from_millis(args.join.heartbeat_ms),
        report_bytes_max: usize::try_from(args.buffer_bytes).unwrap_or(usize::MAX),
        ..AgentConfig::new(node)
    };
    let offered = offers(&engines, args.slots, args.max_tokens);
    let meter = LoadMeter::new(Arc::clone(&engines), Arc::clone(clock));
    let agent = Agent::new(AgentParts {
        obey: None,
        config,
        engines,
        offers: Arc::new(move || offered.clone()),
        load: Arc::new(move || meter.load()),
        dial,
        supervisor: supervisor.clone(),
        ids: Arc::new(RandomIds),
    });
    let Some(file) = &args.buffer_file else { return Ok(Arc::new(agent)) };
    let (spool, kept) = FileSpool::open(file)
        .with_context(|| format!("--buffer-file {} cannot be used", file.display()))?;
    Ok(Arc::new(agent.with_spool(Box::new(spool), kept)))
}

/// Reports again and again; what the agent cannot send yet it keeps.
fn report(every: Duration, state: &Arc<State>, agent: &Arc<Agent>, supervisor: &Supervisor) {
    let (state, agent) = (Arc::clone(state), Arc::clone(agent));
    let reports = async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The first moment has nothing to tell: rates need a time before.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            agent.report(state.readings());
        }
        #[expect(unreachable_code, reason = "gives the task its type")]
        Ok::<(), std::convert::Infallible>(())
    };
    supervisor.spawn("reports", TaskKind::Intake, OnError::Log, reports);
}

/// Ends when the drain of a node has lasted too long.
pub async fn patience(shutdown: &ShutdownHandle, drain_ms: u64) {
    shutdown.draining().await;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(drain_ms)) => {}
        () = shutdown.ended() => {}
    }
}
