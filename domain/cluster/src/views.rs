//! What is shown of a fleet.

use std::collections::BTreeMap;

use oag_schedule::Class;
use oag_types::{GenerationId, NodeName, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use crate::orders::Held;
use crate::protocol::NodeRole;

/// Whether a node can be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It can.
    Ready,
    /// It missed a heartbeat: not until it is heard.
    Late,
    /// Its connection broke; it may come back with its work.
    Away,
    /// It finishes what it has and goes.
    Draining,
    /// An operator said that it is to be given nothing.
    Cordoned,
    /// It finished its work and went.
    Left,
    /// It is gone without a word.
    Lost,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// What it is for.
    pub role: NodeRole,
    /// Whether it can be given work.
    pub state: NodeState,
    /// How long it has been so, in milliseconds.
    pub state_for_ms: u64,
    /// When it joined.
    pub joined_at: Timestamp,
    /// How long ago it was heard, in milliseconds.
    pub heard_ms: u64,
    /// Time between its heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// The version of its program.
    pub version: String,
    /// The groups it belongs to.
    pub groups: Vec<String>,
    /// What it can do, in words of its own.
    pub capabilities: Vec<String>,
    /// Where it says it can be reached.
    pub endpoint: Option<String>,
    /// Share of its host's processors in use, 0 to 1.
    pub cpu: Option<f32>,
    /// Share of its host's memory in use, 0 to 1.
    pub memory: Option<f32>,
    /// The models it offers.
    pub models: Vec<NodeModel>,
    /// The answers it works on.
    pub leases: Vec<LeaseView>,
}

/// Nodes that belong together, by what they or an inventory say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The nodes that belong to it.
    pub nodes: usize,
    /// How many of them have a session now.
    pub connected: usize,
    /// How many of them can be given work.
    pub ready: usize,
    /// The models that they offer, by name.
    pub models: Vec<String>,
    /// Answers that they can work on at once.
    pub slots: usize,
    /// Answers that they work on.
    pub busy: usize,
}

/// A model on a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeModel {
    /// Its name.
    pub name: String,
    /// What runs it.
    pub about: String,
    /// Answers it works on at once.
    pub slots: u32,
    /// Of those, given to it.
    pub busy: u32,
    /// Requests that wait inside its engine, as it says.
    pub waiting: u32,
    /// Tokens it writes per second, as it says.
    pub tokens_per_s: f64,
    /// Tokens of prompt and answer that one request may have.
    pub window_tokens: u64,
    /// Time its answers take over the time they should take.
    pub slowness: f64,
    /// Mean time of its last answers, in seconds.
    pub latency_s: f64,
}

/// What a node holds, for whoever places models.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// The node.
    pub node: NodeName,
    /// Whether it can be given work.
    pub state: NodeState,
    /// The groups it belongs to.
    pub groups: Vec<String>,
    /// What it can do, in words of its own.
    pub capabilities: Vec<String>,
    /// What it is for.
    pub role: NodeRole,
    /// The models it offers, with how those came there that it was told to serve.
    pub models: BTreeMap<String, Option<Held>>,
}

/// An answer on a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeaseView {
    /// Which.
    pub task: GenerationId,
    /// The model.
    pub model: String,
    /// Whose.
    pub tenant: Tenant,
    /// The node.
    pub node: NodeName,
    /// Which time it was begun.
    pub attempt: u32,
    /// Tokens written.
    pub tokens: u32,
    /// How long it has run here, in milliseconds.
    pub runs_ms: u64,
    /// Why it was begun when it was, in words.
    pub reason: Option<&'static str>,
    /// Why on this node, in words.
    pub placed: Option<&'static str>,
}

/// A model of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// Nodes that offer it, connected or on their way back.
    pub nodes: Vec<NodeName>,
    /// Answers that may be worked on at once.
    pub slots: usize,
    /// Of those, in use.
    pub busy: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Tokens of prompt and answer that one request may have.
    pub window_tokens: u64,
}

/// The queue of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueView {
    /// The model.
    pub model: String,
    /// Its order.
    pub policy: &'static str,
    /// Requests that wait.
    pub waiting: usize,
    /// Their tokens, prompts and expected answers.
    pub tokens: u64,
    /// How long a request that came now would wait, in milliseconds.
    pub expected_wait_ms: u64,
    /// Answers that may be worked on at once.
    pub slots: usize,
    /// Of those, in use.
    pub busy: usize,
    /// The next requests, in the order in which they would go if nothing came or ended.
    pub next: Vec<QueueLine>,
    /// What runs.
    pub running: Vec<LeaseView>,
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueLine {
    /// Which.
    pub task: GenerationId,
    /// Whose.
    pub tenant: Tenant,
    /// How urgent.
    pub class: Class,
    /// How long it has waited, in milliseconds.
    pub waited_ms: u64,
    /// How long it is expected to take, in milliseconds.
    pub work_ms: u64,
    /// Why it goes at this place, in words.
    pub reason: &'static str,
}

/// Counts since the start, and what is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FleetFigures {
    /// Requests taken in.
    pub submitted: u64,
    /// Requests refused at once.
    pub refused: u64,
    /// Answers that came to their end.
    pub answered: u64,
    /// Answers that did not.
    pub failed: u64,
    /// Answers nobody wanted any more.
    pub cancelled: u64,
    /// Times work was given to a node.
    pub leases: u64,
    /// Of those, again after another node.
    pub again: u64,
    /// Answers of the time before this controller that nodes came back with.
    pub adopted: u64,
    /// Times work made way for other work.
    pub preempted: u64,
    /// Tokens that came.
    pub tokens: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Nodes lost.
    pub lost: u64,
    /// Heartbeats heard.
    pub heartbeats: u64,
    /// Reports of nodes that were handed on.
    pub reports: u64,
    /// Reports that came again.
    pub reports_again: u64,
    /// Samples in reports that were handed on.
    pub samples: u64,
    /// Samples that found no room at their nodes, as these tell.
    pub samples_dropped: u64,
    /// Requests that wait or run.
    pub open: usize,
    /// Nodes with a session.
    pub connected: usize,
}
