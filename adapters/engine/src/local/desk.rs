//! Who waits for what, and whether there is a process that works on it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oag_serve::EngineError;
use tokio::sync::{mpsc, oneshot, watch};

use super::LocalConfig;
use super::mailbox::Mailbox;
use crate::frames::{Ask, Figures, Loaded, Order, Report, Told};

/// Between the requests and the process.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) config: LocalConfig,
    /// Whether there is a process with the model.
    pub(super) phase: watch::Sender<Phase>,
    /// Answers that were given since the start, broken ones included.
    pub(super) answers: AtomicU64,
    /// Tokens of answers that were handed out.
    pub(super) tokens: AtomicU64,
    /// Times that the process was started again.
    pub(super) restarts: AtomicU64,
    state: Mutex<State>,
}

/// Whether there is a process with the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not yet, for the first time.
    Loading,
    /// Yes.
    Ready(Loaded),
    /// No, and why.
    Down(String),
}

#[derive(Debug, Default)]
struct State {
    orders: Option<mpsc::Sender<Order>>,
    process: Option<u32>,
    waiters: HashMap<u64, Waiter>,
    last_id: u64,
    figures: Figures,
    /// Of which requests the process remembers the prompts.
    kept: Vec<String>,
}

#[derive(Debug)]
enum Waiter {
    Events(Arc<Mailbox>),
    Whole(oneshot::Sender<Result<Told, EngineError>>),
}

/// A request that was handed over.
pub(super) struct Handed {
    pub(super) id: u64,
    /// Room for the order that cancels it.
    pub(super) cancel: mpsc::OwnedPermit<Order>,
}

impl Desk {
    pub(super) fn new(config: LocalConfig) -> Self {
        Self {
            config,
            phase: watch::Sender::new(Phase::Loading),
            answers: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// Hands a request for an answer to the process.
    pub(super) fn hand_over(&self, ask: Ask) -> Result<(Handed, Arc<Mailbox>), EngineError> {
        let mailbox = Arc::new(Mailbox::default());
        let handed = self.hand(ask, Waiter::Events(Arc::clone(&mailbox)))?;
        Ok((handed, mailbox))
    }

    /// Asks the process for something that comes whole.
    pub(super) async fn whole(&self, ask: Ask) -> Result<Told, EngineError> {
        let (told, answer) = oneshot::channel();
        let handed = self.hand(ask, Waiter::Whole(told))?;
        let patience = Duration::from_millis(self.config.first_part_ms);
        let answer = tokio::time::timeout(patience, answer).await;
        self.forget(handed.id);
        match answer {
            Ok(Ok(told)) => told,
            Ok(Err(_)) => Err(EngineError::Unavailable("the process ended".to_owned())),
            Err(_) => Err(EngineError::Unavailable("nothing came in time".to_owned())),
        }
    }

    fn hand(&self, ask: Ask, waiter: Waiter) -> Result<Handed, EngineError> {
        let mut state = self.lock();
        let Some(orders) = &state.orders else { return Err(self.away()) };
        let busy = || EngineError::Overloaded {
            retry_after: Duration::from_millis(self.config.busy_retry_ms),
        };
        if state.waiters.len() >= self.config.requests_max() {
            return Err(busy());
        }
        let full = |_| busy();
        let order = orders.clone().try_reserve_owned().map_err(full)?;
        let cancel = orders.clone().try_reserve_owned().map_err(|_| busy())?;
        state.last_id += 1;
        let id = state.last_id;
        state.waiters.insert(id, waiter);
        order.send(Order::Ask { id, ask });
        Ok(Handed { id, cancel })
    }

    /// Nobody waits for a request any more; whether somebody did.
    pub(super) fn forget(&self, id: u64) -> bool {
        self.lock().waiters.remove(&id).is_some()
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.lock().waiters.len()
    }

    /// What the process said last about itself.
    pub(super) fn figures(&self) -> Figures {
        self.lock().figures
    }

    /// Of which requests the process remembers the prompts.
    pub(super) fn kept(&self) -> Vec<String> {
        self.lock().kept.clone()
    }

    /// The process that has the model.
    pub(super) fn process(&self) -> Option<u32> {
        self.lock().process
    }

    /// A process has loaded the model: requests go to it.
    pub(super) fn open(&self, loaded: Loaded, orders: mpsc::Sender<Order>, process: Option<u32>) {
        {
            let mut state = self.lock();
            state.orders = Some(orders);
            state.process = process;
        }
        self.phase.send_replace(Phase::Ready(loaded));
    }

    /// The process is gone: what was under way breaks off.
    pub(super) fn close(&self, why: &str) {
        let waiters = {
            let mut state = self.lock();
            state.orders = None;
            state.process = None;
            state.figures = Figures::default();
            state.kept.clear();
            std::mem::take(&mut state.waiters)
        };
        self.phase.send_replace(Phase::Down(why.to_owned()));
        for waiter in waiters.into_values() {
            match waiter {
                Waiter::Events(mailbox) => mailbox.break_off(why),
                // Who asked may have stopped waiting.
                Waiter::Whole(told) => {
                    let _ = told.send(Err(EngineError::Unavailable(why.to_owned())));
                }
            }
        }
    }

    /// Takes in what the process says. What nobody waits for any more is left.
    pub(super) fn take(&self, report: Report) {
        let mut state = self.lock();
        match report {
            Report::Event { id, event } => {
                let last = matches!(event, oag_serve::Event::End(_));
                if let Some(Waiter::Events(mailbox)) = state.waiters.get(&id) {
                    mailbox.put(event);
                }
                if last {
                    state.waiters.remove(&id);
                }
            }
            Report::Told { id, told } => {
                if let Some(Waiter::Whole(waiter)) = state.waiters.remove(&id) {
                    let _ = waiter.send(Ok(told));
                }
            }
            Report::Error { id, error } => match state.waiters.remove(&id) {
                Some(Waiter::Events(mailbox)) => mailbox.fail(error),
                Some(Waiter::Whole(waiter)) => {
                    let _ = waiter.send(Err(error));
                }
                None => {}
            },
            Report::Figures(figures) => state.figures = figures,
            Report::Kept(requests) => state.kept = requests,
            Report::Ready(_) | Report::Failed { .. } => {}
        }
    }

    /// Why nothing can be handed over.
    fn away(&self) -> EngineError {
        let why = match &*self.phase.borrow() {
            Phase::Down(why) => {
                format!("the model {:?} is being loaded again: {why}", self.config.model)
            }
            _ => format!("the model {:?} is being loaded", self.config.model),
        };
        EngineError::Unavailable(why)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
