//! Questions that are answered at once: vectors, tokens, predictions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oag_schedule::Moment;
use oag_serve::{EngineError, Skill};
use oag_types::NodeName;
use serde_json::Value;
use tokio::sync::oneshot;

use super::sessions::SessionId;
use super::state::{State, no_worker};
use super::{Cluster, node::Presence};
use crate::config::ClusterConfig;
use crate::orders::Order;
use crate::protocol::{Ask, Reply, ToNode};

type Answered = Result<Reply, EngineError>;

/// Calls that are under way.
#[derive(Debug)]
pub(crate) struct Calls {
    waiting: Mutex<Waiting>,
    most: usize,
    attempts_max: u32,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    calls: HashMap<u64, (SessionId, oneshot::Sender<Answered>)>,
    /// How many of them each session has.
    of: HashMap<SessionId, u32>,
}

impl Waiting {
    fn take(&mut self, call: u64) -> Option<oneshot::Sender<Answered>> {
        let (session, teller) = self.calls.remove(&call)?;
        if let Some(count) = self.of.get_mut(&session) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&session);
            }
        }
        Some(teller)
    }
}

impl Calls {
    pub(super) fn new(config: &ClusterConfig) -> Self {
        let patience = Duration::from_millis(config.call_ms);
        let (most, attempts_max) = (config.calls_max, config.attempts_max.max(1));
        Self { waiting: Mutex::default(), most, attempts_max, patience }
    }

    /// A node has answered; whoever waits is told.
    pub(super) fn answer(&self, call: u64, session: &SessionId, reply: Answered) {
        let mut waiting = self.lock();
        let asked = waiting.calls.get(&call).is_some_and(|(asked, _)| asked == session);
        if asked && let Some(teller) = waiting.take(call) {
            // Whoever asked may be gone.
            let _ = teller.send(reply);
        }
    }

    /// A node is gone: what it was asked has no answer.
    pub(super) fn session_over(&self, session: &SessionId) {
        let mut waiting = self.lock();
        waiting.calls.retain(|_, (asked, _)| asked != session);
        waiting.of.remove(session);
    }

    /// How many questions each session has that are not answered.
    fn open(&self) -> HashMap<SessionId, u32> {
        self.lock().of.clone()
    }

    fn begin(&self, session: SessionId) -> Option<(u64, oneshot::Receiver<Answered>)> {
        let mut waiting = self.lock();
        if waiting.calls.len() >= self.most {
            return None;
        }
        waiting.next += 1;
        let call = waiting.next;
        let (teller, answer) = oneshot::channel();
        *waiting.of.entry(session.clone()).or_default() += 1;
        waiting.calls.insert(call, (session, teller));
        Some((call, answer))
    }

    fn forget(&self, call: u64) {
        self.lock().take(call);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Asks the least busy node that serves a model; when it has too much to do or is lost,
    /// another. Questions change nothing, so that they may be asked twice.
    pub(crate) async fn call(&self, model: &str, skill: Skill, ask: Ask) -> Answered {
        let mut tried = Vec::new();
        let mut failed = None;
        for _ in 0..self.0.calls.attempts_max {
            let open = self.0.calls.open();
            let session = match (self.lock().asked(model, skill, &tried, &open), failed.take()) {
                (Ok(session), _) => session,
                (Err(_), Some(error)) | (Err(error), None) => return Err(error),
            };
            let (model, ask) = (model.to_owned(), ask.clone());
            let message = |call| ToNode::Call { call, model, ask };
            match self.ask(&session, self.0.calls.patience, message).await {
                Err(error) if error.may_be_tried_again() => failed = Some(error),
                answered => return answered,
            }
            tried.push(session);
        }
        Err(failed.unwrap_or(EngineError::Late))
    }

    /// Has a node carry out an order, and waits for what it says of it.
    ///
    /// # Errors
    /// When orders cannot be signed, the node is not there, or it does not do it.
    pub async fn order(&self, order: &Order, patience: Duration) -> Result<Value, EngineError> {
        let away = || EngineError::Unavailable(format!("{} is not connected", order.node));
        let session = self.lock().session_of(&order.node).ok_or_else(away)?;
        let none = "this controller has no key for orders";
        let pen = self.0.pen.as_ref().ok_or_else(|| EngineError::Unavailable(none.to_owned()))?;
        let envelope = pen.sign(order).map_err(EngineError::Unavailable)?;
        match self.ask(&session, patience, |call| ToNode::Order { call, envelope }).await? {
            Reply::Obeyed(said) => Ok(said),
            _ => Err(EngineError::Unavailable("its answer is of another kind".to_owned())),
        }
    }

    async fn ask(
        &self,
        session: &SessionId,
        patience: Duration,
        message: impl FnOnce(u64) -> ToNode,
    ) -> Answered {
        let Some((call, answer)) = self.0.calls.begin(session.clone()) else {
            return Err(EngineError::Overloaded { retry_after: Duration::from_secs(1) });
        };
        let told = self.lock().tell(&session.node, message(call), self.now());
        if !told {
            self.0.calls.forget(call);
            return Err(EngineError::Unavailable("its worker is away".to_owned()));
        }
        let answered = tokio::time::timeout(patience, answer).await;
        self.0.calls.forget(call);
        match answered {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(EngineError::Unavailable("its worker was lost".to_owned())),
            Err(_) => Err(EngineError::Late),
        }
    }
}

impl State {
    fn session_of(&self, name: &NodeName) -> Option<SessionId> {
        let link = self.nodes.get(name)?.link.as_ref()?;
        Some(SessionId { node: name.clone(), number: link.session })
    }

    /// The least busy node of a model that can do something, other than those that were tried.
    fn asked(
        &self,
        model: &str,
        skill: Skill,
        tried: &[SessionId],
        open: &HashMap<SessionId, u32>,
    ) -> Result<SessionId, EngineError> {
        let mut serve = false;
        let mut best: Option<(u32, Moment, SessionId)> = None;
        for node in self.nodes.values() {
            let Some(offered) = node.offers.get(model) else { continue };
            serve = true;
            let Some(link) = node.link.as_ref().filter(|_| node.presence == Presence::Here) else {
                continue;
            };
            if !offered.offer.card.skills.contains(&skill) {
                continue;
            }
            let worker = self.scheduler.fleet().worker(offered.worker);
            let leases = worker.map_or(u32::MAX, |worker| worker.in_flight());
            let session = SessionId { node: node.name.clone(), number: link.session };
            if tried.contains(&session) {
                continue;
            }
            let busy = leases.saturating_add(open.get(&session).copied().unwrap_or(0));
            if best.as_ref().is_none_or(|(least, since, _)| (busy, node.since) < (*least, *since)) {
                best = Some((busy, node.since, session));
            }
        }
        match best {
            Some((_, _, session)) => Ok(session),
            None if serve => {
                let what = match skill {
                    Skill::Embed => "makes embeddings",
                    Skill::Predict => "predicts from numbers (workers with --onnx FILE do)",
                    Skill::Tokenize => "knows its tokens (a model behind an upstream keeps them)",
                    _ => "can do this",
                };
                let problem = format!("no worker of {model:?} that is there {what}");
                Err(EngineError::refused("model", problem))
            }
            None => Err(no_worker(model.to_owned())),
        }
    }
}
