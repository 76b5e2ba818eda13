//! `replay`: what would these policies have done? Computed here; nothing is executed or sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use oag_ops::{NamedPolicy, ReplayConfig, ReplayReport, read_records, replay};
use oag_types::{Problem, ScalingMode, ScalingSpec, SeriesKey, Service, ServiceName, Signal};
use serde::Deserialize;
use serde_json::Value;

use super::input;
use crate::Terminal;
use crate::args::Output;
use crate::exit::{Exit, Trouble};
use crate::table;

/// Recorded signals and the policies to compare.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recorded signals: JSON lines ({"at", "name", "labels", "value"}), or CSV `time,value` of the
    /// load of --service; `-` reads standard input.
    file: PathBuf,
    /// A policy under a name, from YAML or JSON with the members policy, mode and threshold. May be
    /// given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = super::plan::pair)]
    policy: Vec<(String, String)>,
    /// Scaling modes to compare with the usual numbers.
    #[arg(long, value_name = "MODES", value_delimiter = ',', value_parser = mode)]
    compare: Vec<ScalingMode>,
    /// A service as YAML or JSON, as for `put service`; else one with the usual scaling for each
    /// service of the records. May be given several times.
    #[arg(long, value_name = "FILE")]
    service_spec: Vec<PathBuf>,
    /// The service of a CSV.
    #[arg(long, default_value = "service", value_name = "NAME")]
    service: ServiceName,
    /// Requests per second that one replica carries, where nothing says so.
    #[arg(long, value_name = "NUMBER")]
    capacity: Option<f64>,
    /// Replicas at the start; what the first load needs when left out.
    #[arg(long, value_name = "NUMBER")]
    initial_replicas: Option<u32>,
    /// Steps from a decision until new replicas are ready.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    start_delay: u32,
    /// Leading share of the records that only teaches the forecaster, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    warmup: f64,
    #[command(flatten)]
    output: Output,
}

/// A policy in a file; its name is given beside it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    policy: oag_ops::DecisionPolicy,
    #[serde(default)]
    mode: Option<ScalingMode>,
    #[serde(default)]
    threshold: Option<f64>,
    #[serde(default)]
    plan_quantile: Option<f64>,
}

fn mode(text: &str) -> Result<ScalingMode, String> {
    match text {
        "predictive" => Ok(ScalingMode::Predictive),
        "reactive" => Ok(ScalingMode::Reactive),
        "off" => Ok(ScalingMode::Off),
        _ => Err("the modes are predictive, reactive and off".to_owned()),
    }
}

pub(crate) async fn run(args: ReplayArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let policies = policies(&args, terminal).await?;
    let config = ReplayConfig {
        start_delay_steps: args.start_delay,
        initial_replicas: args.initial_replicas,
        capacity_per_replica: args.capacity,
        warmup_share: args.warmup,
        ..ReplayConfig::default()
    };
    let text = input::text(&args.file, terminal).await?;
    let key = SeriesKey::of_service("request_rate", &args.service);
    let records = read_records(text.lines(), Some(&key), &config).map_err(advised)?;
    let services = services(&args, &records, terminal).await?;
    let work = tokio::task::spawn_blocking(move || replay(records, &services, &policies, &config));
    let report = work.await?.map_err(advised)?;
    let document = serde_json::to_value(&report)?;
    let names = || report.policies.iter().map(|p| p.name.clone()).collect::<Vec<_>>().join("\n");
    table::show(terminal, args.output.format, &document, names, || report_text(&report))?;
    for note in &report.notes {
        terminal.say(&format!("note: {note}"));
    }
    Ok(Exit::Done)
}

fn advised(problem: Problem) -> Trouble {
    let about = problem.fields.first().map(|(field, _)| field.as_str());
    let hint = match about {
        Some("capacity_per_replica") => {
            "say with --capacity how many requests per second one replica carries"
        }
        Some("records") => "replay needs the metric request_rate of a service",
        _ => "docs/cli.md says how records and policies are written",
    };
    Trouble::new(Exit::of(problem.kind()), problem.detail).hint(hint)
}

async fn policies(args: &ReplayArgs, terminal: &Terminal) -> anyhow::Result<Vec<NamedPolicy>> {
    let mut found = Vec::new();
    for (name, file) in &args.policy {
        let text = input::text(Path::new(file), terminal).await?;
        let file: PolicyFile = input::parse(&text, file)?;
        let PolicyFile { policy, mode, threshold, plan_quantile } = file;
        found.push(NamedPolicy { name: name.clone(), policy, mode, threshold, plan_quantile });
    }
    let usual = [ScalingMode::Predictive, ScalingMode::Reactive];
    let modes: &[ScalingMode] = match (args.compare.is_empty(), found.is_empty()) {
        (true, true) => &usual,
        _ => &args.compare,
    };
    for mode in modes {
        let name = serde_json::to_value(mode)?.as_str().unwrap_or_default().to_owned();
        found.push(NamedPolicy::usual(name, *mode));
    }
    let mut names: Vec<&str> = found.iter().map(|policy| policy.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        let text = format!("two policies are called {}", pair.first().unwrap_or(&""));
        return Err(Trouble::usage(text).into());
    }
    Ok(found)
}

async fn services(
    args: &ReplayArgs,
    records: &[Signal],
    terminal: &Terminal,
) -> anyhow::Result<Vec<Service>> {
    let mut found = Vec::new();
    for file in &args.service_spec {
        let text = input::text(file, terminal).await?;
        let mut document: Value = input::parse(&text, &file.display().to_string())?;
        // As `get service -o yaml` writes it.
        if let Some(members) = document.as_object_mut() {
            members.remove("revision");
        }
        let service = serde_json::from_value(document).map_err(|error| {
            Trouble::usage(format!("{} is no service: {error}", file.display()))
        })?;
        found.push(service);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let loads = records.iter().filter(|record| record.key.name == "request_rate");
    let names: BTreeMap<ServiceName, ()> =
        loads.filter_map(|record| Some((record.key.service()?, ()))).collect();
    let group = "default".parse()?;
    Ok(names.into_keys().map(|name| usual(name, &group)).collect())
}

fn usual(name: ServiceName, group: &oag_types::GroupName) -> Service {
    Service {
        name,
        group: group.clone(),
        executor: "local".to_owned(),
        spec: Value::Null,
        depends_on: Vec::new(),
        scaling: ScalingSpec::default(),
        features: Vec::new(),
    }
}

fn report_text(report: &ReplayReport) -> String {
    let row = |policy: &oag_ops::PolicyOutcome| {
        vec![
            policy.name.clone(),
            format!("{:.2}%", policy.overloaded_share * 100.0),
            format!("{:.2}%", policy.over_threshold_share * 100.0),
            format!("{:.0}", policy.requests_over),
            policy.replica_steps.to_string(),
            policy.replica_steps_needed.to_string(),
            policy.scale_ups.to_string(),
            policy.scale_downs.to_string(),
            policy.findings.to_string(),
        ]
    };
    let titles = vec![
        "policy",
        "overloaded",
        "over threshold",
        "requests over",
        "replica-steps",
        "needed",
        "ups",
        "downs",
        "findings",
    ];
    let rows = report.policies.iter().map(row).collect();
    let mut text = format!("{} records from {} to {}\n\n", report.records, report.from, report.to);
    text.push_str(&table::table(titles, rows));
    text.push_str("\n\n");
    match &report.first_difference {
        None => text.push_str("the policies decide alike at every step\n"),
        Some(difference) => {
            let (at, service) = (difference.at, &difference.service);
            text.push_str(&format!("first difference: {service} at {at}\n"));
            for (name, wanted, why) in &difference.sides {
                let why = if why.is_empty() { "no change" } else { why };
                text.push_str(&format!("  {name} wants {wanted}: {why}\n"));
            }
        }
    }
    text
}
