//! Builds the parts of a process and joins them.

use std::sync::Arc;

use anyhow::{Context, Result};
use oag_api::ApiParts;
use oag_cluster::{Cluster, ClusterParts, KeptStore};
use oag_local::{LocalExecutor, LocalSource, WatchExecutor};
use oag_ops::{LongTerm, Ops, OpsParts, RulesEngine, SignalHub, Source};
use oag_pilot::{CrashPoints, Executor, NoCrashPoints, Pilot, PilotParts};
use oag_pki::command::SigningKey;
use oag_placement::FleetExecutor;
use oag_runtime::{Clock, IdSource, Metrics, RandomIds, Supervisor, SystemClock};
use oag_schedule::length::Predictor;
use oag_series::SeriesStore;
use oag_serve::Engines;
use oag_sources::{HostConfig, HostSource, ProcessSource, PrometheusSource, process_stats};
use oag_store::{PostgresStore, SqliteStore, Upkeep};
use oag_store_port::Store;

use crate::config::Config;
use crate::data::{DataDir, StoreKind};
use crate::figures::{self, LoopProbe};
use crate::orders::CommandPen;
use crate::wiring::{CheckpointFiles, HubMeter, HubReports, LoopDesk, PilotRecords, StandAt};

/// Everything a running process holds.
pub(crate) struct Parts {
    pub(crate) pilot: Arc<Pilot>,
    pub(crate) ops: Arc<Ops>,
    pub(crate) store: Arc<dyn Upkeep>,
    pub(crate) sources: Vec<Arc<dyn Source>>,
    pub(crate) series: Arc<SeriesStore>,
    pub(crate) local: Arc<LocalExecutor>,
    pub(crate) cluster: Cluster,
    pub(crate) placement: Arc<FleetExecutor>,
    pub(crate) kept: KeptStore,
    pub(crate) api: ApiParts,
}

/// Builds everything; nothing runs yet.
pub(crate) async fn build(
    config: &Config,
    data: &DataDir,
    supervisor: &Supervisor,
) -> Result<Parts> {
    let clock: Arc<dyn Clock> = SystemClock::shared();
    let ids: Arc<dyn IdSource> = Arc::new(RandomIds);
    let store = open_store(config, data).await?;
    let series =
        Arc::new(SeriesStore::open(data.series(), config.series.clone(), Arc::clone(&clock))?);
    let long_term = Some(Arc::clone(&series) as Arc<dyn LongTerm>);
    let hub = Arc::new(SignalHub::new(config.signals.clone(), Arc::clone(&clock), long_term));
    let local = LocalExecutor::new(config.local.clone(), Arc::clone(&clock), supervisor.clone())?;
    let log_keys = data.log_keys()?;
    let cluster = fleet(config, data, &hub, &clock, &ids)?;
    let placement = place(config, &cluster, &store, &clock, supervisor);
    let exported = CheckpointFiles::new(&config.checkpoint_dir()?, &data.installation()?)
        .context("the directory for exported checkpoints cannot be made")?;
    let pilot = Pilot::new(PilotParts {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::clone(&clock),
        ids: Arc::clone(&ids),
        executors: executors(&local, &placement),
        meter: Arc::new(HubMeter { hub: Arc::clone(&hub), clock: Arc::clone(&clock) }),
        log_keys,
        checkpoints: Arc::new(exported),
        crash_points: crash_points(data),
        config: config.pilot.clone(),
    });
    let ops = Arc::new(Ops::new(OpsParts {
        hub: Arc::clone(&hub),
        desk: Arc::new(LoopDesk { pilot: Arc::clone(&pilot), tenant: config.tenant.clone() }),
        clock: Arc::clone(&clock),
        ids: Arc::clone(&ids),
        config: config.ops.clone(),
    }));
    let sources = sources(config, data, &local)?;
    let kept = keeper(&cluster, &store, &clock, supervisor);
    let metrics = Metrics::new();
    figures::register(&metrics, &hub, &ops, &pilot, &store, &series);
    let engines = engines(&pilot, &clock, &cluster, &metrics);
    let probe = LoopProbe::new(Arc::clone(&ops), Arc::clone(&clock));
    let api = ApiParts {
        pilot: Arc::clone(&pilot),
        ops: Some(Arc::clone(&ops)),
        fleet: Some(cluster.clone()),
        engines,
        kept: Some(kept.clone()),
        gate: None,
        hub,
        metrics,
        clock,
        ids,
        supervisor: supervisor.clone(),
        probes: vec![Arc::new(probe)],
        process: Some(Arc::new(|| process_stats().unwrap_or_default())),
        config: config.api.clone(),
    };
    Ok(Parts { pilot, ops, store, sources, series, local, cluster, placement, kept, api })
}

/// Who carries actions out.
fn executors(local: &Arc<LocalExecutor>, placement: &Arc<FleetExecutor>) -> Vec<Arc<dyn Executor>> {
    let local = Arc::clone(local) as Arc<dyn Executor>;
    vec![local, Arc::clone(placement) as Arc<dyn Executor>, Arc::new(WatchExecutor::new())]
}

/// Models as services, on the nodes of the fleet.
fn place(
    config: &Config,
    cluster: &Cluster,
    store: &Arc<dyn Upkeep>,
    clock: &Arc<dyn Clock>,
    supervisor: &Supervisor,
) -> Arc<FleetExecutor> {
    let store = Arc::clone(store) as Arc<dyn Store>;
    let (clock, supervisor) = (Arc::clone(clock), supervisor.clone());
    FleetExecutor::new(cluster.clone(), store, config.placement.clone(), clock, supervisor)
}

fn crash_points(data: &DataDir) -> Arc<dyn CrashPoints> {
    match StandAt::from_environment(data.root()) {
        Some(point) => Arc::new(point),
        None => Arc::new(NoCrashPoints),
    }
}

fn keeper(
    cluster: &Cluster,
    store: &Arc<dyn Upkeep>,
    clock: &Arc<dyn Clock>,
    supervisor: &Supervisor,
) -> KeptStore {
    let store = Arc::clone(store) as Arc<dyn Store>;
    KeptStore::new(cluster.clone(), store, Arc::clone(clock), supervisor.clone())
}

/// What answers: the built-in engine, which is always there, and the fleet.
fn engines(
    pilot: &Arc<Pilot>,
    clock: &Arc<dyn Clock>,
    cluster: &Cluster,
    metrics: &Metrics,
) -> Arc<Engines> {
    let records = PilotRecords { pilot: Arc::clone(pilot), clock: Arc::clone(clock) };
    let rules = Arc::new(RulesEngine::new(Arc::new(records)));
    figures::register_rules(metrics, &rules);
    figures::register_fleet(metrics, cluster);
    let engines = Engines::new();
    engines.put(rules);
    engines.put(Arc::new(cluster.clone()));
    Arc::new(engines)
}

fn fleet(
    config: &Config,
    data: &DataDir,
    hub: &Arc<SignalHub>,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn IdSource>,
) -> Result<Cluster> {
    let pen = CommandPen {
        key: SigningKey::open(&data.nodes())?,
        cluster: data.cluster()?,
        clock: Arc::clone(clock),
    };
    let parts = ClusterParts {
        config: config.fleet.clone(),
        predictor: Predictor::default(),
        // A later controller has a larger one.
        epoch: u64::try_from(clock.now().as_millis()).unwrap_or(0),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
        pen: Some(Arc::new(pen)),
        reports: Arc::new(HubReports {
            hub: Arc::clone(hub),
            tenant: config.tenant.clone(),
            of_services: config.nodes.report_services,
        }),
    };
    Ok(Cluster::new(parts)?)
}

async fn open_store(config: &Config, data: &DataDir) -> Result<Arc<dyn Upkeep>> {
    match &config.store.url {
        Some(url) => {
            let store = PostgresStore::connect(url, config.store.postgres.clone()).await;
            let store = store.context("the store in PostgreSQL cannot be opened")?;
            data.note_store_kind(StoreKind::Postgres)?;
            Ok(Arc::new(store))
        }
        None => {
            let store = SqliteStore::open(data.truth(), config.store.sqlite.clone());
            let store = store.context("the store in the data directory cannot be opened")?;
            data.note_store_kind(StoreKind::Sqlite)?;
            Ok(Arc::new(store))
        }
    }
}

fn sources(
    config: &Config,
    data: &DataDir,
    local: &Arc<LocalExecutor>,
) -> Result<Vec<Arc<dyn Source>>> {
    let replicas = LocalSource::new(Arc::clone(local), 250).for_tenant(config.tenant.clone());
    let mut sources: Vec<Arc<dyn Source>> = vec![Arc::new(replicas)];
    if config.host_interval_ms > 0 {
        let host = HostConfig {
            interval_ms: config.host_interval_ms,
            data_dir: data.root().to_owned(),
            ..HostConfig::default()
        };
        sources.push(Arc::new(HostSource::new(host)));
        sources.push(Arc::new(ProcessSource::new(config.host_interval_ms)));
    }
    for scrape in &config.scrape {
        let source = PrometheusSource::new(scrape.clone());
        sources.push(Arc::new(source.context("a scrape of the configuration is not valid")?));
    }
    Ok(sources)
}
