//! The long-term tier: what a sample costs on the disk, and how fast samples go in and out.

use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use oag_runtime::{Clock, FakeClock};
use oag_series::{SeriesConfig, SeriesStore};
use oag_types::{Sample, SeriesKey, ServiceName, Tenant, Timestamp};

use crate::Common;
use crate::figures::{Noise, count, day_wave};
use crate::machine::{Stopwatch, Took};
use crate::report::{Goal, Report};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1_440 * MINUTE_MS;
/// 2026-08-01T00:00:00Z.
const START_MS: i64 = 1_785_542_400_000;
const NAMES: [&str; 12] = [
    "requests_per_minute",
    "errors_per_minute",
    "requests_total",
    "replicas",
    "queue_length",
    "open_connections",
    "memory_bytes",
    "cpu_percent",
    "cpu_percent_of_idle",
    "latency_p50_ms",
    "latency_p99_ms",
    "hit_ratio",
];

/// How much is stored.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Size {
    /// Days; 90 unless told.
    #[arg(long)]
    days: Option<i64>,
    /// Services of twelve series each; 5 unless told.
    #[arg(long)]
    services: Option<usize>,
}

/// One service and how it goes on.
struct Shop {
    keys: Vec<SeriesKey>,
    noise: Noise,
    scale: f64,
    total: f64,
    memory: f64,
}

#[derive(Default)]
struct Costs {
    samples: usize,
    append: Took,
    seal: Took,
}

/// Measures it.
pub(crate) fn measure(size: Size, common: &Common) -> anyhow::Result<Report> {
    let days = size.days.unwrap_or(if common.quick { 2 } else { 90 }).max(1);
    let services = size.services.unwrap_or(if common.quick { 1 } else { 5 }).max(1);
    let scratch = common.scratch()?;
    let clock = FakeClock::at(Timestamp::from_millis(START_MS));
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let store = SeriesStore::open(scratch.path(), SeriesConfig::default(), shared)?;
    let tenant = Tenant::default_tenant();
    let mut shops = (0..services).map(Shop::new).collect::<anyhow::Result<Vec<_>>>()?;
    let mut costs = Costs::default();
    for day in 0..days {
        one_day(&store, &tenant, &clock, day, &mut shops, &mut costs)?;
    }
    let stats = store.stats();
    ensure!(stats.damaged == 0 && stats.buffered == 0, "{stats:?}");
    let series = services * NAMES.len();
    let setting = format!("{days} days, one value a minute, {series} series");
    let mut report = Report::new("series", setting);
    let samples = count(costs.samples);
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are below 2^53")]
    let bytes = stats.bytes as f64;
    report.promise("a sample on the disk", bytes / samples, "bytes", Goal::AtMost(2.0));
    report.row("samples stored", samples, "");
    report.row("appends", samples / costs.append.wall_s, "samples/s");
    report.row("appends, processor time", 1e6 * costs.append.cpu_s / samples, "us");
    report.row("sealing", samples / costs.seal.wall_s, "samples/s");
    report.row("sealing, processor time", 1e6 * costs.seal.cpu_s / samples, "us");
    read_back(&mut report, &store, &tenant, &shops, days)?;
    Ok(report)
}

/// Appends a day minute by minute, as it would come, then seals it.
fn one_day(
    store: &SeriesStore,
    tenant: &Tenant,
    clock: &FakeClock,
    day: i64,
    shops: &mut [Shop],
    costs: &mut Costs,
) -> anyhow::Result<()> {
    let first = START_MS + day * DAY_MS;
    let mut values = Vec::new();
    for minute in 0..1_440 {
        let at = Timestamp::from_millis(first + minute * MINUTE_MS);
        values.push((at, shops.iter_mut().map(|shop| shop.minute(at)).collect::<Vec<_>>()));
    }
    let watch = Stopwatch::start();
    for (at, shop_values) in &values {
        clock.set(*at);
        for (shop, values) in shops.iter().zip(shop_values) {
            for (key, value) in shop.keys.iter().zip(values) {
                store.append(tenant, key, Sample { at: *at, value: *value })?;
            }
        }
    }
    let append = watch.took();
    clock.set(Timestamp::from_millis(first + DAY_MS + DAY_MS / 100));
    let watch = Stopwatch::start();
    store.maintain()?;
    let seal = watch.took();
    costs.samples += values.len() * shops.len() * NAMES.len();
    costs.append = sum(costs.append, append);
    costs.seal = sum(costs.seal, seal);
    Ok(())
}

fn sum(one: Took, other: Took) -> Took {
    Took { wall_s: one.wall_s + other.wall_s, cpu_s: one.cpu_s + other.cpu_s }
}

fn read_back(
    report: &mut Report,
    store: &SeriesStore,
    tenant: &Tenant,
    shops: &[Shop],
    days: i64,
) -> anyhow::Result<()> {
    let (from, to) = (START_MS, START_MS + days * DAY_MS);
    let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
    let Some(shop) = shops.first() else { return Ok(()) };
    let watch = Stopwatch::start();
    let mut read = 0;
    for key in &shop.keys {
        read += store.range(tenant, key, from, to)?.len();
    }
    let took = watch.took();
    let wanted = usize::try_from(days)? * 1_440 * shop.keys.len();
    ensure!(read == wanted, "{read} samples read of {wanted}");
    report.row("reading whole series", count(read) / took.wall_s, "samples/s");
    Ok(())
}

impl Shop {
    fn new(number: usize) -> anyhow::Result<Self> {
        let name: ServiceName = format!("svc-{number:03}").parse()?;
        let keys = NAMES.iter().map(|metric| SeriesKey::of_service(*metric, &name)).collect();
        let scale = 1.0 + count(number);
        Ok(Self { keys, noise: Noise::new(number as u64), scale, total: 0.0, memory: 5e8 })
    }

    /// One minute: a day's load with noise, what follows from it, and full doubles where a real
    /// exporter gives full doubles.
    fn minute(&mut self, at: Timestamp) -> [f64; 12] {
        let wave = day_wave(at.as_millis(), 15.0);
        let noise = &mut self.noise;
        let load = 600.0 * self.scale * (1.2 + wave);
        let requests = (load + load.sqrt() * noise.normal()).max(0.0).round();
        self.total += requests;
        self.memory = (self.memory + 4_096.0 * (20.0 * noise.normal()).round()).max(1e8);
        let share = requests / (1_600.0 * self.scale);
        let slow = 1.0 / (1.0 - share.min(0.9));
        [
            requests,
            (requests * 0.002 + noise.normal()).max(0.0).round(),
            self.total,
            (requests / 300.0).ceil(),
            (5.0 * slow + 2.0 * noise.normal()).max(0.0).round(),
            (requests / 4.0 + 5.0 * noise.normal()).max(0.0).round(),
            self.memory,
            (100.0 * share + 2.0 * noise.normal()).clamp(0.0, 100.0),
            (1.5 + 0.3 * noise.normal()).abs(),
            12.0 * slow * (0.05 * noise.normal()).exp(),
            80.0 * slow * (0.15 * noise.normal()).exp(),
            (0.95 + 0.01 * noise.normal()).min(1.0),
        ]
    }
}
