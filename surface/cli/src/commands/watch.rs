//! `get --watch`: a list, then what changes in it.

use std::collections::BTreeMap;
use std::time::Duration;

use oag_wire::sse::{Event, Events};
use serde_json::{Value, json};

use super::get::{self, GetArgs};
use crate::Terminal;
use crate::api::Api;
use crate::args::Format;
use crate::exit::{Exit, Trouble};
use crate::table::{self, Rows};
use crate::value::Read;

pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// Changes that come together are shown together.
const SETTLE: Duration = Duration::from_millis(50);
/// Most bytes of one event; what is larger is no answer of the API.
pub(super) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// What was shown already.
struct Shown<'a> {
    args: &'a GetArgs,
    terminal: &'a Terminal,
    rows: Rows,
    revisions: BTreeMap<String, u64>,
}

pub(super) async fn run(api: &Api, args: &GetArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let wide = args.output.format == Format::Wide;
    let rows = Rows::new(args.resource.titles(wide));
    let mut shown = Shown { args, terminal, rows, revisions: BTreeMap::new() };
    let listing = get::list(api, args).await?;
    let mut from = listing.revision;
    shown.show(listing.items)?;
    loop {
        from = match follow(api, &mut shown, from).await {
            Ok(reached) => reached,
            Err(error) if is_gone(&error) => {
                let listing = get::list(api, args).await?;
                shown.show(listing.items)?;
                listing.revision
            }
            Err(error) => return Err(error),
        };
        // The server ends watches from time to time; the next one goes on where this one stopped.
        tokio::time::sleep(AGAIN).await;
    }
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Trouble>().is_some_and(|trouble| {
        trouble.exit() == Exit::NotFound && trouble.to_string().contains("OAG-1901")
    })
}

/// Follows one stream to its end; the answer is the revision that was reached.
async fn follow(api: &Api, shown: &mut Shown<'_>, from: u64) -> anyhow::Result<u64> {
    let mut response = api.events(&["api", "v1", shown.args.resource.path()], Some(from)).await?;
    let mut events = Events::new(EVENT_BYTES_MAX);
    let mut reached = from;
    loop {
        let Ok(Some(chunk)) = response.chunk().await else { return Ok(reached) };
        let mut found = take(&mut events, &chunk)?;
        while let Ok(next) = tokio::time::timeout(SETTLE, response.chunk()).await {
            let Ok(Some(chunk)) = next else { break };
            found.extend(take(&mut events, &chunk)?);
        }
        let mut changed = false;
        let mut deleted = Vec::new();
        for event in found {
            let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
            match event.name.as_str() {
                "error" => return Err(said(&data)),
                "bookmark" => {}
                _ => {
                    changed = true;
                    if data.at("/deleted") == &Value::Bool(true) {
                        deleted.push(data.text("/id"));
                    }
                }
            }
            reached = data.at("/revision").as_u64().unwrap_or(reached).max(reached);
        }
        if changed {
            let items = get::list(api, shown.args).await?.items;
            let name = |item: &Value| shown.args.resource.name(item);
            // What was deleted may be there again.
            deleted.retain(|id| items.iter().all(|item| name(item) != *id));
            shown.show(items)?;
            for id in deleted {
                shown.gone(&id)?;
            }
        }
    }
}

pub(super) fn take(events: &mut Events, chunk: &[u8]) -> anyhow::Result<Vec<Event>> {
    let found = events.push(chunk);
    found.map_err(|_| Trouble::new(Exit::Failed, "the watch sent an event without end").into())
}

fn said(problem: &Value) -> anyhow::Error {
    let gone = problem.str("/code") == "OAG-1901";
    let exit = if gone { Exit::NotFound } else { Exit::Unavailable };
    let title = format!("{} ({})", problem.str("/title"), problem.str("/code"));
    Trouble::new(exit, title).line(problem.str("/detail")).into()
}

impl Shown<'_> {
    /// Shows the items that are new or changed. Lists are newest first, this is a history.
    fn show(&mut self, items: Vec<Value>) -> anyhow::Result<()> {
        let resource = self.args.resource;
        let mut fresh = Vec::new();
        for item in items {
            let revision = item.at("/revision").as_u64().unwrap_or(0);
            let known = self.revisions.insert(resource.name(&item), revision);
            if known != Some(revision) {
                fresh.push(item);
            }
        }
        fresh.sort_by_key(|item| item.at("/revision").as_u64());
        if fresh.is_empty() {
            return Ok(());
        }
        let wide = self.args.output.format == Format::Wide;
        let text = match self.args.output.format {
            Format::Json => lines(&fresh)?,
            Format::Yaml => documents(&fresh)?,
            Format::Name => {
                fresh.iter().map(|item| resource.name(item)).collect::<Vec<_>>().join("\n")
            }
            Format::Table | Format::Wide => {
                self.rows.render(resource.rows(&fresh, wide, self.terminal.now()))
            }
        };
        self.terminal.data(&text)
    }

    fn gone(&mut self, id: &str) -> anyhow::Result<()> {
        if self.revisions.remove(id).is_none() {
            return Ok(());
        }
        let document = json!({ "id": id, "deleted": true });
        match self.args.output.format {
            Format::Json => self.terminal.data(&document.to_string()),
            Format::Yaml => self.terminal.data(&documents(&[document])?),
            Format::Name => Ok(()),
            Format::Table | Format::Wide => self.terminal.data(&format!("{id}  (deleted)")),
        }
    }
}

/// One JSON document per line.
fn lines(items: &[Value]) -> anyhow::Result<String> {
    let lines: Result<Vec<String>, _> = items.iter().map(serde_json::to_string).collect();
    Ok(lines?.join("\n"))
}

pub(super) fn documents(items: &[Value]) -> anyhow::Result<String> {
    let mut text = String::new();
    for item in items {
        text.push_str("---\n");
        text.push_str(&table::yaml(item)?);
    }
    Ok(text)
}
