//! `get --watch` of lists that are no records: the whole list again whenever it is another.

use oag_wire::sse::Events;
use serde_json::Value;

use super::get::GetArgs;
use super::watch::{AGAIN, EVENT_BYTES_MAX, documents, take};
use crate::Terminal;
use crate::api::Api;
use crate::args::Format;
use crate::exit::Exit;
use crate::table;
use crate::value::Read;

pub(super) async fn run(api: &Api, args: &GetArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let path = ["api", "v1", args.resource.path()];
    let mut shown = Value::Null;
    loop {
        let mut response = api.events(&path, None).await?;
        let mut events = Events::new(EVENT_BYTES_MAX);
        while let Ok(Some(chunk)) = response.chunk().await {
            // Of several that come together the last one is how it is.
            let Some(event) = take(&mut events, &chunk)?.pop() else { continue };
            let list: Value = serde_json::from_str(&event.data).unwrap_or_default();
            if list != shown {
                show(args, list.list("/items"), terminal)?;
                shown = list;
            }
        }
        // The server ends watches from time to time.
        tokio::time::sleep(AGAIN).await;
    }
}

fn show(args: &GetArgs, items: &[Value], terminal: &Terminal) -> anyhow::Result<()> {
    let named =
        |item: &&Value| args.name.as_ref().is_none_or(|name| args.resource.name(item) == *name);
    let items: Vec<Value> = items.iter().filter(named).cloned().collect();
    let resource = args.resource;
    let wide = args.output.format == Format::Wide;
    let text = match args.output.format {
        Format::Json => serde_json::to_string(&items)?,
        Format::Yaml => documents(&[Value::Array(items)])?,
        Format::Name => items.iter().map(|item| resource.name(item)).collect::<Vec<_>>().join("\n"),
        Format::Table | Format::Wide => {
            let rows = resource.rows(&items, wide, terminal.now());
            format!("{}\n", table::table(resource.titles(wide), rows))
        }
    };
    terminal.data(&text)
}
