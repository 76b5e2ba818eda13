//! Latency of one analysis: as a function, and over HTTP.

use std::collections::BTreeMap;

use anyhow::ensure;
use oag_ops::{AnalyzeRequest, analyze};
use oag_runtime::SystemClock;
use serde_json::Value;

use crate::Common;
use crate::figures::{Noise, count, percentile};
use crate::http::Client;
use crate::machine::Stopwatch;
use crate::report::{Goal, Report};
use crate::world::World;

const POINTS: [usize; 3] = [4, 10, 60];
const CONTEXTS: [&str; 3] =
    ["order-service during the sale", "大促期间 order-service 压力上升", "after a release"];

/// Measures it.
pub(crate) async fn measure(common: &Common) -> anyhow::Result<Report> {
    let (inputs, calls) = if common.quick { (60, 30) } else { (10_000, 2_000) };
    let setting = format!("3 metrics, {inputs} inputs for each length, {calls} calls over HTTP");
    let mut report = Report::new("analyze", setting);
    for points in POINTS {
        function(&mut report, points, inputs)?;
    }
    let Some((url, key)) = common.url.as_ref().zip(common.api_key.as_ref()) else {
        let scratch = common.scratch()?;
        let world = World::new(scratch.path(), SystemClock::shared()).await?;
        let served = world.serve().await?;
        over_http(&mut report, &served.url, &served.key, calls, "this process").await?;
        served.stop().await;
        return Ok(report);
    };
    over_http(&mut report, url, key, calls, "the server given").await?;
    Ok(report)
}

fn function(report: &mut Report, points: usize, inputs: usize) -> anyhow::Result<()> {
    let mut noise = Noise::new(points as u64);
    let mut micros = Vec::with_capacity(inputs);
    let mut acting = 0;
    let mut cpu_s = 0.0;
    for _ in 0..inputs {
        let request = question(&mut noise, points);
        let watch = Stopwatch::start();
        let answer = analyze(&request, None)?;
        let took = watch.took();
        ensure!(!answer.action.is_empty(), "an answer without words");
        acting += usize::from(answer.plan.is_some() || answer.replicas.is_some());
        micros.push(1e6 * took.wall_s);
        cpu_s += took.cpu_s;
    }
    let name = |what: &str| format!("{points} points, {what}");
    report.row(name("p50"), percentile(&mut micros, 0.5), "us");
    let p99 = percentile(&mut micros, 0.99);
    report.promise(name("p99"), p99, "us", Goal::AtMost(10_000.0));
    report.row(name("processor time"), 1e6 * cpu_s / count(inputs), "us");
    report.row(name("answers that advise replicas"), count(acting), "");
    Ok(())
}

async fn over_http(
    report: &mut Report,
    url: &str,
    key: &str,
    calls: usize,
    who: &str,
) -> anyhow::Result<()> {
    let mut client = Client::connect(url, key).await?;
    let mut noise = Noise::new(7);
    let mut millis = Vec::with_capacity(calls);
    for _ in 0..calls {
        let body = serde_json::to_string(&question(&mut noise, 10))?;
        let watch = Stopwatch::start();
        let answer = client.post("/api/v1/analyze", &body).await?;
        millis.push(1e3 * watch.took().wall_s);
        let answer: Value = serde_json::from_slice(&answer)?;
        ensure!(answer.get("decision").is_some(), "no decision in {answer}");
    }
    let name = |what: &str| format!("10 points over HTTP, {who}, {what}");
    report.row(name("p50"), percentile(&mut millis, 0.5), "ms");
    let p99 = percentile(&mut millis, 0.99);
    report.promise(name("p99"), p99, "ms", Goal::AtMost(100.0));
    report.row(name("worst"), percentile(&mut millis, 1.0), "ms");
    Ok(())
}

/// Loads of any height that rise, fall or stay.
fn question(noise: &mut Noise, points: usize) -> AnalyzeRequest {
    let mut metrics = BTreeMap::new();
    for (name, top) in [("cpu_usage", 100.0), ("request_rate", 900.0), ("latency_p99_ms", 400.0)] {
        let (from, to) = (top * noise.uniform(), top * noise.uniform());
        let values = (0..points).map(|at| {
            let share = count(at) / count(points.max(2) - 1);
            let value = from + (to - from) * share + 0.03 * top * noise.normal();
            Some(value.clamp(0.0, top))
        });
        metrics.insert(name.to_owned(), values.collect());
    }
    let pick = noise.uniform();
    let context = CONTEXTS.iter().zip([0.4, 0.8, 1.0]).find(|(_, below)| pick < *below);
    AnalyzeRequest {
        metrics,
        context: context.map(|(text, _)| (*text).to_owned()),
        replicas: (pick > 0.5).then_some(4),
        ..AnalyzeRequest::default()
    }
}
