//! How much may wait, and what is answered when it is too much.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::Ticket;
use crate::time::{micros, seconds};

/// How much a queue takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Tasks that may wait.
    pub tasks_max: usize,
    /// Tokens that may wait: prompts and expected answers together.
    pub tokens_max: u64,
    /// How much of both each class may fill, from the most urgent to the least, so that the less
    /// urgent never keep the more urgent out.
    pub class_shares: [f64; 4],
    /// A tenant may hold this many times the room that is left (dynamic thresholds, Choudhury and
    /// Hahne 1998): alone it fills nearly all, among many each finds room.
    pub tenant_factor: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            tasks_max: 10_000,
            tokens_max: 50_000_000,
            class_shares: [1.0, 0.95, 0.8, 0.5],
            tenant_factor: 16.0,
        }
    }
}

/// Why a task is not taken in, or is given back without having run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too much waits already.
    #[error("too much waits already ({limit}); try again in {} s", .retry_after.as_secs())]
    Overloaded {
        /// Which limit was met.
        limit: Limit,
        /// When there should be room, from how fast the queue drains; whole seconds.
        retry_after: Duration,
    },
    /// No worker can do it.
    #[error("no worker offers '{model}'")]
    NoWorker {
        /// The model that was asked.
        model: String,
    },
    /// No worker has a window this large.
    #[error("{tokens} tokens are more than any worker of '{model}' can hold ({most})")]
    TooLarge {
        /// The model that was asked.
        model: String,
        /// What the task needs.
        tokens: u64,
        /// What the largest worker holds.
        most: u64,
    },
    /// Its deadline is over.
    #[error("its deadline was over before it could run")]
    Late,
    /// It waits for a task that is not known here.
    #[error("it waits for task {0}, which is not known")]
    UnknownDependency(Ticket),
    /// A task it waited for did not complete.
    #[error("task {0}, which it waited for, did not complete")]
    DependencyFailed(Ticket),
    /// Its workers were lost under it too often.
    #[error("its worker was lost {attempts} times")]
    LostTooOften {
        /// How often it was begun.
        attempts: u32,
    },
}

/// A limit of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// On tasks.
    Tasks,
    /// On tokens.
    Tokens,
    /// On what one tenant holds.
    Tenant,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tasks => "number of tasks",
            Self::Tokens => "tokens",
            Self::Tenant => "share of the tenant",
        })
    }
}

/// What waits: of a queue, or of a tenant in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) tasks: usize,
    pub(super) tokens: u64,
    pub(super) work: Duration,
}

impl Held {
    pub(super) fn add(&mut self, tokens: u64, work: Duration) {
        self.tasks += 1;
        self.tokens = self.tokens.saturating_add(tokens);
        self.work = self.work.saturating_add(work);
    }

    pub(super) fn remove(&mut self, tokens: u64, work: Duration) {
        self.tasks = self.tasks.saturating_sub(1);
        self.tokens = self.tokens.saturating_sub(tokens);
        self.work = self.work.saturating_sub(work);
    }
}

/// Whether a task of `tokens` has room; else the limit and the share of what waits that must go
/// first.
pub(super) fn room(
    bounds: &Bounds,
    class: usize,
    tokens: u64,
    all: &Held,
    tenant: &Held,
) -> Result<(), (Limit, f64)> {
    let share = bounds.class_shares.get(class).copied().unwrap_or(1.0).clamp(0.0, 1.0);
    let over = |held: f64, new: f64, most: f64| (held + new - most).max(0.0) / held.max(1.0);
    let tasks_max = bounds.tasks_max as f64;
    let tokens_max = bounds.tokens_max as f64;
    let tasks_over = over(all.tasks as f64, 1.0, tasks_max * share);
    if tasks_over > 0.0 {
        return Err((Limit::Tasks, tasks_over));
    }
    let tokens_over = over(all.tokens as f64, tokens as f64, tokens_max * share);
    if tokens_over > 0.0 {
        return Err((Limit::Tokens, tokens_over));
    }
    // The first task of a tenant is judged by the limits of all alone.
    if tenant.tasks == 0 {
        return Ok(());
    }
    let left_tasks = (tasks_max * share - all.tasks as f64) * bounds.tenant_factor;
    let left_tokens = (tokens_max * share - all.tokens as f64) * bounds.tenant_factor;
    let tenant_over = over(tenant.tasks as f64, 1.0, left_tasks).max(over(
        tenant.tokens as f64,
        tokens as f64,
        left_tokens,
    ));
    // For every task of its own that goes the tenant may hold `factor` more: part of it is enough.
    let part = tenant_over / (1.0 + bounds.tenant_factor);
    if tenant_over > 0.0 { Err((Limit::Tenant, part)) } else { Ok(()) }
}

/// When to try again: the time in which this share of the waiting work drains, in whole seconds,
/// at least one and at most an hour.
pub(super) fn retry_after(share: f64, work: Duration, rate: f64) -> Duration {
    let wait = seconds(share * work.as_secs_f64() / rate.max(1e-6));
    Duration::from_secs(micros(wait).div_ceil(1_000_000).clamp(1, 3_600))
}
