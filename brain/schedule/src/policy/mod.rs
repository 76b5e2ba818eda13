//! In which order waiting tasks run: one trait, one file for each policy.
//!
//! A policy holds the tasks of one lane (a tenant's tasks of one class, or all of a queue) and says
//! which is next. It does not know workers, tenants or limits.

mod balanced;
mod fcfs;
mod keyed;
mod mlfq;
mod priority;
mod sjf;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use balanced::Balanced;
pub use fcfs::Fcfs;
pub use mlfq::{Level, Mlfq, MlfqConfig};
pub use priority::{Priority, PriorityConfig};
pub use sjf::Sjf;

use crate::task::{Class, Ticket};
use crate::time::Moment;

/// A waiting task as a policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its number; earlier tasks have smaller ones.
    pub ticket: Ticket,
    /// When it was handed in.
    pub arrived: Moment,
    /// When it began to wait, for the first time or again.
    pub since: Moment,
    /// How urgent it is.
    pub class: Class,
    /// Predicted time it will still hold a slot.
    pub work: Duration,
    /// Its level, for policies that have some; 0 is the first.
    pub level: u8,
}

/// What a policy may know besides its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The present.
    pub now: Moment,
    /// How long a task may be overtaken; see [`crate::queue::Patience`].
    pub patience: Duration,
    /// Whether patience is at its most, and would be longer by what was seen.
    pub at_limit: bool,
}

/// Why a task is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It came first.
    First,
    /// Its predicted work is the least.
    Shortest,
    /// It was the turn of the oldest.
    Oldest,
    /// Its class goes before the others.
    Class,
    /// Its level goes before the others.
    Level,
    /// It had waited so long that it was moved up.
    Aged,
}

impl Reason {
    /// In words, for people who look at a live queue.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::First => "came first",
            Self::Shortest => "least predicted work",
            Self::Oldest => "waited longest",
            Self::Class => "most urgent class",
            Self::Level => "highest level",
            Self::Aged => "moved up after a long wait",
        }
    }
}

/// The next task of a lane, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub task: Waiting,
    /// Why.
    pub reason: Reason,
}

/// An order of waiting tasks.
pub trait Policy: fmt::Debug + Send {
    /// Takes a task in: a new one, or one that comes back.
    fn push(&mut self, task: Waiting);

    /// The task that should run next; the same until something changes.
    fn choose(&self, view: View) -> Option<Choice>;

    /// Hands out what was chosen.
    fn take(&mut self, choice: &Choice, view: View);

    /// Takes a task out that will not run from here.
    fn remove(&mut self, ticket: Ticket) -> Option<Waiting>;

    /// The first `most` tasks in the order in which they would go if nothing came and time stood
    /// still.
    fn ahead(&self, view: View, most: usize) -> Vec<Choice>;

    /// Tasks that wait.
    fn len(&self) -> usize;

    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long a task that was chosen may run before [`Policy::spent`] is asked; none: to its end.
    fn slice(&self, choice: &Choice) -> Option<Duration> {
        let _ = choice;
        None
    }

    /// What becomes of a running task that has used its slice up.
    fn spent(&self, task: Waiting) -> Waiting {
        task
    }

    /// Whether the task that is next may take the place of a running one at once.
    fn preempts(&self, next: &Waiting, running: &Waiting) -> bool {
        let _ = (next, running);
        false
    }
}

/// Which policy a queue has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// First come, first served.
    Fcfs,
    /// Least predicted work first.
    Sjf,
    /// More urgent classes first, also in place of what runs.
    Priority(PriorityConfig),
    /// Levels with slices.
    Mlfq(MlfqConfig),
    /// The default: least predicted work first, with turns of the oldest.
    Balanced(Balanced),
}

impl Default for PolicyKind {
    fn default() -> Self {
        Self::Balanced(Balanced::default())
    }
}

/// A name that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no policy: fcfs, sjf, priority, mlfq or balanced")]
pub struct UnknownPolicy(String);

impl PolicyKind {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fcfs => "fcfs",
            Self::Sjf => "sjf",
            Self::Priority(_) => "priority",
            Self::Mlfq(_) => "mlfq",
            Self::Balanced(_) => "balanced",
        }
    }

    /// A lane of it, with nothing in it.
    #[must_use]
    pub fn lane(&self) -> Box<dyn Policy> {
        match self {
            Self::Fcfs => Box::new(Fcfs::default()),
            Self::Sjf => Box::new(Sjf::default()),
            Self::Priority(config) => Box::new(Priority::new(config.clone())),
            Self::Mlfq(config) => Box::new(Mlfq::new(config.clone())),
            Self::Balanced(settings) => Box::new(balanced::Lane::new(settings.clone())),
        }
    }

    /// The level at which new tasks enter, for policies that have some.
    #[must_use]
    pub const fn entry_level(&self) -> u8 {
        match self {
            Self::Mlfq(config) => config.entry,
            _ => 0,
        }
    }

    /// Whether strict classes and fair shares of tenants belong above it; the others are what
    /// their names say, over all tasks of a queue alike.
    #[must_use]
    pub const fn has_lanes(&self) -> bool {
        matches!(self, Self::Balanced(_))
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    /// By name, with the settings it has unless told otherwise.
    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        match name {
            "fcfs" => Ok(Self::Fcfs),
            "sjf" => Ok(Self::Sjf),
            "priority" => Ok(Self::Priority(PriorityConfig::default())),
            "mlfq" => Ok(Self::Mlfq(MlfqConfig::default())),
            "balanced" => Ok(Self::Balanced(Balanced::default())),
            other => Err(UnknownPolicy(other.chars().take(64).collect())),
        }
    }
}
