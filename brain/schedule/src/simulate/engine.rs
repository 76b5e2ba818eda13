//! The clock, the workers and the requests.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use oag_types::Tenant;

use super::Setup;
use super::faults::Fate;
use super::outcome::{Outcome, Point};
use super::trace::{Arrival, Trace};
use crate::fleet::{WorkerId, WorkerSpec};
use crate::length::{Ending, Facts};
use crate::scheduler::{Assignment, Scheduler, Turn};
use crate::task::{Context, Task, Ticket};
use crate::time::{Moment, micros, seconds};

/// The model everybody asks.
const MODEL: &str = "model";
/// Points of the course.
const POINTS: u64 = 240;
/// How long a crashed worker is away.
const AWAY: Duration = Duration::from_secs(60);
/// How often slots of warming workers are looked at.
const WARM_STEP: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A task on a worker is done, or at the end of its slice, or stops for another.
    End(Ticket, u32),
    Slice(Ticket, u32),
    Stop(Ticket, u32),
    /// A worker stops working, and some time later this is known.
    Crash(usize),
    Known(WorkerId),
    Join(usize),
    /// Slots may have opened.
    Look,
}

/// A task on a worker.
#[derive(Debug, Clone, Copy)]
struct Run {
    node: usize,
    /// When its prompt is read.
    reads_until: Moment,
    attained: u32,
}

/// A task.
#[derive(Debug, Clone, Copy)]
struct Job {
    arrival: Arrival,
    /// Counts runs, so that events of former ones are known.
    version: u32,
    attained: u32,
    run: Option<Run>,
    /// Where its cache was kept when it paused.
    kept_on: Option<usize>,
}

/// A worker.
#[derive(Debug, Clone)]
struct Node {
    id: Option<WorkerId>,
    speed: f64,
    alive: bool,
    paused: VecDeque<Ticket>,
}

struct Engine<'a> {
    setup: &'a Setup,
    scheduler: Scheduler,
    nodes: Vec<Node>,
    by_id: BTreeMap<WorkerId, usize>,
    jobs: BTreeMap<Ticket, Job>,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    events_made: u64,
    now: Moment,
    busy: usize,
    outcome: Outcome,
}

/// Runs a trace to its end: all requests come, and all that were taken in are served or given up.
/// The arrivals are taken as they are; see [`Trace::at_load`].
#[must_use]
pub fn run(trace: &Trace, setup: &Setup) -> (Outcome, Scheduler) {
    let mut engine = Engine::new(trace, setup);
    let every = (trace.duration_s() / POINTS as f64).max(1e-6);
    let mut sampled = 0;
    let mut arrivals = trace.arrivals().iter().peekable();
    loop {
        let event_at = engine.events.peek().map(|Reverse((at, ..))| *at);
        let arrival_at = arrivals.peek().map(|arrival| arrival.at);
        let next = match (event_at, arrival_at) {
            (Some(event), Some(arrival)) => event.min(arrival),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => break,
        };
        while sampled as f64 * every <= next.secs() && sampled < 4 * POINTS {
            engine.sample(sampled as f64 * every);
            sampled += 1;
        }
        engine.now = next;
        // Ends go before arrivals of the same moment: a slot that is free can be given.
        match arrivals.next_if(|arrival| event_at.is_none_or(|at| arrival.at < at)) {
            Some(arrival) => engine.arrive(*arrival),
            None => engine.step(),
        }
        engine.settle();
    }
    let Engine { outcome, scheduler, .. } = engine;
    (outcome, scheduler)
}

impl<'a> Engine<'a> {
    fn new(trace: &Trace, setup: &'a Setup) -> Self {
        let fates = setup.faults.fates(setup.nodes, setup.seed);
        let node = |fate: &Fate| Node {
            id: None,
            speed: fate.speed,
            alive: false,
            paused: VecDeque::new(),
        };
        let mut engine = Self {
            setup,
            scheduler: Scheduler::new(setup.scheduler.clone(), setup.predictor.clone()),
            nodes: fates.iter().map(node).collect(),
            by_id: BTreeMap::new(),
            jobs: BTreeMap::new(),
            events: BinaryHeap::new(),
            events_made: 0,
            now: Moment::START,
            busy: 0,
            outcome: Outcome::default(),
        };
        let last_s = trace.duration_s();
        for (number, fate) in fates.iter().enumerate() {
            match fate.joins {
                Some(share) => engine.at(Moment::from_secs(share * last_s), Event::Join(number)),
                None => engine.join(number),
            }
            if let Some(share) = fate.crashes {
                engine.at(Moment::from_secs(share * last_s), Event::Crash(number));
            }
        }
        engine
    }

    fn at(&mut self, at: Moment, event: Event) {
        self.events_made += 1;
        self.events.push(Reverse((at, self.events_made, event)));
    }

    fn sample(&mut self, at_s: f64) {
        let waiting = self.scheduler.queue(MODEL).map_or(0, |queue| queue.waiting());
        self.outcome.course.push(Point { at_s, waiting, busy: self.busy });
    }

    fn join(&mut self, number: usize) {
        let spec = WorkerSpec {
            models: vec![MODEL.to_owned()],
            slots: self.setup.slots,
            window_tokens: u64::from(u32::MAX),
            memory_tokens: u64::from(u32::MAX),
            rates: self.setup.rates,
        };
        let id = self.scheduler.join(spec, self.now);
        if let Some(node) = self.nodes.get_mut(number) {
            (node.id, node.alive) = (Some(id), true);
        }
        self.by_id.insert(id, number);
        self.outcome.begun.push(0);
        // Slots of a late worker open one after the other.
        let looks = micros(self.setup.scheduler.warm_up) / micros(WARM_STEP) + 1;
        if self.now > Moment::START {
            for look in 1..=looks {
                let later = WARM_STEP * u32::try_from(look).unwrap_or(1);
                self.at(self.now.plus(later), Event::Look);
            }
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let facts =
            Facts { model: MODEL.to_owned(), prompt_tokens: arrival.prompt, ..Facts::default() };
        let task = Task::new(Context::of(Tenant::default_tenant()), facts);
        let told = self.setup.oracle.then_some(f64::from(arrival.answer));
        match self.scheduler.submit_expecting(task, told, self.now) {
            Ok(admitted) => {
                let job = Job { arrival, version: 0, attained: 0, run: None, kept_on: None };
                self.jobs.insert(admitted.ticket, job);
            }
            Err(_) => self.outcome.refused += 1,
        }
    }

    fn step(&mut self) {
        let Some(Reverse((_, _, event))) = self.events.pop() else { return };
        match event {
            Event::End(ticket, version) if self.is_current(ticket, version) => self.end(ticket),
            Event::Slice(ticket, version) if self.is_current(ticket, version) => {
                self.slice_over(ticket, version);
            }
            Event::Stop(ticket, version) if self.is_current(ticket, version) => {
                let attained = self.attained(ticket);
                self.scheduler.stopped(ticket, attained, self.now);
                self.pause(ticket, attained);
            }
            Event::Crash(number) => self.crash(number),
            Event::Known(id) => self.crash_known(id),
            Event::Join(number) => self.join(number),
            Event::End(..) | Event::Slice(..) | Event::Stop(..) | Event::Look => {}
        }
    }

    /// Lets the scheduler decide until it has nothing more to say.
    fn settle(&mut self) {
        while let Some(assignment) = self.scheduler.dispatch(self.now) {
            self.begin(&assignment);
        }
        while let Some(preemption) = self.scheduler.preempt(self.now) {
            // A worker that crashed stops nothing, whether that is known yet or not.
            let node = self.by_id.get(&preemption.worker).and_then(|at| self.nodes.get(*at));
            if node.is_none_or(|node| !node.alive) {
                continue;
            }
            let at = self.next_step(preemption.ticket);
            let version = self.jobs.get(&preemption.ticket).map_or(0, |job| job.version);
            self.at(at, Event::Stop(preemption.ticket, version));
        }
        for (ticket, _) in self.scheduler.refused(self.now) {
            self.jobs.remove(&ticket);
            self.outcome.given_up += 1;
        }
    }

    fn is_current(&self, ticket: Ticket, version: u32) -> bool {
        self.jobs.get(&ticket).is_some_and(|job| job.version == version && job.run.is_some())
    }

    fn begin(&mut self, assignment: &Assignment) {
        let ticket = assignment.ticket;
        let Some(number) = self.by_id.get(&assignment.worker).copied() else { return };
        let Some(node) = self.nodes.get_mut(number) else { return };
        let Some(job) = self.jobs.get_mut(&ticket) else { return };
        let rates = &self.setup.rates;
        let kept = job.kept_on == Some(number) && node.paused.contains(&ticket);
        node.paused.retain(|other| *other != ticket);
        let again = f64::from(job.arrival.prompt + job.attained);
        let read = if kept { 0.0 } else { again };
        let reads = rates.work(read, 0.0).as_secs_f64() / node.speed;
        if job.version > 0 && !kept {
            self.outcome.reread_s += reads;
        }
        let reads_until = self.now.plus(seconds(reads));
        job.version += 1;
        job.kept_on = None;
        job.run = Some(Run { node: number, reads_until, attained: job.attained });
        let (version, left) = (job.version, job.arrival.answer.saturating_sub(job.attained));
        let step = self.step_s(number);
        self.busy += 1;
        self.outcome.dispatches += 1;
        if let Some(begun) = self.outcome.begun.get_mut(assignment.worker.number() as usize) {
            *begun += 1;
        }
        if self.nodes.get(number).is_some_and(|node| node.alive) {
            let end = reads_until.plus(seconds(f64::from(left) * step));
            self.at(end, Event::End(ticket, version));
            if let Some(slice) = assignment.slice {
                self.slice_from(ticket, version, slice, reads_until, step);
            }
        }
    }

    /// A slice ends between two steps, the first one at or after its length.
    fn slice_from(&mut self, ticket: Ticket, version: u32, slice: Duration, at: Moment, step: f64) {
        let steps = (slice.as_secs_f64() / step - 1e-9).ceil().max(1.0);
        self.at(at.plus(seconds(steps * step)), Event::Slice(ticket, version));
    }

    fn step_s(&self, node: usize) -> f64 {
        let speed = self.nodes.get(node).map_or(1.0, |node| node.speed);
        1.0 / (self.setup.rates.decode_per_s * speed)
    }

    /// Tokens a running task has written.
    fn attained(&self, ticket: Ticket) -> u32 {
        let Some(job) = self.jobs.get(&ticket) else { return 0 };
        let Some(run) = job.run else { return job.attained };
        let written = self.now.since(run.reads_until).as_secs_f64() / self.step_s(run.node);
        // Whole steps; the cast saturates.
        (run.attained + (written + 1e-6) as u32).min(job.arrival.answer)
    }

    /// The end of the step a task is in.
    fn next_step(&self, ticket: Ticket) -> Moment {
        let run = self.jobs.get(&ticket).and_then(|job| job.run);
        let Some(run) = run else { return self.now };
        let step = self.step_s(run.node);
        let steps = self.now.since(run.reads_until).as_secs_f64() / step;
        run.reads_until.plus(seconds((steps - 1e-6).ceil().max(0.0) * step)).max(self.now)
    }

    fn end(&mut self, ticket: Ticket) {
        let Some(job) = self.jobs.remove(&ticket) else { return };
        self.busy -= 1;
        self.scheduler.finished(ticket, Ending::Complete(job.arrival.answer), self.now);
        let tokens = (job.arrival.prompt, job.arrival.answer);
        self.outcome.serve(job.arrival.at, self.now, tokens, &self.setup.rates);
    }

    fn slice_over(&mut self, ticket: Ticket, version: u32) {
        let attained = self.attained(ticket);
        match self.scheduler.slice_over(ticket, attained, self.now) {
            Turn::MakesWay => self.pause(ticket, attained),
            Turn::GoesOn(slice) => {
                let node = self.jobs.get(&ticket).and_then(|job| job.run).map(|run| run.node);
                if let (Some(slice), Some(node)) = (slice, node) {
                    let step = self.step_s(node);
                    self.slice_from(ticket, version, slice, self.now, step);
                }
            }
        }
    }

    /// A task left its slot before its end; its cache may be kept.
    fn pause(&mut self, ticket: Ticket, attained: u32) {
        self.outcome.yields += 1;
        let Some(job) = self.jobs.get_mut(&ticket) else { return };
        let Some(run) = job.run.take() else { return };
        self.busy -= 1;
        job.attained = attained;
        // A prompt that is half read is not worth keeping.
        if run.reads_until <= self.now
            && let Some(node) = self.nodes.get_mut(run.node)
        {
            job.kept_on = Some(run.node);
            node.paused.push_back(ticket);
            if node.paused.len() > self.setup.kept {
                node.paused.pop_front();
            }
        }
    }

    fn crash(&mut self, number: usize) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        let Some(id) = node.id else { return };
        node.alive = false;
        node.paused.clear();
        let on_it = |job: &Job| job.run.is_some_and(|run| run.node == number);
        let stranded: Vec<Ticket> =
            self.jobs.iter().filter(|(_, job)| on_it(job)).map(|(ticket, _)| *ticket).collect();
        for ticket in stranded {
            // What was streamed is not lost.
            let attained = self.attained(ticket);
            self.scheduler.progress(ticket, attained);
            if let Some(job) = self.jobs.get_mut(&ticket) {
                job.attained = attained;
                job.version += 1;
            }
        }
        self.at(self.now.plus(self.setup.detection), Event::Known(id));
        self.at(self.now.plus(AWAY), Event::Join(number));
    }

    fn crash_known(&mut self, id: WorkerId) {
        let back = self.scheduler.lost(id, self.now);
        let number = self.by_id.remove(&id);
        for job in self.jobs.values_mut() {
            if job.run.is_some() && job.run.map(|run| run.node) == number {
                job.run = None;
                self.busy -= 1;
            }
        }
        self.outcome.losses += back.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyKind;
    use crate::queue::QueueConfig;
    use crate::scheduler::Config;
    use crate::task::Class;

    #[test]
    fn nothing_stops_on_a_worker_that_crashed() {
        let kind = PolicyKind::Priority(Default::default());
        let config = Config { queue: QueueConfig::of(kind), ..Config::default() };
        let setup = Setup { slots: 1, ..Setup::new(1, config) };
        let trace = Trace::of(vec![(0.0, 1, 9), (1.0, 1, 9)]).unwrap();
        for crashed in [false, true] {
            let mut engine = Engine::new(&trace, &setup);
            let facts = Facts { model: MODEL.to_owned(), ..Facts::default() };
            let task = Task::new(Context::of(Tenant::default_tenant()), facts);
            let task = Task { class: Class::Batch, ..task };
            let ticket = engine.scheduler.submit(task, engine.now).unwrap().ticket;
            let arrival = trace.arrivals()[0];
            let job = Job { arrival, version: 0, attained: 0, run: None, kept_on: None };
            engine.jobs.insert(ticket, job);
            engine.settle();
            if crashed {
                engine.crash(0);
            }
            engine.arrive(trace.arrivals()[1]);
            engine.settle();
            let stops = |Reverse((_, _, event)): &Reverse<(Moment, u64, Event)>| {
                matches!(event, Event::Stop(..))
            };
            assert_eq!(engine.events.iter().any(stops), !crashed, "crashed: {crashed}");
        }
    }
}
