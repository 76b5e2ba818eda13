//! `get`: lists and single items.

use clap::Args;
use serde_json::Value;

use super::{live, watch};
use crate::Terminal;
use crate::api::Api;
use crate::args::{Connection, Format, Output};
use crate::exit::{Exit, Trouble};
use crate::resource::{Reading, Resource};
use crate::table;
use crate::value::{Read, count};

const PAGE_MAX: usize = 500;

/// What to list.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What.
    #[arg(value_enum, hide_possible_values = true, value_name = "WHAT", long_help = WHAT)]
    pub(crate) resource: Resource,
    /// Only the one of this name.
    pub(crate) name: Option<String>,
    /// Only plans that stand here, such as awaiting_approval.
    #[arg(long)]
    pub(crate) phase: Option<String>,
    /// Only what is about this service.
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// Only keys of this principal.
    #[arg(long)]
    pub(crate) principal: Option<String>,
    /// Most items.
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    pub(crate) limit: usize,
    /// Go on showing what changes, until interrupted.
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

const WHAT: &str = "One of services, plans, findings, stories, series, breakers, policies, \
    limits, freezes, kinds, principals, keys, notifications, autonomy, ledger. The singular works \
    too.";

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

impl GetArgs {
    /// A whole list, as other commands show it.
    pub(crate) const fn all(resource: Resource, output: Output, connection: Connection) -> Self {
        Self {
            resource,
            name: None,
            phase: None,
            service: None,
            principal: None,
            limit: 100,
            watch: false,
            output,
            connection,
        }
    }

    fn check(&self) -> Result<(), Trouble> {
        let wrong = |flag: &str, place: &str| {
            let text = format!("{flag} does not go with {}", self.resource.path());
            Trouble::usage(text).hint(format!("it filters {place}"))
        };
        if self.phase.is_some() && self.resource != Resource::Plans {
            return Err(wrong("--phase", "plans"));
        }
        if self.principal.is_some() && self.resource != Resource::Keys {
            return Err(wrong("--principal", "keys"));
        }
        if self.service.is_some() && !self.resource.knows_services() {
            return Err(wrong("--service", "plans, findings, stories, series and breakers"));
        }
        if self.watch && !matches!(self.resource.reading(), Reading::Pages | Reading::Live(_)) {
            let text = format!("{} cannot be watched", self.resource.many());
            let can = "services, plans, findings, stories, principals, keys, notifications, models \
                       and queues can";
            return Err(Trouble::usage(text).hint(can));
        }
        if self.watch && self.name.is_some() {
            return Err(Trouble::usage("--watch follows a list, not a single name"));
        }
        Ok(())
    }
}

/// A list as it was read.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) items: Vec<Value>,
    pub(crate) revision: u64,
    pub(crate) more: bool,
}

pub(crate) async fn run(args: GetArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    args.check()?;
    let api = Api::new(&args.connection)?;
    // Several series share a name.
    if let Some(name) = args.name.as_ref().filter(|_| args.resource != Resource::Series) {
        let item = one(&api, &args, name).await?;
        let wide = args.output.format == Format::Wide;
        let items = std::slice::from_ref(&item);
        table::show(
            terminal,
            args.output.format,
            &item,
            || args.resource.name(&item),
            || {
                let rows = args.resource.rows(items, wide, terminal.now());
                table::table(args.resource.titles(wide), rows)
            },
        )?;
        return Ok(Exit::Done);
    }
    if args.watch && matches!(args.resource.reading(), Reading::Live(_)) {
        return live::run(&api, &args, terminal).await;
    }
    if args.watch {
        return watch::run(&api, &args, terminal).await;
    }
    let listing = list(&api, &args).await?;
    show(&args, listing, terminal)?;
    Ok(Exit::Done)
}

fn show(args: &GetArgs, listing: Listing, terminal: &Terminal) -> anyhow::Result<()> {
    let Listing { items, more, .. } = listing;
    let resource = args.resource;
    let names = || items.iter().map(|item| resource.name(item)).collect::<Vec<_>>().join("\n");
    let wide = args.output.format == Format::Wide;
    let people = matches!(args.output.format, Format::Table | Format::Wide);
    if items.is_empty() && !matches!(args.output.format, Format::Json | Format::Yaml) {
        if people {
            terminal.say(&format!("no {}{}", resource.many(), filters(args)));
            if filters(args).is_empty() {
                terminal.hint(resource.when_empty());
            }
        }
        return Ok(());
    }
    let document = Value::Array(items.clone());
    table::show(terminal, args.output.format, &document, names, || {
        table::table(resource.titles(wide), resource.rows(&items, wide, terminal.now()))
    })?;
    if more {
        let shown = count(items.len(), resource.one(), resource.many());
        terminal.say(&format!("{shown} shown, there are more: raise --limit"));
    }
    Ok(())
}

fn filters(args: &GetArgs) -> String {
    let mut text = String::new();
    if let Some(name) = &args.name {
        text.push_str(&format!(" called {name}"));
    }
    if let Some(phase) = &args.phase {
        text.push_str(&format!(" in phase {phase}"));
    }
    if let Some(service) = &args.service {
        text.push_str(&format!(" about {service}"));
    }
    if let Some(principal) = &args.principal {
        text.push_str(&format!(" of {principal}"));
    }
    text
}

async fn one(api: &Api, args: &GetArgs, name: &str) -> anyhow::Result<Value> {
    let resource = args.resource;
    if resource.has_own_address() {
        return api.get(&["api", "v1", resource.path(), name], &[]).await;
    }
    if resource == Resource::Stories {
        let mut detail = api.get(&["api", "v1", "stories", name], &[]).await?;
        return Ok(detail.pointer_mut("/story").map(Value::take).unwrap_or(detail));
    }
    if resource == Resource::Ledger {
        return api.get(&["api", "v1", "ledger", "rows", name], &[]).await;
    }
    // Lists without addresses of their own are short, or searched to their end.
    let all = GetArgs {
        limit: usize::MAX,
        phase: args.phase.clone(),
        service: args.service.clone(),
        principal: args.principal.clone(),
        ..GetArgs::all(resource, args.output, args.connection.clone())
    };
    let found = list(api, &all).await?.items.into_iter().find(|item| resource.name(item) == name);
    found.ok_or_else(|| {
        let hint = format!("`openautoglm get {}` lists them", resource.path());
        let text = format!("no {} '{name}'", resource.one());
        Trouble::new(Exit::NotFound, text).hint(hint).into()
    })
}

/// Reads a list up to its limit, page by page.
pub(crate) async fn list(api: &Api, args: &GetArgs) -> anyhow::Result<Listing> {
    match args.resource.reading() {
        Reading::Pages => pages(api, args).await,
        Reading::Whole(member) | Reading::Live(member) => whole(api, args, member).await,
        Reading::Tail => tail(api, args).await,
    }
}

async fn pages(api: &Api, args: &GetArgs) -> anyhow::Result<Listing> {
    let mut listing = Listing { items: Vec::new(), revision: 0, more: false };
    let mut token: Option<String> = None;
    loop {
        let size = args.limit.saturating_sub(listing.items.len()).clamp(1, PAGE_MAX);
        let mut query = vec![("page_size", size.to_string())];
        let plans = args.resource == Resource::Plans;
        query.extend(args.phase.clone().map(|phase| ("phase", phase)));
        query.extend(args.service.clone().filter(|_| plans).map(|name| ("service", name)));
        query.extend(args.principal.clone().map(|name| ("principal", name)));
        query.extend(token.take().map(|token| ("page_token", token)));
        let page = api.get(&["api", "v1", args.resource.path()], &query).await?;
        if listing.revision == 0 {
            // Watches go on from the first page, so that nothing between two pages is missed.
            listing.revision = page.at("/revision").as_u64().unwrap_or(0);
        }
        let about = |item: &&Value| {
            args.service.as_deref().is_none_or(|name| args.resource.is_about(item, name))
        };
        listing.items.extend(page.list("/items").iter().filter(about).cloned());
        token = page.at("/next_page_token").as_str().map(str::to_owned);
        let full = listing.items.len() >= args.limit;
        if token.is_none() || full {
            listing.more = token.is_some() || listing.items.len() > args.limit;
            listing.items.truncate(args.limit);
            return Ok(listing);
        }
    }
}

async fn whole(api: &Api, args: &GetArgs, member: &str) -> anyhow::Result<Listing> {
    let mut query = Vec::new();
    if args.resource == Resource::Series {
        query.push(("limit", args.limit.min(1_000).to_string()));
        query.extend(args.service.clone().map(|name| ("service", name)));
        query.extend(args.name.clone().map(|name| ("prefix", name)));
    }
    let document = api.get(&["api", "v1", args.resource.path()], &query).await?;
    let series = args.name.as_deref().filter(|_| args.resource == Resource::Series);
    let about = |item: &&Value| {
        args.service.as_deref().is_none_or(|name| args.resource.is_about(item, name))
            && series.is_none_or(|name| item.str("/name") == name)
    };
    let mut items: Vec<Value> = document.list(member).iter().filter(about).cloned().collect();
    let more = items.len() > args.limit || document.at("/more") == &Value::Bool(true);
    items.truncate(args.limit);
    let revision = document.at("/revision").as_u64().unwrap_or(0);
    Ok(Listing { items, revision, more })
}

/// The newest rows, in their order.
async fn tail(api: &Api, args: &GetArgs) -> anyhow::Result<Listing> {
    let size = api.get(&["api", "v1", "ledger"], &[]).await?.at("/size").as_u64().unwrap_or(0);
    let wanted = u64::try_from(args.limit).unwrap_or(u64::MAX);
    let mut from = size.saturating_sub(wanted);
    let mut items = Vec::new();
    while from < size {
        let rows = usize::try_from(size - from).unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let query = [("from", from.to_string()), ("page_size", rows.to_string())];
        let page = api.get(&["api", "v1", "ledger", "rows"], &query).await?;
        let rows = page.list("/items");
        let Some(last) = rows.last().and_then(|row| row.at("/index").as_u64()) else { break };
        items.extend(rows.iter().cloned());
        from = last + 1;
    }
    Ok(Listing { items, revision: 0, more: size > wanted })
}
