//! Durable commits: how long one takes, and how many there are in a second.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use oag_runtime::{Clock, SystemClock};
use oag_store::{PostgresConfig, PostgresStore, SqliteConfig, SqliteStore, Upkeep};
use oag_store_port::{Batch, Collection};
use oag_types::Tenant;
use tokio::task::JoinSet;

use crate::Common;
use crate::figures::{count, percentile};
use crate::machine::{Stopwatch, Took};
use crate::report::{Goal, Report};

const WRITERS: usize = 16;
const RECORDS: Collection = Collection("bench");

/// Measures it.
pub(crate) async fn measure(common: &Common) -> anyhow::Result<Report> {
    let time = span(common);
    let setting = format!(
        "{WRITERS} writers for {} s, a record and a ledger row in each commit",
        time.as_secs_f64()
    );
    let mut report = Report::new("store", setting);
    let scratch = common.scratch()?;
    let store = SqliteStore::open(scratch.path(), SqliteConfig::default())?;
    commits(&mut report, "SQLite", Arc::new(store), time).await?;
    if let Some(url) = &common.postgres {
        commits(&mut report, "PostgreSQL", postgres(url).await?, time).await?;
    }
    Ok(report)
}

/// How long writers go on.
pub(crate) const fn span(common: &Common) -> Duration {
    Duration::from_millis(if common.quick { 200 } else { 5_000 })
}

/// The store at an address.
pub(crate) async fn postgres(url: &str) -> anyhow::Result<Arc<dyn Upkeep>> {
    let store = PostgresStore::connect(url, PostgresConfig::default()).await;
    Ok(Arc::new(store.context("PostgreSQL")?))
}

/// What writers did.
pub(crate) struct Written {
    /// Milliseconds each commit took.
    pub(crate) millis: Vec<f64>,
    /// Time over all.
    pub(crate) took: Took,
    /// Transactions of the database.
    pub(crate) groups: f64,
}

impl Written {
    /// Commits in a second.
    pub(crate) fn per_second(&self) -> f64 {
        count(self.millis.len()) / self.took.wall_s
    }

    /// Microseconds of this process's processor time for each commit.
    pub(crate) fn cpu_micros(&self) -> f64 {
        1e6 * self.took.cpu_s / count(self.millis.len().max(1))
    }
}

/// Commits what `batch` makes of writer and number, one after the other in each writer.
pub(crate) async fn write(
    store: Arc<dyn Upkeep>,
    tenant: &Tenant,
    writers: usize,
    time: Duration,
    batch: fn(Batch, usize, usize) -> Batch,
) -> anyhow::Result<Written> {
    let before = store.stats().groups;
    let watch = Stopwatch::start();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let (store, tenant) = (Arc::clone(&store), tenant.clone());
        tasks.spawn(async move {
            let clock = SystemClock::new();
            let mut millis = Vec::new();
            while clock.monotonic() < time {
                let command = batch(Batch::at(clock.now()), writer, millis.len());
                let began = clock.monotonic();
                store.commit(&tenant, command).await?;
                millis.push(1e3 * (clock.monotonic() - began).as_secs_f64());
            }
            anyhow::Ok(millis)
        });
    }
    let mut millis = Vec::new();
    while let Some(done) = tasks.join_next().await {
        millis.extend(done??);
    }
    let took = watch.took();
    let groups = store.stats().groups.saturating_sub(before);
    let groups = count(usize::try_from(groups)?);
    Ok(Written { millis, took, groups })
}

/// A tenant that no run before has used.
pub(crate) fn fresh_tenant() -> anyhow::Result<Tenant> {
    Ok(format!("bench-{}", SystemClock::new().now().as_millis()).parse()?)
}

async fn commits(
    report: &mut Report,
    name: &str,
    store: Arc<dyn Upkeep>,
    time: Duration,
) -> anyhow::Result<()> {
    let record = |batch: Batch, writer: usize, number: usize| {
        // Half of them are new, half are changes.
        let id = format!("rec_{writer}_{}", number / 2);
        let body = format!("{{\"state\":\"running\",\"number\":{number}}}");
        batch.put(RECORDS, id.clone(), body.clone(), "running").ledger("intent", id, body)
    };
    let mut written = write(store, &fresh_tenant()?, WRITERS, time, record).await?;
    report.row(format!("{name}, commits"), written.per_second(), "commits/s");
    report.row(format!("{name}, p50"), percentile(&mut written.millis, 0.5), "ms");
    let p99 = percentile(&mut written.millis, 0.99);
    report.promise(format!("{name}, p99"), p99, "ms", Goal::AtMost(100.0));
    report.row(format!("{name}, worst"), percentile(&mut written.millis, 1.0), "ms");
    report.row(format!("{name}, processor time of a commit"), written.cpu_micros(), "us");
    let each = count(written.millis.len()) / written.groups.max(1.0);
    report.row(format!("{name}, commits in a transaction"), each, "");
    Ok(())
}
