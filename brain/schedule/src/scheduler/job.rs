//! What is kept of a task from its arrival to its end.

use std::time::Duration;

use oag_types::Tenant;

use crate::fleet::WorkerId;
use crate::policy::{Reason, Waiting};
use crate::queue::Entry;
use crate::task::{Class, Task, Ticket};
use crate::time::Moment;

/// A task that is not done.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) task: Task,
    /// Where the desk of its model is.
    pub(super) desk: usize,
    pub(super) arrived: Moment,
    /// Tokens of the answer that are written.
    pub(super) attained: u32,
    /// Expected tokens of the whole answer.
    pub(super) expected: f64,
    /// Whether that was told with it.
    pub(super) told: bool,
    /// Workers that were lost under it.
    pub(super) losses: u32,
    /// Times it made way for others.
    pub(super) yields: u32,
    pub(super) level: u8,
    /// Tasks it still waits for.
    pub(super) after: Vec<Ticket>,
    pub(super) run: Option<Run>,
}

/// A task on a worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) worker: WorkerId,
    pub(super) started: Moment,
    /// Tokens booked on the worker.
    pub(super) tokens: u64,
    /// Time it was expected to hold the slot.
    pub(super) work: Duration,
    /// Tokens of the prompt that need not be read again.
    pub(super) cached: u64,
    /// Tokens of the answer that were written before this run.
    pub(super) attained_before: u32,
    /// As the policy saw it when it was handed out.
    pub(super) seen: Waiting,
    /// Whether it was asked to make way.
    pub(super) stopping: bool,
}

/// A task that begins on a worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assignment {
    /// Which task.
    pub ticket: Ticket,
    /// Where.
    pub worker: WorkerId,
    /// Tokens of the answer that are written already and are read as part of the prompt.
    pub attained: u32,
    /// Tokens of the prompt the worker's cache is believed to hold.
    pub cached_tokens: u64,
    /// After this time [`super::Scheduler::slice_over`] wants to be asked.
    pub slice: Option<Duration>,
    /// Why this task.
    pub reason: Reason,
    /// Why this worker.
    pub why: crate::balance::Why,
}

/// What is answered to a task that is taken in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Admitted {
    /// Its number from now on.
    pub ticket: Ticket,
    /// Tokens its answer is expected to have.
    pub expected_tokens: f64,
    /// How long it would wait if nobody were overtaken.
    pub expected_wait: Duration,
}

/// What a running task does after its slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It goes on, until asked again after this time.
    GoesOn(Option<Duration>),
    /// It makes way and waits again; its slot is free.
    MakesWay,
}

impl Job {
    /// Of a task that was just handed in to a desk.
    pub(super) fn new(
        task: Task,
        desk: usize,
        arrived: Moment,
        expected: f64,
        told: bool,
        after: Vec<Ticket>,
    ) -> Self {
        Self {
            task,
            desk,
            arrived,
            attained: 0,
            expected,
            told,
            losses: 0,
            yields: 0,
            level: 0,
            after,
            run: None,
        }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        &self.task.context.tenant
    }

    /// Tokens it needs room for: the prompt and what is expected of the answer.
    pub(super) fn tokens(&self) -> u64 {
        // Positive and bounded by the prediction.
        u64::from(self.task.facts.prompt_tokens)
            + (self.expected.max(f64::from(self.attained) + 1.0).ceil() as u64)
    }

    /// Tokens it needs room for whatever comes of it: what is there, and one more.
    pub(super) fn least(&self) -> u64 {
        u64::from(self.task.facts.prompt_tokens) + u64::from(self.attained) + 1
    }

    /// Tokens to be read before it goes on.
    pub(super) fn to_read(&self) -> f64 {
        f64::from(self.task.facts.prompt_tokens) + f64::from(self.attained)
    }

    pub(super) fn entry(&self, ticket: Ticket, work: Duration) -> Entry {
        Entry {
            ticket,
            tenant: self.tenant().clone(),
            class: self.task.class,
            tokens: self.tokens(),
            work,
            arrived: self.arrived,
            deadline: self.task.context.deadline,
            level: self.level,
        }
    }
}

/// Who makes way first: the least urgent, and of those the one that began last.
pub(super) type Standing = (Class, Moment, Ticket);
