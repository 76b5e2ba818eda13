//! Queues and workers brought together: what the fleet's owner talks to.
//!
//! The owner tells what happens (tasks come and end, workers join and are lost) with the moment it
//! happened, and asks for decisions. One decision looks at the head of one queue and a bounded
//! number of workers; its time grows with the logarithm of tasks and workers.

mod ending;
mod job;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use oag_types::Tenant;
use serde::{Deserialize, Serialize};

pub use job::{Admitted, Assignment, Turn};

use crate::balance::{BalanceKind, Wanted};
use crate::fleet::{Fleet, Mixed, Pool, WorkerId};
use crate::length::Predictor;
use crate::queue::{AdmissionQueue, Next, QueueConfig, Refusal};
use crate::task::{Task, Ticket};
use crate::time::Moment;
use job::{Job, Run, Standing};

/// Running tasks that are looked at for one that may make way.
const VICTIMS_MAX: usize = 64;
/// Tasks with answers that are remembered.
const DONE_MAX: usize = 65_536;
/// The longest answer that anybody may expect, in tokens.
const TOLD_MAX: f64 = 1e9;

/// How a scheduler decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Queues, each of its own model.
    pub queues: BTreeMap<String, QueueConfig>,
    /// Queues of all other models.
    pub queue: QueueConfig,
    /// Which worker takes a task.
    pub balance: BalanceKind,
    /// Over which time a late worker opens its slots.
    #[serde(with = "crate::time::millis", rename = "warm_up_ms")]
    pub warm_up: Duration,
    /// Weights of tenants; 1 unless told.
    pub weights: BTreeMap<Tenant, f64>,
    /// Workers that may be lost under a task before it is given up.
    pub losses_max: u32,
    /// Times a task may be asked to make way for a more urgent one.
    pub yields_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queues: BTreeMap::new(),
            queue: QueueConfig::default(),
            balance: BalanceKind::default(),
            warm_up: Duration::from_secs(4),
            weights: BTreeMap::new(),
            losses_max: 3,
            yields_max: 3,
        }
    }
}

/// A running task that should make way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preemption {
    /// Which task.
    pub ticket: Ticket,
    /// Where it runs.
    pub worker: WorkerId,
}

/// The queue of a model and what runs of it.
#[derive(Debug)]
struct Desk {
    /// Where the pool of its model is.
    pool: usize,
    queue: AdmissionQueue,
    entry_level: u8,
    running: BTreeSet<Standing>,
    stopping: usize,
}

/// The scheduler of a fleet.
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    predictor: Predictor,
    fleet: Fleet,
    desks: Vec<Desk>,
    /// Where the desk of a model is; it stays there.
    by_model: BTreeMap<String, usize>,
    /// Never gone through in its order, which is nobody's.
    jobs: HashMap<Ticket, Box<Job>, BuildHasherDefault<Mixed>>,
    /// Tasks that wait for others: those first.
    dependents: BTreeSet<(Ticket, Ticket)>,
    /// The last tasks that have their answers, for those that come after them.
    done: BTreeSet<Ticket>,
    refused: Vec<(Ticket, Refusal)>,
    next_ticket: u64,
    /// The desk whose queue is asked first.
    turn: usize,
}

impl Scheduler {
    /// Without workers and tasks. `predictor` may have learned before.
    #[must_use]
    pub fn new(config: Config, predictor: Predictor) -> Self {
        Self {
            fleet: Fleet::new(config.balance, config.warm_up),
            config,
            predictor,
            desks: Vec::new(),
            by_model: BTreeMap::new(),
            jobs: HashMap::default(),
            dependents: BTreeSet::new(),
            done: BTreeSet::new(),
            refused: Vec::new(),
            next_ticket: 0,
            turn: 0,
        }
    }

    /// Takes a task in, or says at once why not and when to try again.
    ///
    /// # Errors
    /// When no worker can do it, its deadline is over, a task it waits for is not known, or too
    /// much waits.
    pub fn submit(&mut self, task: Task, now: Moment) -> Result<Admitted, Refusal> {
        self.submit_expecting(task, None, now)
    }

    /// As [`Scheduler::submit`], for a task whose answer is expected to have so many tokens by
    /// somebody who knows better than the predictor.
    ///
    /// # Errors
    /// As [`Scheduler::submit`].
    pub fn submit_expecting(
        &mut self,
        task: Task,
        told: Option<f64>,
        now: Moment,
    ) -> Result<Admitted, Refusal> {
        let model = &task.facts.model;
        let pool = self.fleet.place_of(model).and_then(|at| Some((at, self.fleet.pool_at(at)?)));
        let found = pool.and_then(|(at, pool)| Some((at, pool, pool.window()?)));
        let Some((at, pool, window)) = found else {
            return Err(Refusal::NoWorker { model: model.clone() });
        };
        let least = u64::from(task.facts.prompt_tokens) + 1;
        if least > window {
            let model = model.clone();
            return Err(Refusal::TooLarge { model, tokens: least, most: window });
        }
        let after = self.still_to_come(&task.after)?;
        let ticket = Ticket::new(self.next_ticket);
        let told = told.map(|told| if told > 1.0 { told.min(TOLD_MAX) } else { 1.0 });
        let expected = told.unwrap_or_else(|| {
            self.predictor.predict(&task.facts, task.context.tenant.as_str()).tokens
        });
        // No answer is longer than what the largest window has left.
        let expected = expected.min((window - least + 1) as f64);
        let work = pool.rates().work(f64::from(task.facts.prompt_tokens), expected);
        let (load, slots) = pool.load();
        let desk = self.desk_of(&task.facts.model, at);
        let mut job = Job::new(task, desk, now, expected, told.is_some(), after);
        let Some(desk) = self.desks.get_mut(desk) else {
            return Err(Refusal::NoWorker { model: job.task.facts.model });
        };
        job.level = desk.entry_level;
        desk.queue.set_capacity(slots, load);
        desk.queue.submit(job.entry(ticket, work), !job.after.is_empty(), now)?;
        let expected_wait = desk.queue.expected_wait();
        self.next_ticket += 1;
        self.dependents.extend(job.after.iter().map(|before| (*before, ticket)));
        self.jobs.insert(ticket, Box::new(job));
        Ok(Admitted { ticket, expected_tokens: expected, expected_wait })
    }

    /// Those of some tasks that must still end.
    fn still_to_come(&self, after: &[Ticket]) -> Result<Vec<Ticket>, Refusal> {
        let mut left = Vec::new();
        for ticket in after {
            if self.jobs.contains_key(ticket) {
                left.push(*ticket);
            } else if !self.done.contains(ticket) {
                return Err(Refusal::UnknownDependency(*ticket));
            }
        }
        left.sort_unstable();
        left.dedup();
        Ok(left)
    }

    /// One decision: the task that begins now and where; none when nothing may begin.
    pub fn dispatch(&mut self, now: Moment) -> Option<Assignment> {
        self.fleet.warm_up(now);
        let desks = self.desks.len();
        for at in (self.turn..desks).chain(0..self.turn.min(desks)) {
            if let Some(assignment) = self.dispatch_of(at, now) {
                self.turn = (at + 1) % desks;
                return Some(assignment);
            }
        }
        None
    }

    /// A running task that should make way for a more urgent one; the owner stops it at its next
    /// step and says so by [`Scheduler::stopped`].
    pub fn preempt(&mut self, now: Moment) -> Option<Preemption> {
        for desk in &mut self.desks {
            if self.fleet.pool_at(desk.pool).is_some_and(Pool::has_ready) {
                continue;
            }
            // From the least urgent on: what the first may not be made to do, no other may.
            let standing = desk.running.iter().rev().take(VICTIMS_MAX);
            for (_, _, ticket) in standing {
                let Some(job) = self.jobs.get_mut(ticket) else { continue };
                let Some(run) = job.run.as_mut() else { continue };
                // Each that was asked already makes room for one that waits before this one.
                let enough = desk.stopping >= desk.queue.waiting_above(run.seen.class);
                if enough || !desk.queue.preempts(&run.seen, now) {
                    break;
                }
                if !run.stopping && job.yields < self.config.yields_max {
                    run.stopping = true;
                    desk.stopping += 1;
                    return Some(Preemption { ticket: *ticket, worker: run.worker });
                }
            }
        }
        None
    }

    /// Tasks that were given up since the last time, with the reason: late ones, those whose
    /// dependency failed, those whose workers were lost too often.
    pub fn refused(&mut self, now: Moment) -> Vec<(Ticket, Refusal)> {
        let late: Vec<Ticket> =
            self.desks.iter_mut().flat_map(|desk| desk.queue.expire(now)).collect();
        for ticket in late {
            self.give_up(ticket, Refusal::Late, now);
        }
        std::mem::take(&mut self.refused)
    }

    /// What has been learned about answers.
    #[must_use]
    pub const fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// The workers.
    #[must_use]
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The queue of a model, once a task came for it.
    #[must_use]
    pub fn queue(&self, model: &str) -> Option<&AdmissionQueue> {
        let at = self.by_model.get(model)?;
        self.desks.get(*at).map(|desk| &desk.queue)
    }

    /// The models that have queues.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.by_model.keys().map(String::as_str)
    }

    /// Where a task runs; none when it does not.
    #[must_use]
    pub fn runs_on(&self, ticket: Ticket) -> Option<WorkerId> {
        self.jobs.get(&ticket)?.run.map(|run| run.worker)
    }

    /// Tasks that are not done.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

impl Scheduler {
    /// The desk of a model, whose pool is at this place; it is made when it is not there.
    fn desk_of(&mut self, model: &str, pool: usize) -> usize {
        if let Some(at) = self.by_model.get(model) {
            return *at;
        }
        let at = self.desks.len();
        let config = self.config.queues.get(model).unwrap_or(&self.config.queue).clone();
        self.desks.push(Desk {
            pool,
            entry_level: config.policy.entry_level(),
            queue: AdmissionQueue::new(config, self.config.weights.clone()),
            running: BTreeSet::new(),
            stopping: 0,
        });
        self.by_model.insert(model.to_owned(), at);
        at
    }

    fn dispatch_of(&mut self, at: usize, now: Moment) -> Option<Assignment> {
        let desk = self.desks.get_mut(at)?;
        let pool = self.fleet.pool_at(desk.pool)?;
        if desk.queue.waiting() == 0 || !pool.has_ready() {
            return None;
        }
        let (window, (load, slots)) = (pool.window()?, pool.load());
        desk.queue.set_capacity(slots, load);
        for ticket in desk.queue.expire(now) {
            self.give_up(ticket, Refusal::Late, now);
        }
        let next = self.next_that_fits(at, window, now)?;
        let desk = self.desks.get_mut(at)?;
        let ticket = next.choice.task.ticket;
        let job = self.jobs.get_mut(&ticket)?;
        // What is only expected must not keep a task from the largest window there is.
        let tokens = job.tokens().min(window);
        let wanted = Wanted {
            prompt: job.to_read(),
            steps: (job.expected - f64::from(job.attained)).max(1.0),
            tokens,
            prefixes: &job.task.prefixes,
            affinity: job.task.affinity,
        };
        let pick = self.fleet.pick_of(desk.pool, &wanted)?;
        let entry = desk.queue.take(&next, now)?;
        let seen = next.choice.task;
        job.run = Some(Run {
            worker: pick.worker,
            started: now,
            tokens,
            work: entry.work,
            cached: pick.cached_tokens,
            attained_before: job.attained,
            seen,
            stopping: false,
        });
        desk.running.insert((seen.class, now, ticket));
        let slice = desk.queue.slice(&next.choice);
        self.fleet.begin(pick.worker, tokens, &job.task.prefixes, now);
        Some(Assignment {
            ticket,
            worker: pick.worker,
            attained: job.attained,
            cached_tokens: pick.cached_tokens,
            slice,
            reason: next.choice.reason,
            why: pick.why,
        })
    }

    /// What is next of a queue. What no window holds any more, since larger workers left, is given
    /// up: it would stand before all others for ever.
    fn next_that_fits(&mut self, at: usize, window: u64, now: Moment) -> Option<Next> {
        loop {
            let desk = self.desks.get_mut(at)?;
            let next = desk.queue.next(now)?;
            let ticket = next.choice.task.ticket;
            let job = self.jobs.get(&ticket)?;
            let least = job.least();
            if least <= window {
                return Some(next);
            }
            let model = job.task.facts.model.clone();
            desk.queue.remove(ticket, now);
            self.give_up(ticket, Refusal::TooLarge { model, tokens: least, most: window }, now);
        }
    }
}
