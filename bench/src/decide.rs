//! A step of the loop at full size.

use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use oag_ops::StepReport;
use oag_runtime::{Clock, FakeClock};
use oag_types::{Sample, ScalingSpec, SeriesKey, Service, ServiceName, Signal, Timestamp};
use serde_json::json;

use crate::Common;
use crate::figures::{Noise, count, day_wave, percentile};
use crate::machine::{Stopwatch, resident_mb};
use crate::report::{Goal, Report};
use crate::world::{EXECUTOR, World};

const STEP_MS: i64 = 30_000;
/// 2026-11-18T08:00:00Z, in the rise of the morning.
const START_MS: i64 = 1_794_988_800_000;
/// Requests per second of a replica.
const CAPACITY: f64 = 200.0;
const REPLICAS: u32 = 6;
/// What decisions look at.
const CORE: [&str; 6] =
    ["request_rate", "utilisation", "latency_p99_ms", "error_rate", "memory_usage", "in_flight"];
/// What else a replica tells.
const DETAILS: [&str; 7] =
    ["queue_length", "gc_ms", "threads", "cache_hits", "db_ms", "open_files", "heap_bytes"];
/// Samples of one call, as a collector sends them.
const BATCH: usize = 1_000;
/// The long-term tier's thread seals this often.
const SEAL_STEPS: usize = 20;

/// The size of the shop.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Size {
    /// Series; 10,000 unless told.
    #[arg(long)]
    series: Option<usize>,
    /// Services; 300 unless told.
    #[arg(long)]
    services: Option<usize>,
    /// Steps that are measured; 60 unless told.
    #[arg(long)]
    steps: Option<usize>,
    /// Steps before that; 640 unless told: after 600 the long-term tier has sealed for the first
    /// time because its memory is full, so that no memory is left to be taken.
    #[arg(long)]
    warm_up: Option<usize>,
    /// Of a thousand services, how many outgrow what they have, so that something is found and
    /// proposed; 30 unless told.
    #[arg(long)]
    hot_permille: Option<usize>,
}

struct Sizes {
    series: usize,
    services: usize,
    steps: usize,
    warm_up: usize,
    hot: usize,
    history: i64,
}

impl Sizes {
    fn of(size: &Size, quick: bool) -> Self {
        let pick = |given: Option<usize>, full: usize, small: usize| {
            given.unwrap_or(if quick { small } else { full })
        };
        let services = pick(size.services, 300, 12).max(1);
        let hot = services * size.hot_permille.unwrap_or(30).min(1_000);
        Self {
            series: pick(size.series, 10_000, 150).max(services * CORE.len()),
            services,
            steps: pick(size.steps, 60, 4).max(1),
            warm_up: pick(size.warm_up, 640, 12),
            hot: hot.div_ceil(1_000),
            history: if quick { 400 } else { 5_760 },
        }
    }
}

/// One series and how it moves.
struct Feed {
    key: SeriesKey,
    service: usize,
    metric: Metric,
    noise: Noise,
}

#[derive(Clone, Copy)]
enum Metric {
    Core(usize),
    Detail(f64),
}

/// Processor seconds of the parts of a step.
#[derive(Default)]
struct Cost {
    ingest_s: f64,
    decide_s: f64,
    seal_s: f64,
    wall_s: f64,
    report: StepReport,
}

/// Measures it.
pub(crate) async fn measure(size: Size, common: &Common) -> anyhow::Result<Report> {
    let sizes = Sizes::of(&size, common.quick);
    let scratch = common.scratch()?;
    let clock = FakeClock::at(Timestamp::from_millis(START_MS));
    let world = World::new(scratch.path(), Arc::new(clock.clone())).await?;
    let services = catalogue(&world, &sizes).await?;
    teach(&world, &services, &sizes).await?;
    let mut feeds = feeds(&sizes, &services);
    let mut costs = Vec::new();
    for step in 0..sizes.warm_up + sizes.steps {
        let signals = signals(&mut feeds, &sizes, step, clock.now());
        // Decisions before the last of the warm-up would only repeat themselves.
        let decides = step + 12 >= sizes.warm_up;
        let cost = one_step(&world, &signals, clock.now(), decides, step).await?;
        if step >= sizes.warm_up {
            ensure!(cost.report.due == sizes.services, "{} decisions", cost.report.due);
            costs.push(cost);
        }
        clock.advance(STEP_MS);
    }
    finish(&world, &sizes, &services, &costs)
}

async fn catalogue(world: &World, sizes: &Sizes) -> anyhow::Result<Vec<ServiceName>> {
    let mut names = Vec::new();
    for number in 0..sizes.services {
        let name: ServiceName = format!("svc-{number:04}").parse()?;
        let scaling = ScalingSpec {
            min_replicas: REPLICAS,
            max_replicas: 4 * REPLICAS,
            step_ms: STEP_MS,
            ..ScalingSpec::default()
        };
        let service = Service {
            name: name.clone(),
            group: "shop".parse()?,
            executor: EXECUTOR.to_owned(),
            spec: json!({}),
            depends_on: Vec::new(),
            scaling,
            features: Vec::new(),
        };
        world.pilot.put_service(&world.tenant, &world.admin, service, None).await?;
        world.executor.set(&name, REPLICAS);
        names.push(name);
    }
    Ok(names)
}

/// The past of every load, for the forecasters.
async fn teach(world: &World, services: &[ServiceName], sizes: &Sizes) -> anyhow::Result<()> {
    let known = world.pilot.all_services(&world.tenant).await?;
    let known: Vec<Service> = known.into_iter().map(|service| service.value).collect();
    world.hub.set_services(&world.tenant, &known);
    for (number, name) in services.iter().enumerate() {
        let mut noise = Noise::new(number as u64);
        let past = (1..=sizes.history).rev().map(|ago| {
            let at = Timestamp::from_millis(START_MS - ago * STEP_MS);
            Sample { at, value: load(at, &mut noise) }
        });
        let past: Vec<Sample> = past.collect();
        let key = SeriesKey::of_service("request_rate", name);
        let report = world.hub.backfill(&world.tenant, &key, &past)?;
        ensure!(report.taught && report.accepted == past.len(), "history not taken: {report:?}");
    }
    world.series.maintain()?;
    Ok(())
}

/// Requests per second of a service, under what its replicas carry the whole day.
fn load(at: Timestamp, noise: &mut Noise) -> f64 {
    let all = CAPACITY * f64::from(REPLICAS);
    all * (0.5 + 0.2 * day_wave(at.as_millis(), 15.0) + 0.01 * noise.normal())
}

fn feeds(sizes: &Sizes, services: &[ServiceName]) -> Vec<Feed> {
    let mut feeds = Vec::with_capacity(sizes.series);
    for (metric, name) in CORE.iter().enumerate() {
        for (service, owner) in services.iter().enumerate() {
            let key = SeriesKey::of_service(*name, owner);
            feeds.push(Feed { key, service, metric: Metric::Core(metric), noise: noise(&feeds) });
        }
    }
    for number in 0..sizes.series - feeds.len() {
        let (service, round) = (number % services.len(), number / services.len());
        let (Some(owner), Some(name)) = (services.get(service), DETAILS.get(round % DETAILS.len()))
        else {
            continue;
        };
        let replica = format!("r{}", round / DETAILS.len());
        let key = SeriesKey::of_service(*name, owner).with("replica", replica);
        let level = 10.0 * count(1 + round);
        feeds.push(Feed { key, service, metric: Metric::Detail(level), noise: noise(&feeds) });
    }
    feeds
}

const fn noise(feeds: &[Feed]) -> Noise {
    Noise::new(1_000 + feeds.len() as u64)
}

fn signals(feeds: &mut [Feed], sizes: &Sizes, step: usize, now: Timestamp) -> Vec<Signal> {
    // The hot ones outgrow what they have within the first measured steps.
    let over = count((step + 2).saturating_sub(sizes.warm_up).min(6)) / 4.0;
    let value = |feed: &mut Feed| {
        let growth = if feed.service < sizes.hot { 1.0 + over } else { 1.0 };
        let rate = growth * load(now, &mut feed.noise);
        let used = (rate / (CAPACITY * f64::from(REPLICAS))).min(1.0);
        match feed.metric {
            Metric::Core(0) => rate,
            Metric::Core(1) => used,
            Metric::Core(2) => 40.0 / (1.05 - used) * (0.1 * feed.noise.normal()).exp(),
            Metric::Core(3) => (0.001 + 0.0003 * feed.noise.normal()).max(0.0),
            Metric::Core(4) => 55.0 + feed.noise.normal(),
            Metric::Core(_) => (rate / 20.0).round(),
            Metric::Detail(level) => level * (used + 0.05 * feed.noise.normal()),
        }
    };
    feeds
        .iter_mut()
        .map(|feed| {
            let sample = Sample { at: now, value: value(feed) };
            Signal { key: feed.key.clone(), sample }
        })
        .collect()
}

async fn one_step(
    world: &World,
    signals: &[Signal],
    now: Timestamp,
    decides: bool,
    step: usize,
) -> anyhow::Result<Cost> {
    let watch = Stopwatch::start();
    for batch in signals.chunks(BATCH) {
        let report = world.hub.ingest(&world.tenant, batch);
        ensure!(report.accepted == batch.len(), "{report:?}");
    }
    let ingested = watch.took();
    let mut report = StepReport::default();
    if decides {
        report = world.ops.step(&world.tenant, now).await?;
        world.pilot.expire_plans(&world.tenant).await?;
    }
    let decided = watch.took();
    if step.is_multiple_of(SEAL_STEPS) {
        world.series.maintain()?;
    }
    let sealed = watch.took();
    Ok(Cost {
        ingest_s: ingested.cpu_s,
        decide_s: decided.cpu_s - ingested.cpu_s,
        seal_s: sealed.cpu_s - decided.cpu_s,
        wall_s: sealed.wall_s,
        report,
    })
}

fn finish(
    world: &World,
    sizes: &Sizes,
    services: &[ServiceName],
    costs: &[Cost],
) -> anyhow::Result<Report> {
    let live = services.iter().filter(|name| {
        let snapshot = world.ops.snapshot(&world.tenant, name);
        snapshot.and_then(|s| s.load_forecast).is_some_and(|forecast| forecast.method == "ridge")
    });
    let live = live.count();
    ensure!(live == services.len(), "only {live} load forecasts are live");
    let counted = world.hub.counters();
    ensure!(counted.long_term_errors == 0, "{} not kept", counted.long_term_errors);
    let (resident, peak) = resident_mb()?;
    let setting = format!(
        "{} series, {} services, {} steps of 30 s after {}, {} services outgrowing theirs",
        sizes.series, sizes.services, sizes.steps, sizes.warm_up, sizes.hot
    );
    let mut report = Report::new("decide", setting);
    let at = |share: f64, part: fn(&Cost) -> f64| {
        percentile(&mut costs.iter().map(part).collect::<Vec<f64>>(), share)
    };
    let whole = |cost: &Cost| cost.ingest_s + cost.decide_s + cost.seal_s;
    report.row("processor time of a step, median", at(0.5, whole), "s");
    report.promise("processor time of a step, worst", at(1.0, whole), "s", Goal::AtMost(1.0));
    report.row("of it taking samples in, median", at(0.5, |cost| cost.ingest_s), "s");
    report.row("of it deciding, median", at(0.5, |cost| cost.decide_s), "s");
    report.row("of it deciding, worst", at(1.0, |cost| cost.decide_s), "s");
    report.row("of it sealing samples, worst", at(1.0, |cost| cost.seal_s), "s");
    report.row("real time of a step, worst", at(1.0, |cost| cost.wall_s), "s");
    report.promise("resident memory after", resident, "MB", Goal::AtMost(300.0));
    report.row("resident memory, highest", peak, "MB");
    report.row("signals in memory, estimated", count(world.hub.memory_bytes()) / 1e6, "MB");
    report.row("values of the long-term tier in memory", count(world.series.stats().buffered), "");
    report.row("load forecasts live", count(live), "");
    let sum = |part: fn(&StepReport) -> usize| costs.iter().map(|c| part(&c.report)).sum();
    report.row("decisions", count(sum(|report| report.due)), "");
    report.row("findings", count(sum(|report| report.findings.len())), "");
    report.row("plans proposed", count(sum(|report| report.plans.len())), "");
    Ok(report)
}
