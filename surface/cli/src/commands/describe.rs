//! `describe` and `diff`: one thing in full.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output};
use crate::exit::Exit;
use crate::resource::services;
use crate::show;
use crate::table;
use crate::value::{Read, plain, words};

/// What to describe.
#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// What kind of thing.
    #[arg(value_enum)]
    what: What,
    /// Its name or id.
    name: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which plan to compare.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The plan, pln_…
    plan: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// A service: how it scales, its present state and its load.
    #[value(alias = "services")]
    Service,
    /// A plan: actions, verdict, approvals and what was measured.
    #[value(alias = "plans")]
    Plan,
    /// A story: findings, plans, effects and ledger rows.
    #[value(alias = "stories")]
    Story,
}

pub(crate) async fn run(args: DescribeArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let name = args.name.as_str();
    let now = terminal.now();
    match args.what {
        What::Service => {
            let service = api.get(&["api", "v1", "services", name], &[]).await?;
            // The executor or its metrics may be away; the catalogue still says something.
            let observed = api.get(&["api", "v1", "services", name, "observed"], &[]).await;
            let load = api.get(&["api", "v1", "services", name, "load"], &[]).await;
            let (observed, load) = (known(observed), known(load));
            let document = json!({ "service": service, "observed": observed, "load": load });
            let text = || service_text(&document);
            table::show(terminal, args.output.format, &document, || name.to_owned(), text)?;
        }
        What::Plan => {
            let plan = api.get(&["api", "v1", "plans", name], &[]).await?;
            let states = states(&api, &plan).await;
            table::show(
                terminal,
                args.output.format,
                &plan,
                || name.to_owned(),
                || format!("{}\nsteps\n{}", show::plan(&plan, &states, now), show::steps(&plan)),
            )?;
        }
        What::Story => {
            let story = api.get(&["api", "v1", "stories", name], &[]).await?;
            let text = || show::story(&story, now);
            table::show(terminal, args.output.format, &story, || name.to_owned(), text)?;
        }
    }
    Ok(Exit::Done)
}

/// Compares what a plan wants with what is there.
pub(crate) async fn diff(args: DiffArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let plan = api.get(&["api", "v1", "plans", &args.plan], &[]).await?;
    let states = states(&api, &plan).await;
    let mut rows = Vec::new();
    for action in plan.list("/plan/actions") {
        let service = action.str("/target/service");
        let fields = states.get(service).map(|state| state.at("/fields").clone());
        for (field, wanted) in wanted(action) {
            let present = fields.as_ref().and_then(|f| f.get(&field)).cloned();
            let same = present.as_ref().is_some_and(|present| *present == wanted.value);
            rows.push(json!({
                "service": service,
                "field": field,
                "present": present,
                "wanted": wanted.value,
                "is": wanted.is,
                "same": if present.is_some() { Some(same) } else { None },
            }));
        }
    }
    let moved: Vec<&str> = plan
        .at("/plan/base")
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(service, base)| {
            let present = states.get(service)?.at("/revision");
            (present != base).then_some(service.as_str())
        })
        .collect();
    let document = json!({ "plan": args.plan, "changes": rows, "moved": moved });
    table::show(
        terminal,
        args.output.format,
        &document,
        || args.plan.clone(),
        || diff_text(&rows),
    )?;
    if !moved.is_empty() {
        terminal.say(&format!("changed since the plan was made: {}", moved.join(", ")));
        terminal.hint("the guard looks again when it is applied; a new plan may be needed");
    }
    Ok(Exit::Done)
}

struct Wanted {
    value: Value,
    is: &'static str,
}

/// What an action wants of fields: its promises about the state, and its other parameters.
fn wanted(action: &Value) -> Vec<(String, Wanted)> {
    let mut found: Vec<(String, Wanted)> = Vec::new();
    for expectation in action.list("/expect") {
        let Some(field) = expectation.at("/observe/state").as_str() else { continue };
        let is = match expectation.str("/is") {
            "le" => "at most",
            "ge" => "at least",
            _ => "=",
        };
        found.push((field.to_owned(), Wanted { value: expectation.at("/value").clone(), is }));
    }
    for (name, value) in action.at("/params").as_object().into_iter().flatten() {
        if found.iter().all(|(field, _)| field != name) {
            found.push((name.clone(), Wanted { value: value.clone(), is: "=" }));
        }
    }
    found
}

fn diff_text(rows: &[Value]) -> String {
    let row = |row: &Value| {
        let present = match row.at("/present") {
            Value::Null => "?".to_owned(),
            value => plain(value),
        };
        let wanted = match row.str("/is") {
            "=" => row.text("/wanted"),
            is => format!("{is} {}", row.text("/wanted")),
        };
        let change = match row.at("/same") {
            Value::Bool(true) => "same",
            Value::Bool(false) => "change",
            _ => "not known",
        };
        vec![row.text("/service"), row.text("/field"), present, wanted, change.to_owned()]
    };
    let titles = vec!["service", "field", "present", "wanted", "change"];
    table::table(titles, rows.iter().map(row).collect())
}

/// The present states of the services of a plan; those that cannot be seen are left out.
pub(crate) async fn states(api: &Api, plan: &Value) -> show::States {
    let mut found = show::States::new();
    for name in services(plan) {
        if let Ok(state) = api.get(&["api", "v1", "services", &name, "observed"], &[]).await {
            found.insert(name, state);
        }
    }
    found
}

fn known(answer: anyhow::Result<Value>) -> Value {
    answer.unwrap_or(Value::Null)
}

fn service_text(document: &Value) -> String {
    let service = document.at("/service");
    let mut lines = vec![
        format!("service {}  group {}", service.str("/name"), service.str("/group")),
        format!("  executor {}, revision {}", service.str("/executor"), service.text("/revision")),
    ];
    let scaling = service.at("/scaling");
    if !scaling.is_null() {
        lines.push(format!("  scaling: {}", plain(scaling)));
    }
    for call in service.list("/depends_on") {
        let times = call.text("/calls_per_request");
        lines.push(format!("  calls {} {times} times per request", call.str("/service")));
    }
    for feature in service.list("/features") {
        let core = if feature.at("/core") == &Value::Bool(true) { ", core" } else { "" };
        let (name, path) = (feature.str("/name"), feature.str("/path_prefix"));
        lines.push(format!("  feature {name} at {path}{core}"));
    }
    lines.push(String::new());
    let fields = document.at("/observed/fields").as_object();
    match fields {
        None => lines.push("state: its executor does not answer".to_owned()),
        Some(_) => lines.push("state".to_owned()),
    }
    for (name, value) in fields.into_iter().flatten() {
        lines.push(format!("  {}: {}", words(name), plain(value)));
    }
    let load = document.at("/load");
    if let Some(last) = load.list("/values").iter().rev().find(|value| !value.is_null()) {
        lines.push(String::new());
        let unit = load.str("/metric");
        lines.push(format!("load ({unit}): {}", number(last)));
        let ahead: Vec<String> = load.list("/forecast").iter().map(number).collect();
        if !ahead.is_empty() {
            lines.push(format!("  expected next: {}", ahead.join(", ")));
        }
    }
    lines.join("\n")
}

fn number(value: &Value) -> String {
    value.as_f64().map(|number| format!("{number:.1}")).unwrap_or_else(|| "?".to_owned())
}
