//! Signals taken in per second: by the hub, and through the API.

use anyhow::{Context as _, ensure};
use oag_ops::{HubConfig, SignalHub};
use oag_runtime::{Clock, SystemClock};
use oag_types::{Sample, SeriesKey, Signal, Tenant, Timestamp};
use serde_json::Value;

use crate::Common;
use crate::figures::{Noise, count};
use crate::http::Client;
use crate::machine::Stopwatch;
use crate::report::{Goal, Report};
use crate::world::World;

const STEP_MS: i64 = 30_000;
const BATCHES: [usize; 3] = [1, 100, 1_000];
const GOAL_PER_S: f64 = 50_000.0;

/// How much is sent.
struct Sizes {
    series: usize,
    samples: usize,
    requests: usize,
}

/// Measures it.
pub(crate) async fn measure(common: &Common) -> anyhow::Result<Report> {
    let sizes = if common.quick {
        Sizes { series: 100, samples: 2_000, requests: 10 }
    } else {
        Sizes { series: 5_000, samples: 1_000_000, requests: 2_000 }
    };
    let setting = format!("{} series, {} samples in memory", sizes.series, sizes.samples);
    let mut report = Report::new("ingest", setting);
    for batch in BATCHES {
        in_memory(&mut report, &sizes, batch)?;
    }
    whole_product(&mut report, &sizes, common).await?;
    Ok(report)
}

fn in_memory(report: &mut Report, sizes: &Sizes, batch: usize) -> anyhow::Result<()> {
    let hub = SignalHub::new(HubConfig::default(), SystemClock::shared(), None);
    let tenant = Tenant::default_tenant();
    let mut feed = Feed::new(sizes);
    let (mut left, mut wall_s, mut cpu_s) = (sizes.samples, 0.0, 0.0);
    while left > 0 {
        // Made in parts outside of what is measured, so that memory stays small.
        let signals = feed.next(left.min(50_000));
        left -= signals.len();
        let watch = Stopwatch::start();
        let mut accepted = 0;
        for batch in signals.chunks(batch) {
            accepted += hub.ingest(&tenant, batch).accepted;
        }
        let took = watch.took();
        ensure!(accepted == signals.len(), "{accepted} of {} taken", signals.len());
        wall_s += took.wall_s;
        cpu_s += took.cpu_s;
    }
    let total = count(sizes.samples);
    let rate = total / wall_s;
    report.promise(name("hub", batch), rate, "samples/s", Goal::AtLeast(GOAL_PER_S));
    report.row(format!("{}, processor time", name("hub", batch)), 1e6 * cpu_s / total, "us");
    Ok(())
}

/// The hub with the long-term tier behind it, then the same world over HTTP.
async fn whole_product(report: &mut Report, sizes: &Sizes, common: &Common) -> anyhow::Result<()> {
    let scratch = common.scratch()?;
    let world = World::new(scratch.path(), SystemClock::shared()).await?;
    let mut feed = Feed::new(sizes);
    let signals = feed.next(sizes.samples.min(200_000));
    let watch = Stopwatch::start();
    for batch in signals.chunks(1_000) {
        world.hub.ingest(&world.tenant, batch);
    }
    let took = watch.took();
    let total = count(signals.len());
    let what = name("hub and long-term tier", 1_000);
    report.row(what.clone(), total / took.wall_s, "samples/s");
    report.row(format!("{what}, processor time"), 1e6 * took.cpu_s / total, "us");
    let served = world.serve().await?;
    for batch in BATCHES {
        let requests = if batch == 1_000 { sizes.requests / 10 } else { sizes.requests };
        let bodies = bodies(&mut feed, requests.max(1), batch)?;
        over_http(report, &served.url, &served.key, &bodies, batch).await?;
    }
    served.stop().await;
    Ok(())
}

fn bodies(feed: &mut Feed, requests: usize, batch: usize) -> anyhow::Result<Vec<String>> {
    let body = |_| Ok(serde_json::to_string(&feed.next(batch))?);
    (0..requests).map(body).collect()
}

/// One connection, each request after the answer to the one before.
async fn over_http(
    report: &mut Report,
    url: &str,
    key: &str,
    bodies: &[String],
    batch: usize,
) -> anyhow::Result<()> {
    let mut client = Client::connect(url, key).await?;
    let watch = Stopwatch::start();
    let mut accepted = 0;
    for body in bodies {
        let answer: Value = serde_json::from_slice(&client.post("/api/v1/signals", body).await?)?;
        accepted += answer.get("accepted").and_then(Value::as_u64).context("no count")?;
    }
    let took = watch.took();
    let sent = bodies.len() * batch;
    ensure!(accepted == sent as u64, "{accepted} of {sent} taken");
    let what = name("HTTP", batch);
    report.row(what.clone(), count(sent) / took.wall_s, "samples/s");
    report.row(format!("{what}, requests"), count(bodies.len()) / took.wall_s, "requests/s");
    let cpu = 1e6 * took.cpu_s / count(sent);
    report.row(format!("{what}, processor time with the client's"), cpu, "us");
    Ok(())
}

fn name(what: &str, batch: usize) -> String {
    format!("{what}, batches of {batch}")
}

/// Every series in turn, a step further each round, ending before the present.
struct Feed {
    keys: Vec<SeriesKey>,
    sent: usize,
    first: Timestamp,
    noise: Noise,
}

impl Feed {
    fn new(sizes: &Sizes) -> Self {
        let key = |number: usize| {
            SeriesKey::new(format!("metric_{}", number % 20))
                .with("service", format!("svc-{:03}", number / 20 % 100))
                .with("replica", format!("r{}", number / 2_000))
        };
        let keys = (0..sizes.series).map(key).collect();
        // Two days hold every round that is sent.
        let first = SystemClock::new().now().plus_millis(-2 * 86_400_000);
        Self { keys, sent: 0, first, noise: Noise::new(3) }
    }

    fn next(&mut self, samples: usize) -> Vec<Signal> {
        let mut signals = Vec::with_capacity(samples);
        let mut keys = self.keys.iter().cycle().skip(self.sent % self.keys.len());
        while signals.len() < samples {
            let Some(key) = keys.next() else { break };
            let round = i64::try_from(self.sent / self.keys.len()).unwrap_or(0);
            let at = self.first.plus_millis(round * STEP_MS);
            let sample = Sample { at, value: 100.0 + 10.0 * self.noise.normal() };
            signals.push(Signal { key: key.clone(), sample });
            self.sent += 1;
        }
        signals
    }
}
