//! Workers that come and go.

use std::time::Duration;

use super::Scheduler;
use super::job::Run;
use crate::fleet::{Health, WorkerId, WorkerSpec};
use crate::policy::Waiting;
use crate::queue::{Entry, Refusal};
use crate::task::Ticket;
use crate::time::Moment;

impl Scheduler {
    /// A worker joins and may be given tasks.
    pub fn join(&mut self, spec: WorkerSpec, now: Moment) -> WorkerId {
        self.fleet.join(spec, now)
    }

    /// Whether a worker may be given tasks. One that is gone is [`Scheduler::lost`].
    pub fn set_health(&mut self, worker: WorkerId, health: Health, now: Moment) {
        self.fleet.set_health(worker, health, now);
    }

    /// A task that waits is on a worker already, since before this scheduler knew of it. Says
    /// whether both are known and it waited.
    pub fn adopt(&mut self, ticket: Ticket, worker: WorkerId, now: Moment) -> bool {
        let known = self.fleet.worker(worker).is_some();
        let job = self.jobs.get_mut(&ticket).filter(|job| known && job.run.is_none());
        let Some(job) = job else { return false };
        let Some(desk) = self.desks.get_mut(job.desk) else { return false };
        let Some(entry) = desk.queue.remove(ticket, now) else { return false };
        let Entry { arrived, class, work, level, tokens, .. } = entry;
        let seen = Waiting { ticket, arrived, since: now, class, work, level };
        job.run = Some(Run {
            worker,
            started: now,
            tokens,
            // Its tenant was charged nothing when it left the queue.
            work: Duration::ZERO,
            cached: 0,
            attained_before: job.attained,
            seen,
            stopping: false,
        });
        desk.running.insert((class, now, ticket));
        self.fleet.begin(worker, tokens, &[], now);
        true
    }

    /// What a worker says its cache holds.
    pub fn holds(&mut self, worker: WorkerId, prefixes: &[u64]) {
        self.fleet.holds(worker, prefixes);
    }

    /// A running task has so many tokens of its answer; they are not lost with its worker.
    pub fn progress(&mut self, ticket: Ticket, attained: u32) {
        if let Some(job) = self.jobs.get_mut(&ticket).filter(|job| job.run.is_some()) {
            job.attained = job.attained.max(attained);
        }
    }

    /// A worker is gone. Its tasks wait again, at their old places; the answer names them. A task
    /// that lost too many workers is given up.
    pub fn lost(&mut self, worker: WorkerId, now: Moment) -> Vec<Ticket> {
        let on_it = |ticket: &Ticket| {
            let run = self.jobs.get(ticket).and_then(|job| job.run);
            run.filter(|run| run.worker == worker).map(|run| (*ticket, run))
        };
        let running = self.desks.iter().flat_map(|desk| &desk.running);
        let stranded: Vec<_> = running.filter_map(|(_, _, ticket)| on_it(ticket)).collect();
        let mut back = Vec::new();
        for (ticket, run) in stranded {
            let Some(job) = self.jobs.get_mut(&ticket) else { continue };
            job.losses += 1;
            job.run = None;
            let losses = job.losses;
            self.back_to_queue(ticket, &run, now);
            if losses > self.config.losses_max {
                let at = self.jobs.get(&ticket).map(|job| job.desk);
                if let Some(desk) = at.and_then(|at| self.desks.get_mut(at)) {
                    desk.queue.remove(ticket, now);
                }
                self.give_up(ticket, Refusal::LostTooOften { attempts: losses }, now);
            } else {
                back.push(ticket);
            }
        }
        self.fleet.leave(worker);
        back
    }
}
