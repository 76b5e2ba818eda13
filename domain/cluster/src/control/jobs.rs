//! Work that is not done: how it comes in, how it is called off, and what it has so far.

use std::sync::Arc;
use std::time::Duration;

use oag_schedule::balance::Why;
use oag_schedule::policy::Reason;
use oag_schedule::{Class, Context, Moment, Task, Ticket, User};
use oag_serve::{EngineError, Generation, Urgency};
use oag_types::{GenerationId, NodeName};

use super::state::{State, no_worker, refused};
use crate::answer::Answer;
use crate::facts::{affinity, facts, prefixes};
use crate::protocol::Lease;

/// How long work waits for a model that nobody serves any more.
const UNSERVED_MAX: Duration = Duration::from_secs(30);

/// An answer that is being made.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) request: Generation,
    pub(super) answer: Arc<Answer>,
    /// Times it was given to a node.
    pub(super) begun: u32,
    /// The number of its last lease.
    pub(super) attempt: u32,
    pub(super) run: Option<Run>,
    /// Tokens of the parts that came.
    pub(super) tokens: Vec<u32>,
    /// Number of parts that came.
    pub(super) parts: u32,
    /// Whether anything of the answer came.
    pub(super) given: bool,
    /// Whether every part so far told its tokens, so that another node can go on.
    pub(super) resumable: bool,
    pub(super) deadline: Option<Moment>,
    /// Why it was begun when and where it was.
    pub(super) why: Option<(Reason, Why)>,
}

/// A request from before this controller was started.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) request: Generation,
    pub(super) answer: Arc<Answer>,
    /// When it is begun anew.
    pub(super) until: Moment,
}

/// A job on a node.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) node: NodeName,
    /// Parts of this attempt that came.
    pub(super) received: u64,
    pub(super) began: Moment,
}

impl Job {
    pub(super) const fn lease(&self, task: GenerationId) -> Lease {
        Lease { task, attempt: self.attempt }
    }

    /// Tokens of the answer, as far as is known.
    pub(super) fn attained(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX).max(self.parts)
    }

    /// Whether another node could take it over without saying anything twice.
    pub(super) const fn can_move(&self) -> bool {
        !self.given || self.resumable
    }

    /// The error of a job that cannot go on.
    pub(super) const fn gone(&self, why: String) -> EngineError {
        if self.given { EngineError::BrokeOff(why) } else { EngineError::Unavailable(why) }
    }
}

const fn class(urgency: Urgency) -> Class {
    match urgency {
        Urgency::Critical => Class::Critical,
        Urgency::Interactive => Class::Interactive,
        Urgency::Batch => Class::Batch,
        Urgency::Background => Class::Background,
    }
}

impl State {
    pub(super) fn submit(
        &mut self,
        id: GenerationId,
        request: Generation,
        now: Moment,
    ) -> Result<Arc<Answer>, EngineError> {
        let answer = Arc::new(Answer::default());
        self.take_in(id, request, (&answer, 0), now)?;
        self.pump(now);
        Ok(answer)
    }

    /// Hands a request to the scheduler; `attempt` is the number of its last lease.
    fn take_in(
        &mut self,
        id: GenerationId,
        request: Generation,
        (answer, attempt): (&Arc<Answer>, u32),
        now: Moment,
    ) -> Result<Ticket, EngineError> {
        if !request.resume.is_empty() {
            return Err(EngineError::refused("resume", "the fleet keeps count of that itself"));
        }
        let asked = &request.context;
        let deadline = asked.within.map(|within| now.plus(within));
        let context = Context {
            tenant: asked.tenant.clone(),
            user: asked.user.clone().map(User),
            trace: asked.trace,
            deadline,
        };
        let task = Task {
            context,
            class: class(asked.urgency),
            facts: facts(&request),
            prefixes: prefixes(&request),
            affinity: affinity(&request),
            after: Vec::new(),
        };
        let admitted = self.scheduler.submit(task, now).map_err(|why| {
            self.counted.refused += 1;
            refused(why, false)
        })?;
        let job = Job {
            ticket: admitted.ticket,
            request,
            answer: Arc::clone(answer),
            begun: 0,
            attempt,
            run: None,
            tokens: Vec::new(),
            parts: 0,
            given: false,
            resumable: true,
            deadline,
            why: None,
        };
        self.deadlines.extend(deadline.map(|at| (at, id)));
        self.tickets.insert(admitted.ticket, id);
        self.jobs.insert(id, job);
        self.counted.submitted += 1;
        Ok(admitted.ticket)
    }

    /// Takes a request back that was taken in before this controller was started. Until `wait` is
    /// over a node may come that works on it; then it is begun anew.
    pub(super) fn restore(
        &mut self,
        id: GenerationId,
        request: Generation,
        wait: Duration,
        now: Moment,
    ) -> Arc<Answer> {
        let answer = Arc::new(Answer::default());
        let until = now.plus(wait);
        let restored = Restored { request, answer: Arc::clone(&answer), until };
        self.restored.insert(id, restored);
        answer
    }

    /// Begins anew what no node has come back with.
    pub(super) fn begin_restored(&mut self, now: Moment) {
        let due =
            |(id, restored): (&GenerationId, &Restored)| (restored.until <= now).then_some(*id);
        let due: Vec<GenerationId> = self.restored.iter().filter_map(due).collect();
        for id in due {
            let Some(restored) = self.restored.remove(&id) else { continue };
            let Restored { request, answer, until } = restored;
            // Leases of the time before may still be about: no number is given out twice.
            let first = u32::try_from(self.epoch / 1_000).unwrap_or(u32::MAX / 2);
            let taken = self.take_in(id, request.clone(), (&answer, first), now);
            match taken {
                Ok(_) => {}
                // Workers may be slower to come back than their controller.
                Err(EngineError::NoModelLoaded { .. } | EngineError::Overloaded { .. })
                    if now.since(until) < UNSERVED_MAX =>
                {
                    self.restored.insert(id, Restored { request, answer, until });
                }
                Err(error) => answer.fail(error),
            }
        }
    }

    /// A node has come back with work of the time before this controller: it goes on there.
    pub(super) fn adopt(&mut self, node: &NodeName, lease: Lease, now: Moment) -> bool {
        let Some(restored) = self.restored.get(&lease.task) else { return false };
        let offers = self.nodes.get(node).map(|node| &node.offers);
        let offered = offers.and_then(|offers| offers.get(&restored.request.model));
        let Some(worker) = offered.map(|offered| offered.worker) else { return false };
        let Some(Restored { request, answer, .. }) = self.restored.remove(&lease.task) else {
            return false;
        };
        let taken = self.take_in(lease.task, request, (&answer, lease.attempt), now);
        let ticket = match taken {
            Ok(ticket) => ticket,
            Err(error) => {
                answer.fail(error);
                return false;
            }
        };
        let adopted = self.scheduler.adopt(ticket, worker, now);
        if let Some(job) = self.jobs.get_mut(&lease.task).filter(|_| adopted) {
            job.begun = 1;
            job.run = Some(Run { node: node.clone(), received: 0, began: now });
            self.counted.adopted += 1;
        }
        adopted
    }

    pub(super) fn cancel(&mut self, task: GenerationId, now: Moment) {
        if let Some(restored) = self.restored.remove(&task) {
            restored.answer.fail(EngineError::Late);
        }
        if self.jobs.contains_key(&task) {
            self.counted.cancelled += 1;
            // Nobody reads it any more.
            self.end(task, Err(EngineError::Late), now);
            self.counted.failed = self.counted.failed.saturating_sub(1);
            self.pump(now);
        }
    }

    /// Ends what is of no use any more.
    pub(super) fn end_late(&mut self, now: Moment) {
        while let Some((at, task)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.remove(&(at, task));
            self.end(task, Err(EngineError::Late), now);
        }
    }

    /// Ends what waits for a model that nobody has served for a while.
    pub(super) fn end_unserved(&mut self, now: Moment) {
        let offered = |model: &str| {
            let mut nodes = self.nodes.values().filter(|node| !node.is_held_back());
            nodes.any(|node| node.offers.contains_key(model))
        };
        let orphaned = |model: &&str| !offered(model);
        let waiting = |model: &&str| self.scheduler.queue(model).is_some_and(|q| !q.is_empty());
        let models: Vec<String> =
            self.scheduler.models().filter(waiting).filter(orphaned).map(str::to_owned).collect();
        self.unserved.retain(|model, _| models.contains(model));
        for model in models {
            let since = *self.unserved.entry(model.clone()).or_insert(now);
            if now.since(since) < UNSERVED_MAX {
                continue;
            }
            let error = match self.scheduler.fleet().window(&model) {
                Some(_) => EngineError::Unavailable("all its workers are held back".to_owned()),
                None => no_worker(model.clone()),
            };
            let of_it = |(_, job): &(&GenerationId, &Job)| job.request.model == model;
            let tasks: Vec<GenerationId> =
                self.jobs.iter().filter(of_it).map(|(task, _)| *task).collect();
            for task in tasks {
                let begun = self.jobs.get(&task).is_some_and(|job| job.run.is_some());
                if !begun {
                    self.end(task, Err(error.clone()), now);
                }
            }
        }
    }
}
