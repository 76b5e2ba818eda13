//! How tasks end, stop and come back.

use super::{DONE_MAX, Job, Run, Scheduler, Turn};
use crate::fleet::Pool;
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
        for waiting in self.take_dependents(ticket) {
            let Some(other) = self.jobs.get_mut(&waiting) else { continue };
            other.after.retain(|before| *before != ticket);
            if other.after.is_empty()
                && let Some(desk) = self.desks.get_mut(other.desk)
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
        } else if let Some(desk) = self.desks.get_mut(job.desk) {
            desk.queue.remove(ticket, now);
        }
        self.waits_for_none(&job, ticket);
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
        let Some(desk) = self.desks.get_mut(job.desk) else { return goes_on };
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
        let Some(mut job) = self.jobs.remove(&ticket) else { return };
        self.leave_worker(&job, ticket, run, None, now);
        let attained = f64::from(job.attained);
        let residual = if job.told {
            (job.expected - attained).max(1.0)
        } else {
            let expected = self.predictor.predict(&job.task.facts, job.tenant().as_str());
            expected.residual(attained)
        };
        job.expected = attained + residual;
        if let Some(desk) = self.desks.get_mut(job.desk) {
            let rates = self.fleet.pool_at(desk.pool).map(Pool::rates).unwrap_or_default();
            let work = rates.work(job.to_read(), residual);
            desk.queue.come_back(job.entry(ticket, work), now);
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
        if let Some(desk) = self.desks.get_mut(job.desk) {
            desk.running.remove(&(run.seen.class, run.started, ticket));
            desk.stopping = desk.stopping.saturating_sub(usize::from(run.stopping));
            desk.queue.settle(job.tenant(), job.task.class, run.work, took);
        }
    }

    /// Gives a task up that is in no queue and on no worker.
    pub(super) fn give_up(&mut self, ticket: Ticket, why: Refusal, now: Moment) {
        if let Some(job) = self.jobs.remove(&ticket) {
            self.waits_for_none(&job, ticket);
            self.refused.push((ticket, why));
            self.fail_dependents(ticket, now);
        }
    }

    /// Gives up what waited for a task that will have no answer, and what waited for that.
    fn fail_dependents(&mut self, ticket: Ticket, now: Moment) {
        let mut failed = vec![ticket];
        while let Some(before) = failed.pop() {
            for waiting in self.take_dependents(before) {
                let Some(job) = self.jobs.remove(&waiting) else { continue };
                if let Some(desk) = self.desks.get_mut(job.desk) {
                    desk.queue.remove(waiting, now);
                }
                self.waits_for_none(&job, waiting);
                self.refused.push((waiting, Refusal::DependencyFailed(before)));
                failed.push(waiting);
            }
        }
    }

    /// Tasks that wait for another; they do not any more.
    fn take_dependents(&mut self, ticket: Ticket) -> Vec<Ticket> {
        let all = (ticket, Ticket::new(0))..=(ticket, Ticket::new(u64::MAX));
        let found: Vec<_> = self.dependents.range(all).copied().collect();
        for pair in &found {
            self.dependents.remove(pair);
        }
        found.into_iter().map(|(_, waiting)| waiting).collect()
    }

    /// Forgets for whom a task waited that is here no more.
    fn waits_for_none(&mut self, job: &Job, ticket: Ticket) {
        for before in &job.after {
            self.dependents.remove(&(*before, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use oag_types::Tenant;

    use super::*;
    use crate::fleet::WorkerSpec;
    use crate::length::{Facts, Predictor};
    use crate::scheduler::Config;
    use crate::task::{Context, Rates, Task};

    #[test]
    fn nothing_is_kept_of_who_waited_for_whom() {
        let (now, late) = (Moment::START, Moment::from_secs(9.0));
        let mut fleet = Scheduler::new(Config::default(), Predictor::new(8));
        let (models, rates) = (vec!["m".to_owned()], Rates::default());
        let (slots, window_tokens, memory_tokens) = (1, 1_000, 1_000);
        fleet.join(WorkerSpec { models, slots, window_tokens, memory_tokens, rates }, now);
        let facts = Facts { model: "m".to_owned(), ..Facts::default() };
        let task = Task::new(Context::of(Tenant::default_tenant()), facts);
        let first = fleet.submit(task.clone(), now).unwrap().ticket;
        let second = fleet.submit(task.clone(), now).unwrap().ticket;
        let mut behind = Task { after: vec![first, second], ..task };
        let ticket = fleet.submit(behind.clone(), now).unwrap().ticket;
        fleet.cancel(ticket, 0, now);
        assert!(fleet.dependents.is_empty(), "called off");
        behind.context.deadline = Some(late);
        fleet.submit(behind.clone(), now).unwrap();
        assert_eq!(fleet.refused(late).len(), 1);
        assert!(fleet.dependents.is_empty(), "late");
        behind.context.deadline = None;
        fleet.submit(behind, late).unwrap();
        fleet.cancel(first, 0, late);
        assert!(fleet.dependents.is_empty(), "fallen with one of two");
        assert_eq!(fleet.len(), 1);
    }
}
