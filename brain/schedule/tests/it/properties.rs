//! What must hold for any sequence of calls.

use std::collections::BTreeMap;
use std::time::Duration;

use oag_schedule::balance::BalanceKind;
use oag_schedule::fleet::{Health, WorkerId, WorkerSpec};
use oag_schedule::length::{Ending, Facts, Predictor};
use oag_schedule::policy::{Balanced, MlfqConfig, PolicyKind, PriorityConfig};
use oag_schedule::queue::{Bounds, QueueConfig};
use oag_schedule::{Class, Config, Context, Moment, Rates, Scheduler, Task, Ticket};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{RATES, tenant};

const MODELS: [&str; 2] = ["m", "n"];
const TENANTS: [&str; 3] = ["a", "b", "c"];
const TASKS_MAX: usize = 12;

/// A call; tasks and workers are named by a number that is taken modulo what there is.
#[derive(Debug, Clone)]
enum Call {
    Submit(usize, u32, usize, Option<u64>, Option<usize>),
    Dispatch,
    Finish(usize, u32),
    CutOff(usize, u32),
    Cancel(usize, u32),
    Stopped(usize, u32),
    SliceOver(usize, u32),
    Progress(usize, u32),
    Preempt,
    Refused,
    Join(u32, u64, f64),
    Lost(usize),
    Health(usize, usize),
    Time(i64),
}

fn call() -> impl Strategy<Value = Call> {
    let tokens = || prop_oneof![9 => 0..2_000_u32, 1 => any::<u32>()];
    let which = || 0..64_usize;
    prop_oneof![
        8 => (
            which(),
            tokens(),
            0..4_usize,
            proptest::option::weighted(0.1, 0..100_000_000_u64),
            proptest::option::weighted(0.2, 0..64_usize),
        )
            .prop_map(|(kind, prompt, class, deadline, after)| {
                Call::Submit(kind, prompt, class, deadline, after)
            }),
        12 => Just(Call::Dispatch),
        5 => (which(), tokens()).prop_map(|(task, tokens)| Call::Finish(task, tokens)),
        1 => (which(), tokens()).prop_map(|(task, tokens)| Call::CutOff(task, tokens)),
        1 => (which(), tokens()).prop_map(|(task, tokens)| Call::Cancel(task, tokens)),
        1 => (which(), tokens()).prop_map(|(task, tokens)| Call::Stopped(task, tokens)),
        2 => (which(), tokens()).prop_map(|(task, tokens)| Call::SliceOver(task, tokens)),
        1 => (which(), tokens()).prop_map(|(task, tokens)| Call::Progress(task, tokens)),
        2 => Just(Call::Preempt),
        1 => Just(Call::Refused),
        1 => (0..4_u32, 0..5_000_u64, any::<f64>())
            .prop_map(|(slots, window, rate)| Call::Join(slots, window, rate)),
        1 => which().prop_map(Call::Lost),
        1 => (which(), 0..3_usize).prop_map(|(worker, health)| Call::Health(worker, health)),
        4 => (-1_000_000..20_000_000_i64).prop_map(Call::Time),
    ]
}

fn queue() -> impl Strategy<Value = QueueConfig> {
    let mlfq = |entry| PolicyKind::Mlfq(MlfqConfig { entry, ..MlfqConfig::default() });
    let policy = prop_oneof![
        Just(PolicyKind::Fcfs),
        Just(PolicyKind::Sjf),
        Just(PolicyKind::Priority(PriorityConfig::default())),
        (0..3_u8).prop_map(mlfq),
        Just(PolicyKind::Mlfq(MlfqConfig { levels: vec![], entry: 9, boost: Duration::ZERO })),
        (0..4_u32, any::<bool>()).prop_map(|(oldest_every, always)| {
            PolicyKind::Balanced(Balanced { oldest_every, always })
        }),
    ];
    (policy, any::<bool>(), any::<bool>()).prop_map(|(policy, strict_classes, fair_shares)| {
        let bounds = Bounds { tasks_max: TASKS_MAX, ..Bounds::default() };
        QueueConfig { strict_classes, fair_shares, bounds, ..QueueConfig::of(policy) }
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Waits,
    Runs(WorkerId),
    Ended,
}

/// The scheduler, and what it was told and said, kept apart from it.
struct Model {
    scheduler: Scheduler,
    states: BTreeMap<Ticket, State>,
    workers: BTreeMap<WorkerId, (Health, u32)>,
    now: Moment,
    said: Vec<String>,
}

impl Model {
    fn new(queue: QueueConfig, balance: BalanceKind) -> Self {
        let config = Config { queue, balance, ..Config::default() };
        Self {
            scheduler: Scheduler::new(config, Predictor::new(16)),
            states: BTreeMap::new(),
            workers: BTreeMap::new(),
            now: Moment::from_secs(10.0),
            said: Vec::new(),
        }
    }

    /// A ticket, mostly of a task that runs; one that was never given when there are none.
    fn ticket(&self, which: usize) -> Ticket {
        let running = |(_, state): &(&Ticket, &State)| matches!(state, State::Runs(_));
        let running: Vec<Ticket> = self.states.iter().filter(running).map(|(at, _)| *at).collect();
        match running.get(which % running.len().max(1)) {
            Some(ticket) if which % 8 != 7 => *ticket,
            _ => Ticket::new(which as u64),
        }
    }

    fn worker(&self, which: usize) -> Option<WorkerId> {
        self.workers.keys().nth(which % self.workers.len().max(1)).copied()
    }

    fn runs(&self, ticket: Ticket) -> bool {
        matches!(self.states.get(&ticket), Some(State::Runs(_)))
    }

    fn join(&mut self, spec: WorkerSpec) {
        let slots = spec.slots;
        let id = self.scheduler.join(spec, self.now);
        assert!(self.workers.insert(id, (Health::Ready, slots)).is_none(), "{id} was given before");
    }

    fn dispatch(&mut self) -> bool {
        let Some(begun) = self.scheduler.dispatch(self.now) else { return false };
        let state = self.states.insert(begun.ticket, State::Runs(begun.worker));
        assert_eq!(state, Some(State::Waits), "{begun:?}");
        let (health, slots) = self.workers[&begun.worker];
        let runs = State::Runs(begun.worker);
        let on_it = self.states.values().filter(|state| **state == runs).count();
        assert!(health == Health::Ready && on_it <= slots as usize, "{begun:?}");
        assert_eq!(self.scheduler.runs_on(begun.ticket), Some(begun.worker));
        self.said.push(format!("{begun:?}"));
        true
    }

    fn end(&mut self, ticket: Ticket) {
        let before = self.states.insert(ticket, State::Ended);
        assert!(before.is_some_and(|before| before != State::Ended), "{ticket} ended twice");
    }

    fn refused(&mut self) {
        for (ticket, why) in self.scheduler.refused(self.now) {
            assert!(!self.runs(ticket), "{ticket} was running: {why}");
            self.end(ticket);
            self.said.push(format!("{ticket} {why}"));
        }
    }

    fn submit(&mut self, kind: usize, prompt: u32, class: usize, deadline: Option<u64>) -> Task {
        let model = MODELS[usize::from(kind % 5 == 4)];
        let facts = Facts {
            model: model.to_owned(),
            prompt_tokens: prompt,
            answer_tokens_max: kind.is_multiple_of(3).then_some(prompt),
            ..Facts::default()
        };
        let mut context = Context::of(tenant(TENANTS[kind % 3]));
        context.deadline = deadline.map(Moment::from_micros);
        let prefixes = (0..kind as u64 % 4).collect();
        Task { class: Class::ALL[class], prefixes, ..Task::new(context, facts) }
    }

    fn apply(&mut self, call: Call) {
        let now = self.now;
        match call {
            Call::Submit(kind, prompt, class, deadline, after) => {
                let mut task = self.submit(kind, prompt, class, deadline);
                task.after.extend(after.map(|which| self.ticket(which)));
                let model = task.facts.model.clone();
                match self.scheduler.submit(task, now) {
                    Ok(admitted) => {
                        assert!(admitted.expected_tokens >= 1.0);
                        assert_eq!(self.states.insert(admitted.ticket, State::Waits), None);
                        assert!(self.scheduler.queue(&model).unwrap().len() <= TASKS_MAX);
                    }
                    Err(refusal) => self.said.push(refusal.to_string()),
                }
            }
            Call::Dispatch => {
                self.dispatch();
            }
            Call::Finish(which, tokens) | Call::CutOff(which, tokens) => {
                let (ticket, runs) = (self.ticket(which), self.runs(self.ticket(which)));
                let cut = matches!(call, Call::CutOff(..));
                let ending = if cut { Ending::CutOff(tokens) } else { Ending::Complete(tokens) };
                self.scheduler.finished(ticket, ending, now);
                if runs {
                    self.end(ticket);
                }
            }
            Call::Cancel(which, tokens) => {
                let ticket = self.ticket(which);
                // Whoever has not heard of an end yet may call it off all the same.
                self.refused();
                let runs = self.runs(ticket);
                assert_eq!(self.scheduler.cancel(ticket, tokens, now), runs);
                if self.states.get(&ticket).is_some_and(|state| *state != State::Ended) {
                    self.end(ticket);
                }
            }
            Call::Stopped(which, tokens) => {
                let ticket = self.ticket(which);
                self.scheduler.stopped(ticket, tokens, now);
                self.waits_again(ticket);
            }
            Call::SliceOver(which, tokens) => {
                let ticket = self.ticket(which);
                self.scheduler.slice_over(ticket, tokens, now);
                self.waits_again(ticket);
            }
            Call::Progress(which, tokens) => self.scheduler.progress(self.ticket(which), tokens),
            Call::Preempt => {
                if let Some(preemption) = self.scheduler.preempt(now) {
                    assert!(self.runs(preemption.ticket));
                }
            }
            Call::Refused => self.refused(),
            Call::Join(slots, window_tokens, rate) => {
                let models = MODELS[..1 + slots as usize % 2].iter();
                let models = models.map(|model| (*model).to_owned()).collect();
                let rates = Rates { prefill_per_s: rate, decode_per_s: 10.0 };
                let memory_tokens = window_tokens * 2;
                self.join(WorkerSpec { models, slots, window_tokens, memory_tokens, rates });
            }
            Call::Lost(which) => {
                if let Some(id) = self.worker(which) {
                    self.workers.remove(&id);
                    let back = self.scheduler.lost(id, now);
                    let on_it = self.states.iter_mut().filter(|(_, s)| **s == State::Runs(id));
                    on_it.for_each(|(_, state)| *state = State::Waits);
                    assert!(back.iter().all(|ticket| self.states[ticket] == State::Waits));
                }
            }
            Call::Health(which, health) => {
                let health = [Health::Ready, Health::Suspect, Health::Draining][health];
                if let Some(id) = self.worker(which) {
                    self.scheduler.set_health(id, health, now);
                    self.workers.entry(id).and_modify(|(old, _)| *old = health);
                }
            }
            Call::Time(step) => {
                self.now = Moment::from_micros(now.micros().saturating_add_signed(step));
            }
        }
    }

    /// A task that was running and is not any more waits.
    fn waits_again(&mut self, ticket: Ticket) {
        if self.runs(ticket) && self.scheduler.runs_on(ticket).is_none() {
            self.states.insert(ticket, State::Waits);
        }
    }

    /// Gives it all it needs until nothing is left.
    fn finish_all(&mut self) {
        let models = MODELS.map(ToOwned::to_owned).to_vec();
        let window_tokens = 1 << 40;
        let memory_tokens = 1 << 50;
        self.join(WorkerSpec { models, slots: 2, window_tokens, memory_tokens, rates: RATES });
        for _ in 0..10_000 {
            self.refused();
            while self.dispatch() {}
            let running = |(_, state): &(&Ticket, &State)| matches!(state, State::Runs(_));
            let Some((ticket, _)) = self.states.iter().find(running) else {
                if self.scheduler.is_empty() {
                    break;
                }
                self.now = self.now.plus(Duration::from_secs(60));
                continue;
            };
            let ticket = *ticket;
            self.scheduler.finished(ticket, Ending::Complete(3), self.now);
            self.end(ticket);
            self.now = self.now.plus(Duration::from_secs(1));
        }
        self.refused();
        assert!(self.scheduler.is_empty(), "{} left", self.scheduler.len());
        assert!(self.states.values().all(|state| *state == State::Ended), "{:?}", self.states);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// No panic; no task is lost or runs twice; no queue is beyond its bound; a worker has no more
    /// than its slots and is healthy; the same calls give the same answers.
    #[test]
    fn any_sequence_of_calls(
        queue in queue(),
        balance in prop::sample::select(BalanceKind::ALL.to_vec()),
        calls in vec(call(), 1..160),
    ) {
        let play = |calls: Vec<Call>| {
            let mut model = Model::new(queue.clone(), balance);
            calls.into_iter().for_each(|call| model.apply(call));
            model.finish_all();
            model.said
        };
        prop_assert_eq!(play(calls.clone()), play(calls));
    }
}
