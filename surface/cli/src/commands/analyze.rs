//! `analyze`: what should be done about these numbers?

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::input;
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output, duration};
use crate::exit::{Exit, Trouble};
use crate::resource::percent;
use crate::show;
use crate::table;
use crate::value::Read;

/// The numbers and what is known about them.
#[derive(Debug, Args)]
pub(crate) struct AnalyzeArgs {
    /// A metric with its values, oldest first; `null` where one is missing. May be given several
    /// times.
    #[arg(long, value_name = "NAME=1,2,3", value_parser = metric, required_unless_present = "file")]
    metric: Vec<(String, Vec<Option<f64>>)>,
    /// What is going on, in Chinese or English.
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
    /// The service; else it is looked for in the context.
    #[arg(long)]
    service: Option<String>,
    /// Its present replicas.
    #[arg(long, value_name = "NUMBER")]
    replicas: Option<u32>,
    /// Distance between two values, such as 30s.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    step: Option<std::time::Duration>,
    /// The whole question as YAML or JSON; `-` reads standard input.
    #[arg(short, long, conflicts_with_all = ["metric", "context", "service", "replicas", "step"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

fn metric(text: &str) -> Result<(String, Vec<Option<f64>>), String> {
    let (name, values) = super::plan::pair(text).map_err(|_| "write it as NAME=1,2,3")?;
    let value = |text: &str| match text.trim() {
        "null" | "" => Ok(None),
        text => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(format!("'{text}' is no number")),
        },
    };
    let values: Result<Vec<Option<f64>>, String> = values.split(',').map(value).collect();
    Ok((name, values?))
}

pub(crate) async fn run(args: AnalyzeArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let request = request(&args, terminal).await?;
    let api = Api::new(&args.connection)?;
    let analysis = api.post(&["api", "v1", "analyze"], &request).await?;
    table::show(
        terminal,
        args.output.format,
        &analysis,
        || analysis.text("/action_kind"),
        || text(&analysis, terminal),
    )?;
    if let Some(command) = command(&analysis) {
        terminal.hint(&format!("to propose it: `{command}`"));
    }
    Ok(Exit::Done)
}

async fn request(args: &AnalyzeArgs, terminal: &Terminal) -> anyhow::Result<Value> {
    if let Some(file) = &args.file {
        return input::document(file, terminal).await;
    }
    let mut metrics = Map::new();
    for (name, values) in &args.metric {
        if metrics.insert(name.clone(), json!(values)).is_some() {
            return Err(Trouble::usage(format!("the metric {name} is given twice")).into());
        }
    }
    let mut request = Map::new();
    request.insert("metrics".to_owned(), Value::Object(metrics));
    let others = [
        ("context", args.context.as_ref().map(|text| json!(text))),
        ("service", args.service.as_ref().map(|name| json!(name))),
        ("replicas", args.replicas.map(|number| json!(number))),
        ("step_ms", args.step.map(|step| json!(step.as_secs() * 1_000))),
    ];
    for (name, value) in others {
        request.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(Value::Object(request))
}

fn text(analysis: &Value, terminal: &Terminal) -> String {
    let sure = percent(analysis.at("/confidence"));
    let mut text = format!("{} ({sure} sure)\n", analysis.str("/action"));
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n"));
        }
        for line in lines.iter().flat_map(|text| text.lines()) {
            text.push_str(&format!("  {line}\n"));
        }
    };
    let findings = analysis.list("/findings").iter();
    part("findings", findings.map(|one| show::finding(one, terminal.now())).collect());
    part("arithmetic", strings(analysis.list("/evidence")));
    part("taken for granted", strings(analysis.list("/assumptions")));
    text
}

fn strings(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item.text("")).collect()
}

/// The command that proposes what is advised.
fn command(analysis: &Value) -> Option<String> {
    let action = match analysis.list("/plan/actions") {
        [action] => action,
        _ => return None,
    };
    let (kind, service) = (action.str("/kind"), action.str("/service"));
    let params = action.at("/params").as_object()?;
    let params: Vec<String> = match kind {
        "scale" => vec![format!("--replicas {}", action.text("/params/replicas"))],
        _ => params.iter().map(|(name, value)| format!("--param '{name}={value}'")).collect(),
    };
    Some(format!("openautoglm plan {kind} {service} {} --reason \"…\"", params.join(" ")))
}
