//! The ledger: rows appended, verified and proven.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use oag_ledger::{Frontier, Verifier, VerifierKey};
use oag_runtime::{Clock, SystemClock};
use oag_store::{LedgerReader, PostgresConfig, SqliteConfig, SqliteStore, Upkeep};
use oag_store_port::Batch;
use oag_types::Tenant;

use crate::Common;
use crate::figures::{count, percentile};
use crate::machine::Stopwatch;
use crate::report::{Goal, Report};
use crate::store::{fresh_tenant, postgres, span, write};
use crate::world::World;

const PAGE: usize = 4_096;
const TILE: u64 = 256;
const PAYLOAD: &str = r#"{"kind":"scale","service":"order-service","params":{"replicas":3},"was":2,"key":"act_0190","reason":"load of 1400 requests/s needs ceil(1400 / (0.85 * 200)) replicas"}"#;

/// Measures it.
pub(crate) async fn measure(common: &Common) -> anyhow::Result<Report> {
    let (rows, proofs) = if common.quick { (2_000, 20) } else { (200_000, 2_000) };
    let seconds = span(common).as_secs_f64();
    let setting = format!(
        "rows of a {}-byte payload, one to a commit; {seconds} s for each number of writers",
        PAYLOAD.len()
    );
    let mut report = Report::new("ledger", setting);
    let scratch = common.scratch()?;
    let truth = scratch.path().join("truth");
    let store = Arc::new(SqliteStore::open(&truth, SqliteConfig::default())?);
    let goals = [(1, None), (16, Some(1_000.0)), (256, Some(2_000.0))];
    appends(&mut report, "SQLite", Arc::clone(&store) as Arc<dyn Upkeep>, &goals, common).await?;
    let tenant = Tenant::default_tenant();
    let world = World::over(Arc::clone(&store) as _, scratch.path(), SystemClock::shared()).await?;
    fill(&mut report, "SQLite", store.as_ref(), &tenant, rows).await?;
    verify(&mut report, "SQLite", LedgerReader::open(&truth)?, &tenant, rows).await?;
    prove(&mut report, "SQLite", &world, proofs).await?;
    if let Some(url) = &common.postgres {
        let store = postgres(url).await?;
        let goals = [(1, None), (16, None), (256, None)];
        appends(&mut report, "PostgreSQL", Arc::clone(&store), &goals, common).await?;
        let (place, clock) = (scratch.path().join("postgres"), SystemClock::shared());
        let world = World::over(Arc::clone(&store) as _, &place, clock).await?;
        fill(&mut report, "PostgreSQL", store.as_ref(), &tenant, rows).await?;
        let reader = LedgerReader::connect(url, &PostgresConfig::default()).await?;
        verify(&mut report, "PostgreSQL", reader, &tenant, rows).await?;
        prove(&mut report, "PostgreSQL", &world, proofs).await?;
    }
    Ok(report)
}

/// Rows of one tenant, each in a commit of its own.
async fn appends(
    report: &mut Report,
    name: &str,
    store: Arc<dyn Upkeep>,
    goals: &[(usize, Option<f64>)],
    common: &Common,
) -> anyhow::Result<()> {
    let row = |batch: Batch, writer: usize, number: usize| {
        batch.ledger("intent", format!("act_{writer}_{number}"), PAYLOAD)
    };
    for (writers, goal) in goals {
        let (tenant, time) = (fresh_tenant()?, span(common));
        let mut written = write(Arc::clone(&store), &tenant, *writers, time, row).await?;
        let size = Frontier::parse(&store.ledger_frontier(&tenant).await?)?.size();
        ensure!(size == written.millis.len() as u64, "{size} rows of {}", written.millis.len());
        let name = |what: &str| format!("{name}, {writers} writers, {what}");
        let rate = written.per_second();
        match goal {
            Some(goal) => {
                report.promise(name("appends"), rate, "rows/s", Goal::AtLeast(*goal));
            }
            None => report.row(name("appends"), rate, "rows/s"),
        }
        let each = count(written.millis.len()) / written.groups.max(1.0);
        report.row(name("rows in a transaction"), each, "");
        report.row(name("p50"), percentile(&mut written.millis, 0.5), "ms");
        report.row(name("p99"), percentile(&mut written.millis, 0.99), "ms");
        report.row(name("processor time of a row"), written.cpu_micros(), "us");
    }
    Ok(())
}

/// Many rows in each commit: what the tree and the tables cost when the disk does not count.
async fn fill(
    report: &mut Report,
    name: &str,
    store: &dyn Upkeep,
    tenant: &Tenant,
    rows: u64,
) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let watch = Stopwatch::start();
    for first in (0..rows).step_by(1_000) {
        let mut batch = Batch::at(clock.now());
        for number in first..rows.min(first + 1_000) {
            batch = batch.ledger("intent", format!("act_{number}"), PAYLOAD);
        }
        store.commit(tenant, batch).await?;
    }
    let took = watch.took();
    let rows = count(usize::try_from(rows)?);
    let name = |what: &str| format!("{name}, 1,000 rows in a commit, {what}");
    report.row(name("appends"), rows / took.wall_s, "rows/s");
    report.row(name("processor time of a row"), 1e6 * took.cpu_s / rows, "us");
    Ok(())
}

/// One pass over the stored rows and tree, as `openautoglm ledger verify` makes it.
async fn verify(
    report: &mut Report,
    name: &str,
    reader: LedgerReader,
    tenant: &Tenant,
    rows: u64,
) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let mut verifier = Verifier::new(Vec::new());
    let mut next = 0;
    loop {
        let page = reader.rows(tenant, next, PAGE).await?;
        let Some(last) = page.last() else { break };
        let (from, until) = (next / TILE, (last.index + 1) / TILE);
        // A page begins and ends with a tile, all but the last one.
        for (index, bytes) in reader.tiles(tenant, 0, from, usize::try_from(until - from)?).await? {
            verifier.push_tile(0, index, bytes);
        }
        for node in reader.nodes(tenant, 1, from, usize::try_from(until - from)?).await? {
            verifier.push_node(node);
        }
        page.iter().for_each(|row| verifier.push(row));
        next = last.index + 1;
    }
    for level in 2..8 {
        for node in reader.nodes(tenant, level, 0, PAGE).await? {
            verifier.push_node(node);
        }
    }
    let found = verifier.finish(&Frontier::parse(&reader.frontier(tenant).await?)?);
    let took = watch.took();
    ensure!(found.is_sound(), "the ledger is not sound: {:?}", found.problem);
    ensure!(found.rows >= rows, "{} rows of {rows}", found.rows);
    let rows = count(usize::try_from(found.rows)?);
    let rate = rows / took.wall_s;
    let goal = Goal::AtLeast(50_000.0);
    let name = |what: &str| format!("{name}, {what}");
    report.promise(name("rows verified from the database"), rate, "rows/s", goal);
    report.row(name("processor time of a row verified"), 1e6 * took.cpu_s / rows, "us");
    report.row(name("rows verified"), rows, "");
    Ok(())
}

/// Proofs of rows spread over the whole log, each with a signature over the present head, and
/// their checks.
async fn prove(report: &mut Report, name: &str, world: &World, proofs: u64) -> anyhow::Result<()> {
    let (pilot, tenant, admin) = (&world.pilot, &world.tenant, &world.admin);
    let head = pilot.ledger_head(tenant, admin).await?;
    let key: VerifierKey = head.verifier_key.parse()?;
    let mut bundles = Vec::new();
    let watch = Stopwatch::start();
    for number in 0..proofs {
        let index = number * (head.size / proofs);
        bundles.push(pilot.ledger_proof(tenant, admin, index).await?);
    }
    let made = watch.took();
    let watch = Stopwatch::start();
    for bundle in &bundles {
        bundle.verify(&key).context("a proof does not hold")?;
    }
    let checked = watch.took();
    let total = count(bundles.len());
    let name = |what: &str| format!("{name}, {what}");
    report.row(name("proofs made, one after the other"), total / made.wall_s, "proofs/s");
    report.row(name("proofs made, processor time"), 1e6 * made.cpu_s / total, "us");
    report.row(name("proofs checked"), total / checked.wall_s, "proofs/s");
    Ok(())
}
