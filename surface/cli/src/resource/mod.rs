//! What can be listed: where it is, what a row of it shows, and what to do when there is nothing.

mod columns;

use clap::ValueEnum;
use oag_types::Timestamp;
use serde_json::Value;

use crate::value::Read;

pub(crate) use columns::{Column, percent, repeat, risk, roles, services, story_state};

/// A list of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Resource {
    /// The catalogue of services.
    #[value(alias = "service", alias = "svc")]
    Services,
    /// Plans, newest first.
    #[value(alias = "plan")]
    Plans,
    /// What was found in signals, newest first.
    #[value(alias = "finding")]
    Findings,
    /// Stories from signal to ledger, newest first.
    #[value(alias = "story")]
    Stories,
    /// Series of signals.
    #[value(alias = "signals")]
    Series,
    /// Circuit breakers of services.
    #[value(alias = "breaker")]
    Breakers,
    /// Who may do what.
    #[value(alias = "policy")]
    Policies,
    /// How much, how fast, how often.
    #[value(alias = "limit")]
    Limits,
    /// When nothing is changed.
    #[value(alias = "freeze")]
    Freezes,
    /// Action kinds and their parameters.
    #[value(alias = "kind")]
    Kinds,
    /// People and programs.
    #[value(alias = "principal")]
    Principals,
    /// API keys, never their secrets.
    #[value(alias = "key")]
    Keys,
    /// Messages, newest first.
    #[value(alias = "notification")]
    Notifications,
    /// How far each action kind may go by itself.
    Autonomy,
    /// The newest rows of the ledger.
    Ledger,
    /// The nodes of the fleet.
    #[value(alias = "node")]
    Nodes,
    /// The groups of nodes.
    #[value(alias = "group")]
    Groups,
    /// The models of the fleet.
    #[value(alias = "model")]
    Models,
    /// What waits for models, and what runs.
    #[value(alias = "queue")]
    Queues,
}

/// How a list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// In pages, and it can be watched.
    Pages,
    /// At once, under this member.
    Whole(&'static str),
    /// The same, and the whole list can be watched.
    Live(&'static str),
    /// The end of the ledger.
    Tail,
}

impl Resource {
    /// The path below `/api/v1`.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Plans => "plans",
            Self::Findings => "findings",
            Self::Stories => "stories",
            Self::Series => "series",
            Self::Breakers => "breakers",
            Self::Policies => "policies",
            Self::Limits => "limits",
            Self::Freezes => "freezes",
            Self::Kinds => "kinds",
            Self::Principals => "principals",
            Self::Keys => "keys",
            Self::Notifications => "notifications",
            Self::Autonomy => "autonomy",
            Self::Ledger => "ledger",
            Self::Nodes => "nodes",
            Self::Groups => "node-groups",
            Self::Models => "models",
            Self::Queues => "queues",
        }
    }

    /// The name of one of them.
    pub(crate) const fn one(self) -> &'static str {
        match self {
            Self::Services => "service",
            Self::Plans => "plan",
            Self::Findings => "finding",
            Self::Stories => "story",
            Self::Series => "series",
            Self::Breakers => "breaker",
            Self::Policies => "policy",
            Self::Limits => "limit",
            Self::Freezes => "freeze",
            Self::Kinds => "kind",
            Self::Principals => "principal",
            Self::Keys => "key",
            Self::Notifications => "notification",
            Self::Autonomy => "kind",
            Self::Ledger => "ledger row",
            Self::Nodes => "node",
            Self::Groups => "group",
            Self::Models => "model",
            Self::Queues => "queue",
        }
    }

    /// The name of several.
    pub(crate) const fn many(self) -> &'static str {
        match self {
            Self::Ledger => "ledger rows",
            Self::Autonomy => "kinds",
            Self::Groups => "groups",
            _ => self.path(),
        }
    }

    pub(crate) const fn reading(self) -> Reading {
        match self {
            Self::Services
            | Self::Plans
            | Self::Findings
            | Self::Stories
            | Self::Principals
            | Self::Keys
            | Self::Notifications => Reading::Pages,
            Self::Series | Self::Breakers | Self::Kinds | Self::Nodes | Self::Groups => {
                Reading::Whole("/items")
            }
            Self::Models | Self::Queues => Reading::Live("/items"),
            Self::Policies => Reading::Whole("/policies"),
            Self::Limits => Reading::Whole("/rules"),
            Self::Freezes => Reading::Whole("/freezes"),
            Self::Autonomy => Reading::Whole("/kinds"),
            Self::Ledger => Reading::Tail,
        }
    }

    /// Whether the API answers for one of them by its name.
    pub(crate) const fn has_own_address(self) -> bool {
        matches!(self, Self::Services | Self::Plans | Self::Nodes)
    }

    /// The name of an item.
    pub(crate) fn name(self, item: &Value) -> String {
        item.text(match self {
            Self::Services
            | Self::Limits
            | Self::Freezes
            | Self::Series
            | Self::Nodes
            | Self::Groups
            | Self::Models => "/name",
            Self::Queues => "/model",
            Self::Plans
            | Self::Findings
            | Self::Stories
            | Self::Principals
            | Self::Keys
            | Self::Notifications => "/id",
            Self::Breakers => "/service",
            Self::Policies => "/role",
            Self::Kinds | Self::Autonomy => "/kind",
            Self::Ledger => "/index",
        })
    }

    /// Whether an item is about a service.
    pub(crate) fn is_about(self, item: &Value, service: &str) -> bool {
        match self {
            Self::Services => item.str("/name") == service,
            Self::Findings | Self::Stories | Self::Breakers => item.str("/service") == service,
            Self::Series => item.str("/labels/service") == service,
            _ => true,
        }
    }

    /// Whether `--service` means something here.
    pub(crate) const fn knows_services(self) -> bool {
        matches!(self, Self::Plans | Self::Findings | Self::Stories | Self::Breakers | Self::Series)
    }

    /// The titles and cells of a table.
    pub(crate) fn columns(self, wide: bool) -> Vec<&'static Column> {
        columns::of(self).iter().filter(|column| wide || !column.wide).collect()
    }

    /// What to try when there is none.
    pub(crate) const fn when_empty(self) -> &'static str {
        match self {
            Self::Services => "describe one in a file: `openautoglm put service -f order.yaml`",
            Self::Plans => "make one: `openautoglm plan scale SERVICE --replicas 4 --reason \"…\"`",
            Self::Findings | Self::Stories => {
                "they come from signals: `openautoglm push FILE`, or see `openautoglm analyze`"
            }
            Self::Series => "send signals: `openautoglm push FILE`",
            Self::Nodes | Self::Models => {
                "start a worker: `openautoglm worker --controller URL --model NAME --upstream URL`"
            }
            Self::Groups => {
                "a worker says its own, `openautoglm worker --group NAME …`, or an inventory does"
            }
            Self::Queues => "a model has a queue from its first request on",
            Self::Breakers => "services come first: `openautoglm put service -f order.yaml`",
            Self::Policies => "without policies nobody may do anything: `openautoglm policy set`",
            Self::Limits => "set some: `openautoglm limits set -f limits.yaml`",
            Self::Freezes => {
                "add one: `openautoglm freeze add sale --from … --to … --reason \"…\"`"
            }
            Self::Kinds | Self::Autonomy => "the server knows no action kinds",
            Self::Principals => "add one: `openautoglm principals add --kind person --name …`",
            Self::Keys => "mint one: `openautoglm keys mint --principal usr_… --name ci`",
            Self::Notifications => "`openautoglm status` shows what goes on",
            Self::Ledger => "nothing was done yet",
        }
    }

    /// The rows of a table.
    pub(crate) fn rows(self, items: &[Value], wide: bool, now: Timestamp) -> Vec<Vec<String>> {
        let columns = self.columns(wide);
        let row = |item: &Value| columns.iter().map(|c| (c.cell)(item, now)).collect();
        items.iter().map(row).collect()
    }

    /// The titles of a table.
    pub(crate) fn titles(self, wide: bool) -> Vec<&'static str> {
        self.columns(wide).into_iter().map(|column| column.title).collect()
    }
}
