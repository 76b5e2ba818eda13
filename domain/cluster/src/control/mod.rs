//! The controller's side: one lock around what is known of nodes and work, and one task that
//! looks after what comes with time.

mod calls;
mod health;
mod jobs;
mod leases;
mod node;
mod reports;
mod sessions;
mod show;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oag_runtime::{Clock, IdSource, ShutdownHandle};
use oag_schedule::Moment;
use oag_schedule::length::Predictor;
use oag_serve::{EngineError, Generation, ModelCard};
use oag_types::{GenerationId, NodeName};
use tokio::sync::Notify;

pub use reports::Reports;
pub use sessions::{Inbox, Refused, SessionId};

use crate::answer::Answer;
use crate::config::{ClusterConfig, ConfigError};
use crate::inventory::Inventory;
use crate::orders::Pen;
use crate::protocol::{FromNode, Hello, Report, ToNode};
use crate::views::{FleetFigures, GroupView, Holding, ModelView, NodeView, QueueView};
use calls::Calls;
use reports::Judged;
use state::State;

/// What a controller is made of.
pub struct ClusterParts {
    /// Settings.
    pub config: ClusterConfig,
    /// What was learned about the lengths of answers before.
    pub predictor: Predictor,
    /// The term of this controller.
    pub epoch: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of answers.
    pub ids: Arc<dyn IdSource>,
    /// Signs orders to nodes; none: no orders are given.
    pub pen: Option<Arc<dyn Pen>>,
    /// What nodes measured goes there.
    pub reports: Arc<dyn Reports>,
}

/// The controller of a fleet. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) calls: Calls,
    /// Something is due sooner than was thought.
    wake: Notify,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    pub(crate) pen: Option<Arc<dyn Pen>>,
    reports: Arc<dyn Reports>,
}

impl Cluster {
    /// Without nodes and work.
    ///
    /// # Errors
    /// When a setting has no meaning.
    pub fn new(parts: ClusterParts) -> Result<Self, ConfigError> {
        parts.config.validate()?;
        let calls = Calls::new(&parts.config);
        let terms = parts.pen.as_ref().map(|pen| pen.terms());
        Ok(Self(Arc::new(Shared {
            state: Mutex::new(State::new(parts.config, parts.predictor, parts.epoch, terms)),
            calls,
            wake: Notify::new(),
            clock: parts.clock,
            ids: parts.ids,
            pen: parts.pen,
            reports: parts.reports,
        })))
    }

    /// Looks after heartbeats, slices, deadlines and warm-ups, until the process ends. Work is
    /// handed out without it; nothing that comes with time happens.
    ///
    /// # Errors
    /// Never.
    pub async fn run(self, shutdown: ShutdownHandle) -> Result<(), std::convert::Infallible> {
        loop {
            let wait = self.lock().advance(self.now());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.0.wake.notified() => {}
                () = shutdown.ended() => return Ok(()),
            }
        }
    }

    /// A node says hello. From now on what it is told comes out of the inbox; when that ends, its
    /// connection is to be closed. A session of the same node that is still open ends.
    ///
    /// # Errors
    /// When it speaks another protocol, or there are too many nodes.
    pub fn attach(&self, hello: Hello) -> Result<(SessionId, Inbox), Refused> {
        let at = self.0.clock.now();
        self.change(|state, now| state.attach(hello, at, now))
    }

    /// What a node says.
    pub fn take(&self, session: &SessionId, said: FromNode) {
        match said {
            FromNode::Reply { call, reply } => self.0.calls.answer(call, session, reply),
            FromNode::Report(report) => self.take_report(session, report),
            said => self.change(|state, now| state.take(session, said, now)),
        }
    }

    /// Hands a report on, once however often it comes, and says so. Not under the lock: whoever
    /// takes it may take a moment, for which only this node waits.
    fn take_report(&self, session: &SessionId, report: Report) {
        let sequence = report.sequence;
        let judged = self.lock().report(session, &report, self.now());
        match judged {
            Judged::Ignored => return,
            Judged::Known => {}
            Judged::New => self.0.reports.take(&session.node, report.samples),
        }
        self.lock().tell_of(session, ToNode::Reported { sequence }, self.now());
    }

    /// The connection of a node is gone.
    pub fn detach(&self, session: &SessionId) {
        self.lock().detach(session, self.now());
        self.0.calls.session_over(session);
    }

    /// Gives a node nothing new, or lets it work again. Says whether it is known.
    #[must_use]
    pub fn cordon(&self, node: &NodeName, cordoned: bool) -> bool {
        self.lock().cordon(node, cordoned, self.now())
    }

    /// Ends the session of a node, with the reason; its work goes to others. Says whether it had
    /// one.
    #[must_use]
    pub fn disconnect(&self, node: &NodeName, reason: &str, again: bool) -> bool {
        self.lock().disconnect(node, reason, again, self.now())
    }

    /// Takes over roles and groups of an inventory; of nodes it names, their own words on these
    /// do not count any more.
    pub fn take_inventory(&self, inventory: Inventory) {
        self.lock().take_inventory(inventory, self.now());
    }

    /// Hosts of the inventory, and of these the nodes that are not connected.
    #[must_use]
    pub fn listed(&self) -> (usize, usize) {
        self.lock().listed()
    }

    /// Every node, by name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        let now = self.now();
        self.lock().nodes(now)
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<NodeView> {
        let now = self.now();
        self.lock().node(name, now)
    }

    /// What every node that takes orders about models holds, for whoever places them.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        self.lock().holdings()
    }

    /// The groups of nodes, by name.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupView> {
        self.lock().groups()
    }

    /// Every model that is offered, by name.
    #[must_use]
    pub fn models_of_fleet(&self) -> Vec<ModelView> {
        self.lock().models()
    }

    /// The queues, each with its next tasks (at most `most`) and what runs.
    #[must_use]
    pub fn queues(&self, most: usize) -> Vec<QueueView> {
        let now = self.now();
        self.lock().queues(most, now)
    }

    /// Most nodes that may be known.
    #[must_use]
    pub fn nodes_max(&self) -> usize {
        self.lock().config.nodes_max
    }

    /// Counts, for metrics.
    #[must_use]
    pub fn figures(&self) -> FleetFigures {
        self.lock().figures()
    }

    /// What has been learned about the lengths of answers.
    #[must_use]
    pub fn predictor(&self) -> Predictor {
        self.lock().predictor().clone()
    }

    /// The card of a model at the first node that offers it.
    pub(crate) fn first_card(&self, model: &str) -> Option<ModelCard> {
        self.lock().first_card(model)
    }

    /// Every model that a node offers, once for each node.
    pub(crate) fn cards(&self) -> Vec<ModelCard> {
        self.lock().cards()
    }

    /// Hands work in. The answer is kept until [`Cluster::cancel`] or its end.
    pub(crate) fn submit(
        &self,
        request: Generation,
    ) -> Result<(GenerationId, Arc<Answer>), EngineError> {
        let id = self.next_id();
        Ok((id, self.submit_as(id, request)?))
    }

    /// As [`Cluster::submit`], under an id of the caller's.
    pub(crate) fn submit_as(
        &self,
        id: GenerationId,
        request: Generation,
    ) -> Result<Arc<Answer>, EngineError> {
        self.change(|state, now| state.submit(id, request, now))
    }

    /// Work from before this controller was started.
    pub(crate) fn restore(&self, id: GenerationId, request: Generation) -> Arc<Answer> {
        let mut state = self.lock();
        let wait = Duration::from_millis(state.config.restore_ms);
        state.restore(id, request, wait, self.now())
    }

    /// Nobody wants an answer any more.
    pub(crate) fn cancel(&self, task: GenerationId) {
        self.lock().cancel(task, self.now());
    }

    pub(crate) fn next_id(&self) -> GenerationId {
        self.0.ids.next::<GenerationId>()
    }

    /// Changes what is known; what then comes due sooner than was thought is seen to in time.
    fn change<T>(&self, change: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut state = self.lock();
        let answer = change(&mut state, self.now());
        if state.is_due_sooner() {
            self.0.wake.notify_one();
        }
        answer
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        moment(self.0.clock.monotonic())
    }
}

fn moment(time: Duration) -> Moment {
    Moment::START.plus(time)
}
