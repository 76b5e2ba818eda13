//! `status`: how the server is, what waits for people, what happened.

use clap::Args;
use serde_json::{Value, json};

use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Output};
use crate::exit::Exit;
use crate::resource::Resource;
use crate::table;
use crate::value::{Read, count};

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(args: StatusArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let health = api.probe(&["health", "ready"]).await?;
    let well = health.str("/status") == "ok";
    let about = api.get(&["api", "v1", "openapi.json"], &[]).await.unwrap_or_default();
    let mut document = json!({
        "server": api.address(),
        "version": about.at("/info/version"),
        "health": health,
    });
    // Health is for everybody, the rest is not: without a key there is still half an answer.
    let inside = inside(&api).await;
    if let (Ok(inside), Some(members)) = (&inside, document.as_object_mut()) {
        for (name, value) in inside {
            members.insert((*name).to_owned(), value.clone());
        }
    }
    table::show(
        terminal,
        args.output.format,
        &document,
        || api.address().to_owned(),
        || text(&document, terminal),
    )?;
    if let Err(error) = inside {
        return Ok(terminal.report(&error));
    }
    if let Some(plan) = document.list("/awaiting_approval").first() {
        terminal.hint(&format!("read it: `openautoglm describe plan {}`", plan.str("/id")));
    }
    Ok(if well { Exit::Done } else { Exit::Unavailable })
}

async fn inside(api: &Api) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let mut found = Vec::new();
    for phase in ["awaiting_approval", "outcome_unknown"] {
        let query = [("phase", phase.to_owned()), ("page_size", "20".to_owned())];
        let plans = api.get(&["api", "v1", "plans"], &query).await?;
        found.push((phase, json!(plans.list("/items"))));
    }
    let stories = api.get(&["api", "v1", "stories"], &[("page_size", "5".to_owned())]).await?;
    found.push(("stories", json!(stories.list("/items"))));
    let switch = api.get(&["api", "v1", "kill-switch"], &[]).await?;
    found.push(("kill_switch", switch.at("/kill_switch").clone()));
    Ok(found)
}

fn text(document: &Value, terminal: &Terminal) -> String {
    let server = document.str("/server");
    let version = document.at("/version").as_str().unwrap_or("not known");
    let mut lines = vec![format!("{server}  version {version}")];
    let failing = document.text("/health/failing");
    lines.push(match document.str("/health/status") {
        "ok" => "health: ok".to_owned(),
        _ => format!("health: failing: {failing}"),
    });
    for part in document.list("/health/components") {
        let word = if part.at("/ok") == &Value::Bool(true) { "ok" } else { "failing" };
        let detail = part.at("/detail").as_str().map(|d| format!(", {d}")).unwrap_or_default();
        lines.push(format!("  {}: {word}{detail}", part.str("/name")));
    }
    if document.at("/kill_switch/on") == &Value::Bool(true) {
        lines.push(format!("kill switch: ON, {}", document.str("/kill_switch/reason")));
    }
    let parts = [
        ("/awaiting_approval", "waiting for approval", Resource::Plans),
        ("/outcome_unknown", "with unknown outcome", Resource::Plans),
        ("/stories", "recent stories", Resource::Stories),
    ];
    for (pointer, title, resource) in parts {
        let items = document.list(pointer);
        if document.at(pointer).is_null() {
            continue;
        }
        lines.push(String::new());
        lines.push(match resource {
            Resource::Plans => format!("{} {title}", count(items.len(), "plan", "plans")),
            _ if items.is_empty() => format!("no {title}"),
            _ => title.to_owned(),
        });
        if !items.is_empty() {
            let rows = resource.rows(items, false, terminal.now());
            lines.push(table::table(resource.titles(false), rows));
        }
    }
    lines.join("\n")
}
