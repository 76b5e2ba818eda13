//! What one decision costs at full size.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::ensure;
use oag_schedule::balance::BalanceKind;
use oag_schedule::fleet::WorkerSpec;
use oag_schedule::length::{Ending, Predictor};
use oag_schedule::simulate::Arrival;
use oag_schedule::{Class, Config, Context, Moment, Rates, Scheduler, Task, Ticket};

use super::{Part, facts};
use crate::figures::{count, percentile};
use crate::machine::Stopwatch;
use crate::report::{Goal, Report};

const PROMISED_US: f64 = 5.0;
const TENANTS: usize = 50;
/// Prompts that begin alike, in blocks of a cache.
const BEGINNINGS: usize = 500;
const BLOCKS: usize = 6;

/// How large.
#[derive(Debug, Clone, Copy)]
struct Size {
    queued: usize,
    workers: usize,
    slots: u32,
    /// Rounds of a few hundred decisions.
    rounds: usize,
    each: usize,
}

/// Processor time of one decision, of taking a task in and of its end, under each rule.
pub(super) fn measure(report: &mut Report, parts: &[Part], quick: bool) -> anyhow::Result<()> {
    let size = if quick {
        Size { queued: 500, workers: 20, slots: 8, rounds: 3, each: 50 }
    } else {
        Size { queued: 10_000, workers: 1_000, slots: 8, rounds: 100, each: 200 }
    };
    let arrivals: Vec<Arrival> =
        parts.iter().flat_map(|part| part.trace.arrivals()).copied().collect();
    for balance in BalanceKind::ALL {
        let mut fleet = Fleet::new(balance, size, &arrivals)?;
        let mut rounds: [Vec<f64>; 3] = Default::default();
        for _ in 0..size.rounds {
            let finished = timed(|| fleet.finish(size.each))?;
            rounds[0].push(timed(|| fleet.dispatch(size.each))?);
            rounds[1].push(timed(|| fleet.submit(size.each))?);
            rounds[2].push(finished);
        }
        // The median round: what others do to the caches meanwhile is not the scheduler's.
        let each_us = 1e6 / count(size.each);
        let [dispatched, submitted, finished] =
            rounds.map(|mut rounds| percentile(&mut rounds, 0.5) * each_us);
        let name = |what: &str| {
            let (queued, workers) = (size.queued, size.workers);
            format!("{queued} queued, {workers} workers, {}: {what}", balance.name())
        };
        let goal = Goal::AtMost(PROMISED_US);
        report.promise(name("a decision"), dispatched, "us of CPU", goal);
        report.row(name("taking a task in"), submitted, "us of CPU");
        report.row(name("the end of a task"), finished, "us of CPU");
    }
    Ok(())
}

/// Processor seconds that something took.
fn timed(what: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let watch = Stopwatch::start();
    what()?;
    Ok(watch.took().cpu_s)
}

/// A scheduler under load, every slot busy and a long queue behind.
struct Fleet<'a> {
    scheduler: Scheduler,
    arrivals: &'a [Arrival],
    /// Tasks that run, oldest first.
    running: VecDeque<Ticket>,
    made: usize,
    now: Moment,
}

impl<'a> Fleet<'a> {
    fn new(balance: BalanceKind, size: Size, arrivals: &'a [Arrival]) -> anyhow::Result<Self> {
        let mut config = Config { balance, ..Config::default() };
        config.queue.bounds.tasks_max = 10 * size.queued;
        config.queue.bounds.tokens_max = u64::MAX;
        let mut fleet = Self {
            scheduler: Scheduler::new(config, Predictor::default()),
            arrivals,
            running: VecDeque::new(),
            made: 0,
            now: Moment::START,
        };
        for _ in 0..size.workers {
            let spec = WorkerSpec {
                models: vec!["model".to_owned()],
                slots: size.slots,
                window_tokens: 32_768,
                memory_tokens: 200_000,
                rates: Rates::default(),
            };
            fleet.scheduler.join(spec, fleet.now);
        }
        let busy = size.workers * size.slots as usize;
        fleet.submit(size.queued)?;
        for _ in 0..busy {
            fleet.dispatch(1)?;
            fleet.submit(1)?;
        }
        ensure!(fleet.scheduler.dispatch(fleet.now).is_none(), "every slot is busy");
        let waiting = fleet.scheduler.queue("model").map_or(0, |queue| queue.waiting());
        ensure!(waiting == size.queued, "{waiting} wait");
        Ok(fleet)
    }

    fn submit(&mut self, tasks: usize) -> anyhow::Result<()> {
        for _ in 0..tasks {
            let arrival = self.arrivals[self.made % self.arrivals.len()];
            let tenant = format!("tenant-{}", self.made % TENANTS).parse()?;
            let class = [Class::Critical, Class::Interactive, Class::Batch][self.made % 3];
            let beginning = self.made * 7 % BEGINNINGS * BLOCKS;
            let prefixes = (beginning..beginning + BLOCKS).map(|block| block as u64 * 31).collect();
            let mut task = Task::new(Context::of(tenant), facts(arrival.prompt));
            (task.class, task.prefixes, task.affinity) = (class, prefixes, self.made as u64 % 997);
            self.scheduler.submit(task, self.now)?;
            self.made += 1;
        }
        self.now = self.now.plus(Duration::from_millis(10));
        Ok(())
    }

    fn dispatch(&mut self, tasks: usize) -> anyhow::Result<()> {
        for _ in 0..tasks {
            let begun = self.scheduler.dispatch(self.now);
            ensure!(begun.is_some(), "a slot is free and tasks wait");
            self.running.extend(begun.map(|begun| begun.ticket));
        }
        Ok(())
    }

    fn finish(&mut self, tasks: usize) -> anyhow::Result<()> {
        for ticket in self.running.drain(..tasks) {
            let arrival = self.arrivals[ticket.number() as usize % self.arrivals.len()];
            self.scheduler.finished(ticket, Ending::Complete(arrival.answer), self.now);
        }
        Ok(())
    }
}
