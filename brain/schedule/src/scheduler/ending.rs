//! How tasks end, stop and come back.

use super::{DONE_MAX, Job, Run, Scheduler, Turn};
use crate::length::Ending;
use crate::policy::Waiting;
use crate::queue::Refusal;
use crate::task::Ticket;
use crate::time::Moment;

impl Scheduler {
    /// A task has its answer; those that waited for it may run. What was not running is not
    /// touched.
    pub fn finished(&mut self, ticket: Ticket, ending: Ending, now: Moment) {
        if self.jobs.get(&ticket).is_none_or(|job| job.run.is_none()) {
            return;
        }
        let Some(mut job) = self.jobs.remove(&ticket) else { return };
        let (Ending::Complete(written) | Ending::CutOff(written)) = ending;
        let Some(run) = job.run.take() else { return };
        self.leave_worker(&job, ticket, &run, Some(written), now);
        self.predictor.learn(&job.task.facts, job.tenant().as_str(), ending);
        self.done.insert(ticket);
        if self.done.len() > DONE_MAX {
            self.done.pop_first();
        }
        for waiting in self.dependents.remove(&ticket).unwrap_or_default() {
            let Some(other) = self.jobs.get_mut(&waiting) else { continue };
            other.after.retain(|before| *before != ticket);
            if other.after.is_empty()
                && let Some(desk) = self.desks.get_mut(other.task.facts.model.as_str())
            {
                desk.queue.release(waiting, now);
            }
        }
    }

    /// A task is wanted no more, after so many tokens of its answer. Those that waited for it are
    /// given up. Says whether it was running: then its worker must be told.
    pub fn cancel(&mut self, ticket: Ticket, attained: u32, now: Moment) -> bool {
        let Some(mut job) = self.jobs.remove(&ticket) else { return false };
        let run = job.run.take();
        if let Some(run) = &run {
            self.leave_worker(&job, ticket, run, None, now);
            let ending = Ending::CutOff(attained.max(job.attained));
            self.predictor.learn(&job.task.facts, job.tenant().as_str(), ending);
        } else if let Some(desk) = self.desks.get_mut(job.task.facts.model.as_str()) {
            desk.queue.remove(ticket, now);
        }
        self.fail_dependents(ticket, now);
        run.is_some()
    }

    /// A task stopped before its end, with so many tokens of its answer, and waits again.
    pub fn stopped(&mut self, ticket: Ticket, attained: u32, now: Moment) {
        let Some(job) = self.jobs.get_mut(&ticket) else { return };
        let Some(run) = job.run.take() else { return };
        job.attained = attained;
        job.yields += u32::from(run.stopping);
        self.back_to_queue(ticket, &run, now);
    }

    /// A running task that used its slice up: whether it goes on.
    pub fn slice_over(&mut self, ticket: Ticket, attained: u32, now: Moment) -> Turn {
        let goes_on = Turn::GoesOn(None);
        let Some(job) = self.jobs.get_mut(&ticket) else { return goes_on };
        let Some(run) = job.run else { return goes_on };
        let Some(desk) = self.desks.get_mut(job.task.facts.model.as_str()) else { return goes_on };
        let spent = desk.queue.spent(Waiting { since: now, ..run.seen });
        job.level = spent.level;
        job.attained = attained;
        if let Some(choice) = desk.queue.goes_on(&spent, now) {
            job.run = Some(Run { seen: spent, ..run });
            return Turn::GoesOn(desk.queue.slice(&choice));
        }
        self.stopped(ticket, attained, now);
        Turn::MakesWay
    }

    /// Puts a task that is on no worker any more back where it waits.
    pub(super) fn back_to_queue(&mut self, ticket: Ticket, run: &Run, now: Moment) {
        let Some(job) = self.jobs.remove(&ticket) else { return };
        self.leave_worker(&job, ticket, run, None, now);
        let mut job = job;
        let model = &job.task.facts.model;
        let attained = f64::from(job.attained);
        let residual = if job.told {
            (job.expected - attained).max(1.0)
        } else {
            let expected = self.predictor.predict(&job.task.facts, job.tenant().as_str());
            expected.residual(attained)
        };
        job.expected = attained + residual;
        let work = self.fleet.rates(model).work(job.to_read(), residual);
        let entry = job.entry(ticket, work);
        if let Some(desk) = self.desks.get_mut(model.as_str()) {
            desk.queue.come_back(entry, now);
        }
        self.jobs.insert(ticket, job);
    }

    /// Books the end of a run. With `written` tokens the run came to its end, and says how fast
    /// the worker is.
    fn leave_worker(
        &mut self,
        job: &Job,
        ticket: Ticket,
        run: &Run,
        written: Option<u32>,
        now: Moment,
    ) {
        let took = now.since(run.started);
        let learned = written.map(|written| {
            let read = f64::from(job.task.facts.prompt_tokens) + f64::from(run.attained_before);
            let read = read - run.cached as f64;
            let steps = f64::from(written.saturating_sub(run.attained_before));
            let rates = self.fleet.worker(run.worker).map(|worker| worker.spec().rates);
            (took, rates.map_or(took, |rates| rates.work(read.max(0.0), steps)))
        });
        self.fleet.end(run.worker, run.tokens, learned, now);
        if let Some(desk) = self.desks.get_mut(job.task.facts.model.as_str()) {
            desk.running.remove(&(run.seen.class, run.started, ticket));
            desk.stopping = desk.stopping.saturating_sub(usize::from(run.stopping));
            desk.queue.settle(job.tenant(), job.task.class, run.work, took);
        }
    }

    /// Gives a task up that is in no queue and on no worker.
    pub(super) fn give_up(&mut self, ticket: Ticket, why: Refusal, now: Moment) {
        if self.jobs.remove(&ticket).is_some() {
            self.refused.push((ticket, why));
            self.fail_dependents(ticket, now);
        }
    }

    fn fail_dependents(&mut self, ticket: Ticket, now: Moment) {
        for waiting in self.dependents.remove(&ticket).unwrap_or_default() {
            if let Some(job) = self.jobs.get(&waiting) {
                if let Some(desk) = self.desks.get_mut(job.task.facts.model.as_str()) {
                    desk.queue.remove(waiting, now);
                }
                self.give_up(waiting, Refusal::DependencyFailed(ticket), now);
            }
        }
    }
}
