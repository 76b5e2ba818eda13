//! The queue itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use oag_types::Tenant;

use super::bounds::{Held, Refusal, retry_after, room};
use super::drain::{Drain, Waits};
use super::in_order::InOrder;
use super::share::Lanes;
use super::{Entry, Next, QueueConfig};
use crate::fleet::Mixed;
use crate::policy::{Choice, Policy, View, Waiting};
use crate::task::{Class, Ticket};
use crate::time::{Moment, micros, seconds};

#[derive(Debug, Clone)]
struct Kept {
    entry: Entry,
    in_lane: bool,
    /// When it began to wait in its lane.
    since: Moment,
    /// What it would have waited in the order of arrival; none when it had begun before.
    behind_s: Option<f64>,
}

/// How a task comes to its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entering {
    /// For the first time.
    New,
    /// For the first time, after it was held back.
    Released,
    /// After it had begun to run.
    Again,
}

/// The waiting tasks of one model.
#[derive(Debug)]
pub struct AdmissionQueue {
    pub(super) config: QueueConfig,
    weights: BTreeMap<Tenant, f64>,
    /// Stands for every tenant where they do not share fairly.
    all: Tenant,
    /// Answers what does not depend on who waits.
    rules: Box<dyn Policy>,
    /// One, or one for each class.
    pub(super) classes: Vec<Lanes>,
    /// Never gone through in its order, which is nobody's.
    kept: HashMap<Ticket, Kept, BuildHasherDefault<Mixed>>,
    deadlines: BTreeSet<(Moment, Ticket)>,
    held: Held,
    in_lanes: Held,
    /// Tasks in lanes, by their class.
    by_class: [usize; Class::ALL.len()],
    drain: Drain,
    in_order: InOrder,
    waits: Waits,
    pub(super) load: f64,
    /// Dispatches since a turn of a less urgent class, while one was due.
    pub(super) passed_over: u32,
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
            kept: HashMap::default(),
            deadlines: BTreeSet::new(),
            held: Held::default(),
            in_lanes: Held::default(),
            by_class: Default::default(),
            drain: Drain::new(),
            in_order: InOrder::default(),
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
        let lane = self.classes.get(self.class_of(entry.class));
        let lane = lane.and_then(|lanes| lanes.get(&entry.tenant));
        let own = lane.filter(|_| self.config.fair_shares).map(|lane| lane.held);
        let own = own.unwrap_or_default();
        room(&self.config.bounds, entry.class.rank(), entry.tokens, &self.held, &own).map_err(
            |(limit, share)| {
                let retry_after = retry_after(share, self.held.work, self.drain.rate());
                Refusal::Overloaded { limit, retry_after }
            },
        )?;
        self.keep(entry, held_back, Entering::New, now);
        Ok(())
    }

    /// Takes a task back that had begun to run. There is always room for it.
    pub fn come_back(&mut self, entry: Entry, now: Moment) {
        self.in_order.correct(entry.work.as_secs_f64());
        self.keep(entry, false, Entering::Again, now);
    }

    /// Lets a task that was held back wait with the others.
    pub fn release(&mut self, ticket: Ticket, now: Moment) {
        if let Some(kept) = self.kept.remove(&ticket) {
            let kept = match kept.in_lane {
                true => kept,
                false => self.enter_lane(kept, Entering::Released, now),
            };
            self.kept.insert(ticket, kept);
        }
    }

    /// The task that should run next; none when none may.
    #[must_use]
    pub fn next(&self, now: Moment) -> Option<Next> {
        let class = self.class_in_turn(self.turns(now), self.passed_over)?;
        let lanes = self.classes.get(class)?;
        let tenant = lanes.next()?;
        let choice = lanes.get(tenant)?.tasks.choose(self.view(now))?;
        Some(Next { choice, class, tenant: Arc::clone(tenant) })
    }

    /// Hands out what is next; the answer is the task as it entered.
    pub fn take(&mut self, next: &Next, now: Moment) -> Option<Entry> {
        let view = self.view(now);
        self.passed_over = Self::passes_over(self.turns(now), next.class, self.passed_over);
        let kept = self.forget(next.choice.task.ticket)?;
        let weight = self.weight(&next.tenant);
        let (tokens, work) = (kept.entry.tokens, kept.entry.work);
        if let Some(lanes) = self.classes.get_mut(next.class) {
            lanes.charge(&next.tenant, weight, micros(work), |lane| {
                lane.tasks.take(&next.choice, view);
                lane.held.remove(tokens, work);
            });
        }
        if kept.since < now {
            self.drain.handed_out(work, now);
            kept.behind_s.into_iter().for_each(|behind_s| self.waits.waited(behind_s));
        }
        self.left_lane(next.class, &kept, now);
        Some(kept.entry)
    }

    /// Takes a task out that will not run: cancelled, late, or its dependency failed.
    pub fn remove(&mut self, ticket: Ticket, now: Moment) -> Option<Entry> {
        let kept = self.forget(ticket)?;
        let class = self.class_of(kept.entry.class);
        let tenant = if self.config.fair_shares { &kept.entry.tenant } else { &self.all };
        let weight = self.weight(tenant);
        let Entry { tokens, work, .. } = kept.entry;
        if let Some(lanes) = self.classes.get_mut(class) {
            lanes.change(tenant, weight, |lane| {
                lane.tasks.remove(ticket);
                lane.held.remove(tokens, work);
            });
        }
        if kept.in_lane {
            self.left_lane(class, &kept, now);
            self.in_order.correct(-work.as_secs_f64());
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
        self.in_order.correct(real.as_secs_f64() - predicted.as_secs_f64());
        if !self.config.fair_shares {
            return;
        }
        let signed = |time| i64::try_from(micros(time)).unwrap_or(i64::MAX);
        let class = self.class_of(class);
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
        if let Some(next) = self.next(now) {
            both.push(next.choice.task);
        }
        // Behind the other: in a round it is the other's turn.
        both.push(*spent);
        both.choose(self.view(now)).filter(|choice| choice.task.ticket == spent.ticket)
    }

    /// Whether what is next may take the place of a running task at once.
    #[must_use]
    pub fn preempts(&self, running: &Waiting, now: Moment) -> bool {
        let next = self.next(now);
        next.is_some_and(|next| self.rules.preempts(&next.choice.task, running))
    }

    /// Tasks that wait for a worker and are more urgent than a class.
    #[must_use]
    pub fn waiting_above(&self, class: Class) -> usize {
        self.by_class.iter().take(class.rank()).sum()
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
}

impl AdmissionQueue {
    pub(super) fn view(&self, now: Moment) -> View {
        let (patience, at_limit) = self.waits.patience();
        View { now, patience, at_limit }
    }

    /// A task that is in it.
    pub(super) fn entry(&self, ticket: Ticket) -> Option<&Entry> {
        self.kept.get(&ticket).map(|kept| &kept.entry)
    }

    fn weight(&self, tenant: &Tenant) -> f64 {
        if self.weights.is_empty() { 1.0 } else { self.weights.get(tenant).copied().unwrap_or(1.0) }
    }

    /// The place of a class among the queue's.
    fn class_of(&self, class: Class) -> usize {
        class.rank().min(self.classes.len() - 1)
    }

    fn keep(&mut self, entry: Entry, held_back: bool, entering: Entering, now: Moment) {
        let class = self.class_of(entry.class);
        let tenant = if self.config.fair_shares { &entry.tenant } else { &self.all };
        let (weight, ticket) = (self.weight(tenant), entry.ticket);
        let (tokens, work) = (entry.tokens, entry.work);
        self.held.add(tokens, work);
        if let Some(deadline) = entry.deadline {
            self.deadlines.insert((deadline, ticket));
        }
        if held_back && let Some(lanes) = self.classes.get_mut(class) {
            lanes.change(tenant, weight, |lane| lane.held.add(tokens, work));
        }
        let kept = Kept { entry, in_lane: false, since: now, behind_s: None };
        let kept = if held_back { kept } else { self.enter_lane(kept, entering, now) };
        self.kept.insert(ticket, kept);
    }

    fn enter_lane(&mut self, mut kept: Kept, entering: Entering, now: Moment) -> Kept {
        let Entry { ticket, arrived, class: urgency, tokens, work, level, .. } = kept.entry;
        let class = self.class_of(urgency);
        let tenant = if self.config.fair_shares { &kept.entry.tenant } else { &self.all };
        let weight = self.weight(tenant);
        self.drain.waits(now);
        if entering != Entering::Again {
            let idle = self.in_lanes.tasks == 0 && self.load < 1.0;
            let behind_s = self.in_order.arrives(work, self.drain.slots(), idle, now);
            self.waits.arrives(behind_s, now);
            kept.behind_s = Some(behind_s);
        }
        self.in_lanes.add(tokens, work);
        if let Some(count) = self.by_class.get_mut(urgency.rank()) {
            *count += 1;
        }
        let task = Waiting { ticket, arrived, since: now, class: urgency, work, level };
        if let Some(lanes) = self.classes.get_mut(class) {
            lanes.change(tenant, weight, |lane| {
                if entering != Entering::Released {
                    lane.held.add(tokens, work);
                }
                lane.tasks.push(task);
            });
            lanes.waits(now, ticket);
        }
        (kept.in_lane, kept.since) = (true, now);
        kept
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
        if let Some(count) = self.by_class.get_mut(kept.entry.class.rank()) {
            *count = count.saturating_sub(1);
        }
        if self.in_lanes.tasks == 0 {
            self.drain.rests(now);
        }
    }
}
