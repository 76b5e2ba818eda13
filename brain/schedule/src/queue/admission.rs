//! The queue itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oag_types::Tenant;

use super::bounds::{Held, Refusal, retry_after, room};
use super::drain::{Drain, Waits};
use super::share::Lanes;
use super::{CLASS_TURN, Entry, Line, Next, QueueConfig};
use crate::policy::{Choice, Policy, Reason, View, Waiting};
use crate::task::{Class, Ticket};
use crate::time::{Moment, micros, seconds};

#[derive(Debug, Clone)]
struct Kept {
    entry: Entry,
    in_lane: bool,
    /// When it began to wait in its lane.
    since: Moment,
    /// What it would have waited in the order of arrival.
    behind_s: f64,
}

/// The waiting tasks of one model.
#[derive(Debug)]
pub struct AdmissionQueue {
    config: QueueConfig,
    weights: BTreeMap<Tenant, f64>,
    /// Stands for every tenant where they do not share fairly.
    all: Tenant,
    /// Answers what does not depend on who waits.
    rules: Box<dyn Policy>,
    /// One, or one for each class.
    classes: Vec<Lanes>,
    kept: BTreeMap<Ticket, Kept>,
    deadlines: BTreeSet<(Moment, Ticket)>,
    held: Held,
    in_lanes: Held,
    drain: Drain,
    waits: Waits,
    load: f64,
    /// Dispatches since a turn of a less urgent class, while one was due.
    passed_over: u32,
}

impl AdmissionQueue {
    /// With nothing in it. Tenants weigh 1 unless told otherwise.
    #[must_use]
    pub fn new(config: QueueConfig, weights: BTreeMap<Tenant, f64>) -> Self {
        let classes = if config.strict_classes { Class::ALL.len() } else { 1 };
        let lanes = |_| Lanes::new(config.policy.clone());
        Self {
            classes: (0..classes).map(lanes).collect(),
            rules: config.policy.lane(),
            waits: Waits::new(config.patience),
            config,
            weights,
            all: Tenant::default_tenant(),
            kept: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            held: Held::default(),
            in_lanes: Held::default(),
            drain: Drain::new(),
            load: 0.0,
            passed_over: 0,
        }
    }

    /// Tells how many slots work for this queue, and which share of them is busy (0 to 1).
    pub fn set_capacity(&mut self, slots: usize, load: f64) {
        self.drain.set_slots(slots);
        self.load = load;
    }

    /// Takes a new task in. When `held_back` it waits for [`AdmissionQueue::release`].
    ///
    /// # Errors
    /// When it is late already, or too much waits; the answer says when to try again.
    pub fn submit(&mut self, entry: Entry, held_back: bool, now: Moment) -> Result<(), Refusal> {
        if entry.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refusal::Late);
        }
        let (class, tenant) = self.lane_of(&entry);
        let lane = self.classes.get(class).and_then(|lanes| lanes.get(&tenant));
        let own = lane.filter(|_| self.config.fair_shares).map(|lane| lane.held);
        let own = own.unwrap_or_default();
        room(&self.config.bounds, entry.class.rank(), entry.tokens, &self.held, &own).map_err(
            |(limit, share)| {
                let retry_after = retry_after(share, self.held.work, self.drain.rate());
                Refusal::Overloaded { limit, retry_after }
            },
        )?;
        self.keep(entry, held_back, now);
        Ok(())
    }

    /// Takes a task back that had begun to run. There is always room for it.
    pub fn come_back(&mut self, entry: Entry, now: Moment) {
        self.keep(entry, false, now);
    }

    /// Lets a task that was held back wait with the others.
    pub fn release(&mut self, ticket: Ticket, now: Moment) {
        if let Some(kept) = self.kept.get(&ticket).filter(|kept| !kept.in_lane) {
            let entry = kept.entry.clone();
            self.enter_lane(&entry, now);
        }
    }

    /// The task that should run next; none when none may.
    #[must_use]
    pub fn next(&self, now: Moment) -> Option<Next> {
        let view = self.view(now);
        let mut classes = self.classes.iter().enumerate().filter(|(class, lanes)| {
            let background = *class == Class::Background.rank();
            let held_back = background && self.load > self.config.background_load_max;
            lanes.next().is_some() && (!held_back || self.is_due(lanes, now))
        });
        let first = classes.next()?;
        let due = |(_, lanes): &(usize, &Lanes)| self.is_due(lanes, now);
        let turn = self.passed_over.saturating_add(1) >= CLASS_TURN;
        let (class, lanes) = if turn { classes.find(due).unwrap_or(first) } else { first };
        let tenant = lanes.next()?.clone();
        let choice = lanes.get(&tenant)?.tasks.choose(view)?;
        Some(Next { choice, class, tenant })
    }

    /// Hands out what is next; the answer is the task as it entered.
    pub fn take(&mut self, next: &Next, now: Moment) -> Option<Entry> {
        let view = self.view(now);
        let less_urgent_due =
            self.classes.iter().skip(next.class + 1).any(|lanes| self.is_due(lanes, now));
        let more_urgent = self.classes.iter().take(next.class).any(|lanes| lanes.next().is_some());
        self.passed_over = match (more_urgent, less_urgent_due) {
            (true, _) => 0,
            (false, true) => self.passed_over.saturating_add(1),
            (false, false) => self.passed_over,
        };
        let kept = self.forget(next.choice.task.ticket)?;
        let weight = self.weight(&next.tenant);
        let (tokens, work) = (kept.entry.tokens, kept.entry.work);
        if let Some(lanes) = self.classes.get_mut(next.class) {
            lanes.charge(&next.tenant, micros(work));
            lanes.change(&next.tenant, weight, |lane| {
                lane.tasks.take(&next.choice, view);
                lane.leave(tokens, work, true);
            });
        }
        if kept.since < now {
            self.drain.handed_out(work, now);
            self.waits.waited(kept.behind_s);
        }
        self.left_lane(next.class, &kept, now);
        Some(kept.entry)
    }

    /// Takes a task out that will not run: cancelled, late, or its dependency failed.
    pub fn remove(&mut self, ticket: Ticket, now: Moment) -> Option<Entry> {
        let kept = self.forget(ticket)?;
        let (class, tenant) = self.lane_of(&kept.entry);
        let weight = self.weight(&tenant);
        let Entry { tokens, work, .. } = kept.entry;
        if let Some(lanes) = self.classes.get_mut(class) {
            lanes.change(&tenant, weight, |lane| {
                lane.tasks.remove(ticket);
                lane.leave(tokens, work, kept.in_lane);
            });
        }
        if kept.in_lane {
            self.left_lane(class, &kept, now);
        }
        Some(kept.entry)
    }

    /// Tasks whose deadline is over; they are taken out.
    pub fn expire(&mut self, now: Moment) -> Vec<Ticket> {
        let mut late = Vec::new();
        while let Some((deadline, ticket)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.remove(ticket, now);
            self.deadlines.remove(&(deadline, ticket));
            late.push(ticket);
        }
        late
    }

    /// Tells that a task took another time than predicted, for the shares of tenants.
    pub fn settle(&mut self, tenant: &Tenant, class: Class, predicted: Duration, real: Duration) {
        if !self.config.fair_shares {
            return;
        }
        let signed = |time| i64::try_from(micros(time)).unwrap_or(i64::MAX);
        let class = class.rank().min(self.classes.len() - 1);
        if let Some(lanes) = self.classes.get_mut(class) {
            lanes.correct(tenant, signed(real) - signed(predicted));
        }
    }

    /// How long a running task may run before [`AdmissionQueue::spent`] is asked.
    #[must_use]
    pub fn slice(&self, choice: &Choice) -> Option<Duration> {
        self.rules.slice(choice)
    }

    /// What a running task that has used its slice up is from now on.
    #[must_use]
    pub fn spent(&self, task: Waiting) -> Waiting {
        self.rules.spent(task)
    }

    /// What a running task that has used its slice up is chosen for, when it would be next itself
    /// and goes on; none when it makes way.
    #[must_use]
    pub fn goes_on(&self, spent: &Waiting, now: Moment) -> Option<Choice> {
        let mut both = self.config.policy.lane();
        both.push(*spent);
        if let Some(next) = self.next(now) {
            both.push(next.choice.task);
        }
        both.choose(self.view(now)).filter(|choice| choice.task.ticket == spent.ticket)
    }

    /// Whether what is next may take the place of a running task at once.
    #[must_use]
    pub fn preempts(&self, running: &Waiting, now: Moment) -> bool {
        let next = self.next(now);
        next.is_some_and(|next| self.rules.preempts(&next.choice.task, running))
    }

    /// Tasks in it, held back ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Tasks that wait for a worker.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.in_lanes.tasks
    }

    /// Tokens in it: prompts and expected answers.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.held.tokens
    }

    /// How long a task that came now would wait if nobody were overtaken.
    #[must_use]
    pub fn expected_wait(&self) -> Duration {
        seconds(self.in_lanes.work.as_secs_f64() / self.drain.rate())
    }

    /// How long a task may be overtaken at present.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.waits.patience()
    }

    /// The first `most` tasks, lane by lane, with the reason of the next one of each lane.
    #[must_use]
    pub fn lines(&self, most: usize, now: Moment) -> Vec<Line> {
        let view = self.view(now);
        let lanes = self.classes.iter().flat_map(Lanes::in_order);
        let next: BTreeMap<Ticket, Reason> = lanes
            .filter_map(|(_, lane)| lane.tasks.choose(view))
            .map(|choice| (choice.task.ticket, choice.reason))
            .collect();
        let line = |kept: &Kept| Line {
            ticket: kept.entry.ticket,
            tenant: kept.entry.tenant.clone(),
            class: kept.entry.class,
            waited: now.since(kept.entry.arrived),
            work: kept.entry.work,
            reason: next.get(&kept.entry.ticket).copied(),
        };
        let chosen = next.keys().filter_map(|ticket| self.kept.get(ticket));
        let others = self.kept.values().filter(|kept| !next.contains_key(&kept.entry.ticket));
        chosen.chain(others).take(most).map(line).collect()
    }
}

impl AdmissionQueue {
    fn view(&self, now: Moment) -> View {
        View { now, patience: self.waits.patience() }
    }

    /// Whether a class has waited beyond its patience.
    fn is_due(&self, lanes: &Lanes, now: Moment) -> bool {
        lanes.waits_since().is_some_and(|since| now.since(since) >= self.config.class_patience)
    }

    fn weight(&self, tenant: &Tenant) -> f64 {
        self.weights.get(tenant).copied().unwrap_or(1.0)
    }

    /// Class and tenant of the lane of a task.
    fn lane_of(&self, entry: &Entry) -> (usize, Tenant) {
        let class = entry.class.rank().min(self.classes.len() - 1);
        let tenant = if self.config.fair_shares { &entry.tenant } else { &self.all };
        (class, tenant.clone())
    }

    fn keep(&mut self, entry: Entry, held_back: bool, now: Moment) {
        let (class, tenant) = self.lane_of(&entry);
        let weight = self.weight(&tenant);
        if let Some(lanes) = self.classes.get_mut(class) {
            lanes.change(&tenant, weight, |lane| lane.held.add(entry.tokens, entry.work));
        }
        self.held.add(entry.tokens, entry.work);
        if let Some(deadline) = entry.deadline {
            self.deadlines.insert((deadline, entry.ticket));
        }
        let kept = Kept { entry: entry.clone(), in_lane: false, since: now, behind_s: 0.0 };
        self.kept.insert(entry.ticket, kept);
        if !held_back {
            self.enter_lane(&entry, now);
        }
    }

    fn enter_lane(&mut self, entry: &Entry, now: Moment) {
        let (class, tenant) = self.lane_of(entry);
        let weight = self.weight(&tenant);
        let Entry { ticket, arrived, class: urgency, work, level, .. } = *entry;
        let task = Waiting { ticket, arrived, since: now, class: urgency, work, level };
        self.drain.waits(now);
        self.in_lanes.add(entry.tokens, work);
        let Some(lanes) = self.classes.get_mut(class) else { return };
        // What is before it in its own lane, at the lane's part of the rate.
        let before = lanes.change(&tenant, weight, |lane| {
            lane.tasks.push(task);
            lane.in_lane_work = lane.in_lane_work.saturating_add(work);
            lane.in_lane_work
        });
        lanes.waits(now, ticket);
        let behind_s = before.as_secs_f64() * lanes.waiting() as f64 / self.drain.rate();
        self.waits.arrives(behind_s, now);
        if let Some(kept) = self.kept.get_mut(&ticket) {
            (kept.in_lane, kept.since, kept.behind_s) = (true, now, behind_s);
        }
    }

    fn forget(&mut self, ticket: Ticket) -> Option<Kept> {
        let kept = self.kept.remove(&ticket)?;
        self.held.remove(kept.entry.tokens, kept.entry.work);
        if let Some(deadline) = kept.entry.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        Some(kept)
    }

    /// Books that a task waits no more, after it was taken out of its lane.
    fn left_lane(&mut self, class: usize, kept: &Kept, now: Moment) {
        if let Some(lanes) = self.classes.get_mut(class) {
            lanes.waits_no_more(kept.since, kept.entry.ticket);
        }
        self.in_lanes.remove(kept.entry.tokens, kept.entry.work);
        if self.in_lanes.tasks == 0 {
            self.drain.rests(now);
        }
    }
}
