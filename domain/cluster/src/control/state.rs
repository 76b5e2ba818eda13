//! Everything a controller knows, and how work is handed out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use oag_schedule::fleet::WorkerId;
use oag_schedule::length::Predictor;
use oag_schedule::queue::Refusal;
use oag_schedule::{Assignment, Moment, Scheduler, Ticket, Turn};
use oag_serve::{EngineError, Skill};
use oag_types::{GenerationId, NodeName};

use super::jobs::{Job, Restored, Run};
use super::node::{Node, Presence};
use crate::config::ClusterConfig;
use crate::inventory::Inventory;
use crate::orders::Terms;
use crate::protocol::{Lease, ToNode, Work};
use crate::views::FleetFigures;

pub(crate) struct State {
    pub(super) config: ClusterConfig,
    pub(super) epoch: u64,
    /// What nodes check orders with.
    pub(super) terms: Option<Terms>,
    pub(super) scheduler: Scheduler,
    pub(super) nodes: BTreeMap<NodeName, Node>,
    pub(super) workers: HashMap<WorkerId, NodeName>,
    pub(super) jobs: BTreeMap<GenerationId, Job>,
    pub(super) tickets: HashMap<Ticket, GenerationId>,
    /// Work from before this controller was started that no node has come back with yet.
    pub(super) restored: BTreeMap<GenerationId, Restored>,
    /// When running tasks have used up their slices, with the attempt that is meant.
    pub(super) slices: BTreeSet<(Moment, GenerationId, u32)>,
    /// When answers are of no use any more.
    pub(super) deadlines: BTreeSet<(Moment, GenerationId)>,
    /// Since when nobody serves a model that is waited for.
    pub(super) unserved: BTreeMap<String, Moment>,
    /// What is known of nodes beforehand.
    pub(super) inventory: Inventory,
    pub(super) sessions: u64,
    pub(super) counted: FleetFigures,
    /// When nodes are looked at next.
    looks_at: Moment,
    /// When [`State::advance`] is called next, unless something is due sooner.
    wakes_at: Moment,
}

impl State {
    pub(super) fn new(
        config: ClusterConfig,
        predictor: Predictor,
        epoch: u64,
        terms: Option<Terms>,
    ) -> Self {
        Self {
            scheduler: Scheduler::new(config.schedule.clone(), predictor),
            config,
            epoch,
            terms,
            nodes: BTreeMap::new(),
            workers: HashMap::new(),
            jobs: BTreeMap::new(),
            tickets: HashMap::new(),
            restored: BTreeMap::new(),
            slices: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            unserved: BTreeMap::new(),
            inventory: Inventory::default(),
            sessions: 0,
            counted: FleetFigures::default(),
            looks_at: Moment::START,
            wakes_at: Moment::START,
        }
    }

    /// Does what has come due; the answer is the time until it should be called again.
    pub(super) fn advance(&mut self, now: Moment) -> Duration {
        if now >= self.looks_at {
            self.looks_at = now.plus(Duration::from_millis(self.config.tick_ms));
            self.look_at_nodes(now);
            self.begin_restored(now);
            self.end_unserved(now);
        }
        self.end_late(now);
        self.end_slices(now);
        self.pump(now);
        self.wakes_at = self.next_due().map_or(self.looks_at, |at| at.min(self.looks_at));
        self.wakes_at.since(now).max(Duration::from_micros(500))
    }

    /// Whether something comes due before [`State::advance`] would be called.
    pub(super) fn is_due_sooner(&self) -> bool {
        self.next_due().is_some_and(|at| at < self.wakes_at)
    }

    /// The end of the slice or the deadline that comes first.
    fn next_due(&self) -> Option<Moment> {
        let slice = self.slices.first().map(|(at, ..)| *at);
        slice.into_iter().chain(self.deadlines.first().map(|(at, _)| *at)).min()
    }

    /// Hands out what may begin, takes back what should make way, and tells what was given up.
    pub(super) fn pump(&mut self, now: Moment) {
        while let Some(assignment) = self.scheduler.dispatch(now) {
            self.begin(assignment, now);
        }
        while let Some(preempted) = self.scheduler.preempt(now) {
            let task = self.tickets.get(&preempted.ticket).copied();
            if task.and_then(|task| self.jobs.get(&task)).is_some_and(Job::can_move) {
                self.counted.preempted += 1;
                task.into_iter().for_each(|task| self.make_way(task, now));
            }
        }
        for (ticket, why) in self.scheduler.refused(now) {
            if let Some(task) = self.tickets.get(&ticket).copied() {
                let given = self.jobs.get(&task).is_some_and(|job| job.given);
                self.end(task, Err(refused(why, given)), now);
            }
        }
    }

    fn begin(&mut self, chosen: Assignment, now: Moment) {
        let Some(task) = self.tickets.get(&chosen.ticket).copied() else {
            self.scheduler.cancel(chosen.ticket, chosen.attained, now);
            return;
        };
        let (Some(job), Some(name)) = (self.jobs.get_mut(&task), self.workers.get(&chosen.worker))
        else {
            self.scheduler.stopped(chosen.ticket, chosen.attained, now);
            return;
        };
        job.begun += 1;
        job.attempt = job.attempt.saturating_add(1);
        let lease = Lease { task, attempt: job.attempt };
        job.run = Some(Run { node: name.clone(), received: 0, began: now });
        job.why = Some((chosen.reason, chosen.why));
        let Some(node) = self.nodes.get_mut(name) else { return };
        let offered = node.offers.get(&job.request.model);
        let resumes =
            offered.is_some_and(|offered| offered.offer.card.skills.contains(&Skill::Resume));
        if job.given && !resumes {
            let why = "its worker was lost, and the next one cannot go on with it";
            return self.end(task, Err(EngineError::BrokeOff(why.to_owned())), now);
        }
        if job.begun > self.config.attempts_max {
            let why = format!("it was begun {} times", self.config.attempts_max);
            let error = job.gone(why);
            return self.end(task, Err(error), now);
        }
        let mut request = job.request.clone();
        request.resume.extend_from_slice(&job.tokens);
        request.context.within = job.deadline.map(|deadline| deadline.since(now));
        if let Some(slice) = chosen.slice {
            self.slices.insert((now.plus(slice), task, job.attempt));
        }
        self.counted.leases += 1;
        self.counted.again += u64::from(job.begun > 1);
        let work = Work { lease, epoch: self.epoch, request };
        // A node that cannot be told is away; the work goes to others when it does not come back.
        node.tell(ToNode::Lease(Box::new(work)), now);
    }

    /// A running task stops where it is and waits again. Its node may be a step ahead: what it
    /// still sends belongs to an attempt that is over.
    pub(super) fn make_way(&mut self, task: GenerationId, now: Moment) {
        let Some(job) = self.jobs.get_mut(&task) else { return };
        let Some(run) = job.run.take() else { return };
        let (ticket, attained, lease) = (job.ticket, job.attained(), job.lease(task));
        self.scheduler.stopped(ticket, attained, now);
        self.tell(&run.node, ToNode::Stop { lease }, now);
    }

    fn end_slices(&mut self, now: Moment) {
        while let Some((at, task, attempt)) = self.slices.first().copied()
            && at <= now
        {
            self.slices.remove(&(at, task, attempt));
            let Some(job) = self.jobs.get_mut(&task) else { continue };
            // What cannot be moved keeps its place until its end.
            if job.attempt != attempt || job.run.is_none() || !job.can_move() {
                continue;
            }
            let attained = job.attained();
            match self.scheduler.slice_over(job.ticket, attained, now) {
                Turn::GoesOn(Some(slice)) => {
                    self.slices.insert((now.plus(slice), task, attempt));
                }
                Turn::GoesOn(None) => {}
                Turn::MakesWay => {
                    let lease = job.lease(task);
                    if let Some(run) = job.run.take() {
                        self.counted.preempted += 1;
                        self.tell(&run.node, ToNode::Stop { lease }, now);
                    }
                }
            }
        }
    }

    pub(super) fn tell(&mut self, node: &NodeName, message: ToNode, now: Moment) -> bool {
        let told = self.nodes.get_mut(node).is_some_and(|node| node.tell(message, now));
        if !told {
            self.apply_health(node, now);
        }
        told
    }

    /// A node is gone: its tasks wait again, or end where they cannot go on elsewhere.
    pub(super) fn lose(&mut self, name: &NodeName, now: Moment) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.is(Presence::Lost, now);
        node.link = None;
        let offers = std::mem::take(&mut node.offers);
        for offered in offers.into_values() {
            self.lose_worker(offered.worker, now);
        }
        self.pump(now);
    }

    /// One model of a node is gone.
    pub(super) fn lose_worker(&mut self, worker: WorkerId, now: Moment) {
        self.workers.remove(&worker);
        for ticket in self.scheduler.lost(worker, now) {
            let Some(task) = self.tickets.get(&ticket).copied() else { continue };
            let Some(job) = self.jobs.get_mut(&task) else { continue };
            job.run = None;
            if !job.can_move() {
                let error = job.gone("its worker was lost".to_owned());
                self.end(task, Err(error), now);
            }
        }
    }

    /// A job is over: its answer has its end already, or gets this error.
    pub(super) fn end(&mut self, task: GenerationId, result: Result<(), EngineError>, now: Moment) {
        let Some(job) = self.jobs.remove(&task) else { return };
        self.tickets.remove(&job.ticket);
        if let Some(deadline) = job.deadline {
            self.deadlines.remove(&(deadline, task));
        }
        match result {
            Ok(()) => self.counted.answered += 1,
            Err(error) => {
                self.counted.failed += 1;
                let lease = job.lease(task);
                self.scheduler.cancel(job.ticket, job.attained(), now);
                job.answer.fail(error);
                if let Some(run) = job.run {
                    self.tell(&run.node, ToNode::Stop { lease }, now);
                }
            }
        }
    }
}

/// A refusal of the scheduler, as whoever asked is told.
pub(super) fn refused(why: Refusal, given: bool) -> EngineError {
    match why {
        Refusal::Overloaded { retry_after, .. } => EngineError::Overloaded { retry_after },
        Refusal::NoWorker { model } => no_worker(model),
        Refusal::Late => EngineError::Late,
        Refusal::TooLarge { .. } => EngineError::refused("prompt", why.to_string()),
        Refusal::UnknownDependency(_) | Refusal::DependencyFailed(_) => {
            EngineError::refused("after", why.to_string())
        }
        Refusal::LostTooOften { .. } if given => EngineError::BrokeOff(why.to_string()),
        Refusal::LostTooOften { .. } => EngineError::Unavailable(why.to_string()),
    }
}

pub(super) fn no_worker(model: String) -> EngineError {
    let remedy = format!(
        "no worker offers it; start one with `openautoglm worker --controller URL --model {model} …`"
    );
    EngineError::NoModelLoaded { model, remedy }
}
