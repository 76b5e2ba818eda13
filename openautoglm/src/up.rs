//! `up`: everything in one process.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use oag_cluster::{Gate, KeptStore};
use oag_gateway::GatewayParts;
use oag_local::sample::{SampleConfig, serve};
use oag_nodes::NodesParts;
use oag_pilot::{Caller, NewKey, Pilot};
use oag_runtime::{
    Clock, OnError, Shutdown, ShutdownHandle, Supervisor, SystemClock, TaskKind, init_telemetry,
};
use oag_types::{PrincipalKind, Role, Tenant};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::data::{DataDir, Running};
use crate::eval::print;
use crate::gate::{self, Door};
use crate::gateway::ApiDoor;
use crate::inventory;
use crate::options::{SampleArgs, UpArgs};
use crate::parts::{self, Parts};
use crate::upkeep;

/// Time between two sweeps of kept answers.
const SWEEP: Duration = Duration::from_secs(600);

/// Runs until a signal, then drains.
pub(crate) fn run(args: &UpArgs) -> Result<ExitCode> {
    let data = DataDir::open(&args.data)?;
    let config = Config::read(args, &data)?;
    let _telemetry = init_telemetry(&config.telemetry)?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start")?;
    let code = runtime.block_on(up(config, data, args.new_admin_key))?;
    // What is still running after the drain is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(code)
}

/// As many open files as the system allows: each connection is one, and the usual limit is far below
/// what a fleet of nodes needs.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, limit = limit.current, "the limit of open files stays");
    }
}

/// The sample service of demos and tests.
pub(crate) fn sample(args: &SampleArgs) -> Result<ExitCode> {
    let config = SampleConfig {
        concurrency: args.concurrency,
        service_ms: args.service_ms,
        start_delay_ms: args.start_delay_ms,
        ..SampleConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start")?;
    runtime.block_on(serve(args.port, config))?;
    Ok(ExitCode::SUCCESS)
}

async fn up(config: Config, data: DataDir, new_admin_key: bool) -> Result<ExitCode> {
    let shutdown = ShutdownHandle::new();
    // Not a supervised task: those are waited for or dropped when the drain begins, and the second
    // signal comes after that.
    let signals = Shutdown::listen(shutdown.clone());
    tokio::select! {
        ended = until_drained(config, data, new_admin_key, shutdown) => ended,
        Err(error) = signals => Err(error).context("signals cannot be listened for"),
    }
}

async fn until_drained(
    config: Config,
    data: DataDir,
    new_admin_key: bool,
    shutdown: ShutdownHandle,
) -> Result<ExitCode> {
    let listener = bind(&config).await?;
    let for_nodes = gate::bind(&config.nodes).await?;
    let address = listener.local_addr()?;
    let supervisor = Supervisor::new(shutdown.clone());
    let mut parts = parts::build(&config, &data, &supervisor).await?;
    let tenant = config.tenant.clone();
    parts.pilot.take_over().await?;
    // Before any node is let in: it is told to drop work that nobody knows of.
    let open = parts.kept.restore(&tenant).await?;
    if open > 0 {
        tracing::info!(open, "answers taken up that were open");
    }
    if let Some(file) = &config.nodes.inventory {
        inventory::follow(file, parts.cluster.clone(), &supervisor)?;
    }
    let nodes = open_door(&mut parts, for_nodes, (&config, &data), &supervisor).await?;
    let secret = first_key(&parts.pilot, &tenant, &data, new_admin_key).await?;
    start(parts, &config, (listener, nodes), &supervisor).await?;
    data.write_running(&Running { pid: std::process::id(), address: address.to_string() })?;
    greet(address, &data, secret.as_deref())?;
    shutdown.draining().await;
    tracing::info!("draining; a second signal ends at once");
    let drained = supervisor.drain(Duration::from_millis(config.drain_ms));
    let aborted = tokio::select! {
        aborted = drained => aborted,
        () = shutdown.ended() => vec!["everything".to_owned()],
    };
    data.remove_running();
    if aborted.is_empty() {
        tracing::info!("drained");
        return Ok(ExitCode::SUCCESS);
    }
    tracing::warn!(tasks = aborted.join(", "), "ended before they were done");
    Ok(ExitCode::from(if shutdown.has_ended() { 130 } else { 1 }))
}

/// Binds before any real work, so that a taken port is known at once.
async fn bind(config: &Config) -> Result<TcpListener> {
    let listener = TcpListener::bind(&config.listen).await.with_context(|| {
        format!("cannot listen on {}: is it taken? Choose another with --port", config.listen)
    })?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && !config.insecure {
        bail!(
            "{address} can be reached from other machines and has no TLS: put a TLS proxy in \
             front and add --insecure, or listen on 127.0.0.1"
        );
    }
    Ok(listener)
}

/// Makes the first admin and key, or a new key when asked. The file is for its owner only.
async fn first_key(
    pilot: &Arc<Pilot>,
    tenant: &Tenant,
    data: &DataDir,
    new_key: bool,
) -> Result<Option<String>> {
    let mut secret = pilot.bootstrap(tenant).await?;
    if secret.is_none() && new_key {
        let admin = any_admin(pilot, tenant).await?;
        let wanted = NewKey {
            principal: admin.principal.id,
            name: "admin key made at start".to_owned(),
            scopes: Vec::new(),
            expires_at: None,
        };
        secret = Some(pilot.mint_key(tenant, &admin, wanted).await?.1);
    }
    let Some(secret) = secret else { return Ok(None) };
    data.write_admin_key(secret.expose())?;
    Ok(Some(secret.expose().to_owned()))
}

/// Whoever can start the process on its data directory may act as its admin.
async fn any_admin(pilot: &Arc<Pilot>, tenant: &Tenant) -> Result<Caller> {
    let all = pilot.all_principals(tenant).await?;
    let admin = all.into_iter().find(|p| {
        let holds = p.roles.iter().any(|role| role.role.as_str() == Role::ADMIN);
        p.kind == PrincipalKind::Person && !p.disabled && holds
    });
    Ok(Caller::of(admin.context("there is no admin in this installation")?))
}

async fn start(
    parts: Parts,
    config: &Config,
    (listener, nodes): (TcpListener, NodesParts),
    supervisor: &Supervisor,
) -> Result<()> {
    let tenant = config.tenant.clone();
    let corrected = parts.pilot.rebuild_index(&tenant).await?;
    if corrected > 0 {
        tracing::info!(corrected, "index of plans in hand rebuilt");
    }
    hold_restored(&parts, &tenant).await?;
    let services = parts.pilot.adopt_all(&tenant).await?;
    tracing::info!(services, "catalogue adopted");
    supervisor.spawn("placement", TaskKind::Intake, OnError::Shutdown, parts.placement.run());
    parts.pilot.follow_executors(&tenant, supervisor);
    let work = Arc::clone(&parts.pilot).work(tenant.clone(), supervisor.clone());
    supervisor.spawn("plans", TaskKind::Drains, OnError::Shutdown, work);
    let stop = supervisor.shutdown().clone();
    let upkeep = upkeep::run(Arc::clone(&parts.pilot), tenant.clone(), stop);
    supervisor.spawn("upkeep", TaskKind::Drains, OnError::Log, upkeep);
    parts.ops.start(supervisor);
    parts.ops.run_sources(&tenant, parts.sources, supervisor);
    forget_old(parts.kept, &tenant, supervisor);
    let fleet = parts.cluster.run(supervisor.shutdown().clone());
    supervisor.spawn("fleet", TaskKind::Intake, OnError::Shutdown, fleet);
    let (engines, clock) = (Arc::clone(&parts.api.engines), Arc::clone(&parts.api.clock));
    let ids = Arc::clone(&parts.api.ids);
    let surface = oag_api::surface(parts.api)?;
    let door = Arc::new(ApiDoor(surface.entrance));
    let settings = config.gateway.clone();
    let gateway = GatewayParts { door, engines, clock, ids, config: settings };
    let gateway = oag_gateway::router(gateway)
        .map_err(|(field, problem)| anyhow!("gateway.{field} {problem}"))?;
    let router = surface.router.merge(oag_nodes::plain(nodes)).merge(gateway);
    let shutdown = supervisor.shutdown().clone();
    let settings = config.api.clone();
    supervisor.spawn("api", TaskKind::Drains, OnError::Shutdown, async move {
        // Chunk files and replicas live as long as the API: they are let go of after it.
        let _series = parts.series;
        let _local = parts.local;
        oag_api::serve(listener, router, &settings, shutdown).await
    });
    Ok(())
}

/// Forgets kept answers that have been over for long, from time to time.
fn forget_old(kept: KeptStore, tenant: &Tenant, supervisor: &Supervisor) {
    let tenant = tenant.clone();
    let sweeps = async move {
        loop {
            match kept.sweep(&tenant).await {
                Ok(0) => {}
                Ok(forgotten) => tracing::debug!(forgotten, "old answers forgotten"),
                Err(error) => tracing::warn!(%error, "old answers not forgotten"),
            }
            tokio::time::sleep(SWEEP).await;
        }
        #[expect(unreachable_code, reason = "gives the task its type")]
        Ok::<(), std::convert::Infallible>(())
    };
    supervisor.spawn("kept answers", TaskKind::Intake, OnError::Log, sweeps);
}

/// Opens the way in for nodes: with certificates where there is a port for it.
async fn open_door(
    parts: &mut Parts,
    listener: Option<TcpListener>,
    (config, data): (&Config, &DataDir),
    supervisor: &Supervisor,
) -> Result<NodesParts> {
    let cluster = parts.cluster.clone();
    let shutdown = supervisor.shutdown().clone();
    let mut nodes = NodesParts { cluster, config: config.nodes.clone(), gate: None, shutdown };
    let Some(listener) = listener else { return Ok(nodes) };
    let name = data.cluster()?;
    let (port, clock) = (listener.local_addr()?.port(), SystemClock::shared());
    let (pilot, tenant) = (&parts.pilot, &config.tenant);
    let folder = data.nodes();
    let door = Door::open(&folder, &name, &config.nodes, port, pilot, (tenant, &clock)).await?;
    parts.api.gate = Some(Arc::clone(&door) as Arc<dyn Gate>);
    nodes.gate.clone_from(&parts.api.gate);
    door.serve(listener, nodes.clone(), supervisor)?;
    tracing::info!(port, "nodes of other machines may join");
    Ok(nodes)
}

/// Plans that were not over when a backup was made are not executed again: people are told, and
/// decide.
async fn hold_restored(parts: &Parts, tenant: &Tenant) -> Result<()> {
    let now = SystemClock::new().now();
    for held in parts.store.held_tasks(tenant).await? {
        parts.pilot.hold_restored(tenant, &held.id).await?;
        parts.store.drop_held(tenant, &held.id, now).await?;
    }
    Ok(())
}

fn greet(address: SocketAddr, data: &DataDir, secret: Option<&str>) -> Result<()> {
    let file = data.admin_key();
    let key = match secret {
        Some(secret) => format!("{secret}  ({})", file.display()),
        None if file.exists() => format!("in {}", file.display()),
        // As after a restore: keys are kept as digests only.
        None => "as before; --new-admin-key makes another".to_owned(),
    };
    print(&format!("console    http://{address}/\nadmin key  {key}"))?;
    Ok(())
}
