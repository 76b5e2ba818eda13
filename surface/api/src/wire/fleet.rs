//! Nodes, queues and answers of models on the wire.

use oag_cluster::protocol::NodeRole;
use oag_cluster::{LeaseView, NodeModel, NodeState, QueueLine};
use oag_pilot::{NodeCertificate, NodeRecord};
use oag_schedule::Class;
use oag_types::{GenerationId, KeyId, NodeName, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

describe! {
    /// Whether a node can be given work.
    enum NodeState = oag_cluster::NodeState {
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

    /// What a node is for.
    enum NodeRole = oag_cluster::protocol::NodeRole {
        /// Schedules and keeps what is known.
        Control,
        /// Computes.
        Worker,
        /// Keeps artefacts and data.
        Storage,
        /// Measures and reports, far out and with little memory.
        Edge,
    }

    /// How urgent a request is.
    enum Class = oag_schedule::Class {
        /// The product's own work, such as an operator's question during an incident.
        Critical,
        /// Somebody waits for the answer.
        Interactive,
        /// Nobody waits, but it has to be done.
        Batch,
        /// Held back while the fleet is loaded.
        Background,
    }

    /// A node of the fleet.
    struct Node = oag_cluster::NodeView {
        /// Its name.
        name: NodeName,
        /// What it is for.
        role: NodeRole,
        /// Whether it can be given work.
        state: NodeState,
        /// How long it has been so, in milliseconds.
        state_for_ms: u64,
        /// When it joined.
        joined_at: Timestamp,
        /// How long ago it was heard, in milliseconds.
        heard_ms: u64,
        /// Time between its heartbeats, in milliseconds.
        heartbeat_ms: u64,
        /// The version of its program.
        version: String,
        /// The groups it belongs to.
        groups: Vec<String>,
        /// What it can do, in words of its own.
        capabilities: Vec<String>,
        /// Where it says it can be reached.
        endpoint: Option<String>,
        /// Share of its host's processors in use, 0 to 1.
        cpu: Option<f32>,
        /// Share of its host's memory in use, 0 to 1.
        memory: Option<f32>,
        /// The models it offers.
        models: Vec<NodeModel>,
        /// The answers it works on.
        leases: Vec<LeaseView>,
    }

    /// A model on a node.
    struct NodeModel = oag_cluster::NodeModel {
        /// Its name.
        name: String,
        /// What runs it.
        about: String,
        /// Answers it works on at once.
        slots: u32,
        /// Of those, given to it.
        busy: u32,
        /// Requests that wait inside its engine, as it says.
        waiting: u32,
        /// Tokens it writes per second, as it says.
        tokens_per_s: f64,
        /// Tokens of prompt and answer that one request may have.
        window_tokens: u64,
        /// Time its answers take over the time they should take.
        slowness: f64,
        /// Mean time of its last answers, in seconds.
        latency_s: f64,
    }

    /// An answer on a node.
    struct Lease = oag_cluster::LeaseView {
        /// Which.
        task: GenerationId,
        /// The model.
        model: String,
        /// Whose.
        tenant: Tenant,
        /// The node.
        node: NodeName,
        /// Which time it was begun.
        attempt: u32,
        /// Tokens written.
        tokens: u32,
        /// How long it has run here, in milliseconds.
        runs_ms: u64,
        /// Why it was begun when it was.
        reason: Option<&'static str>,
        /// Why on this node.
        placed: Option<&'static str>,
    }

    /// Nodes that belong together.
    struct NodeGroup = oag_cluster::GroupView {
        /// Its name.
        name: String,
        /// Nodes that belong to it, those of an inventory that never joined included.
        nodes: usize,
        /// Of those, how many have a session now.
        connected: usize,
        /// Of those, how many can be given work.
        ready: usize,
        /// The models that they offer, by name.
        models: Vec<String>,
        /// Answers that they can work on at once.
        slots: usize,
        /// Of those, in use.
        busy: usize,
    }

    /// A model of the fleet.
    struct Model = oag_cluster::ModelView {
        /// Its name.
        name: String,
        /// Nodes that offer it, connected or on their way back.
        nodes: Vec<NodeName>,
        /// Answers that may be worked on at once.
        slots: usize,
        /// Of those, in use.
        busy: usize,
        /// Requests that wait.
        waiting: usize,
        /// Tokens of prompt and answer that one request may have.
        window_tokens: u64,
    }

    /// The queue of a model.
    struct Queue = oag_cluster::QueueView {
        /// The model.
        model: String,
        /// Its order.
        policy: &'static str,
        /// Requests that wait.
        waiting: usize,
        /// Their tokens, prompts and expected answers.
        tokens: u64,
        /// How long a request that came now would wait, in milliseconds.
        expected_wait_ms: u64,
        /// Answers that may be worked on at once.
        slots: usize,
        /// Of those, in use.
        busy: usize,
        /// The next requests, in the order in which they would go if nothing came or ended.
        next: Vec<QueueLine>,
        /// What runs.
        running: Vec<LeaseView>,
    }

    /// A request that waits.
    struct QueueLine = oag_cluster::QueueLine {
        /// Which.
        task: GenerationId,
        /// Whose.
        tenant: Tenant,
        /// How urgent.
        class: Class,
        /// How long it has waited, in milliseconds.
        waited_ms: u64,
        /// How long it is expected to take, in milliseconds.
        work_ms: u64,
        /// Why it goes at this place.
        reason: &'static str,
    }
}

describe! {
    /// A certificate that was given to a node.
    struct NodeCertificate = oag_pilot::NodeCertificate {
        /// Its serial number, in hexadecimal digits.
        serial: String,
        /// When it was given.
        issued_at: Timestamp,
        /// When it ends.
        not_after: Timestamp,
        /// When it was revoked.
        revoked_at: Option<Timestamp>,
    }
}

wire! {
    /// The certificates of a node.
    #[derive(Debug, Serialize)]
    pub(crate) struct NodeCertificates {
        /// The node.
        pub(crate) node: NodeName,
        /// They, the newest last.
        pub(crate) certificates: Vec<NodeCertificate>,
    }

    /// Who may join, and how long.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"node": "east-1", "valid_ms": 3600000})]
    pub(crate) struct NodeTokenRequest {
        /// The only node that may use it; any when left out.
        #[serde(default)]
        pub(crate) node: Option<NodeName>,
        /// How long it is good, in milliseconds, up to seven days; an hour when left out.
        #[serde(default)]
        pub(crate) valid_ms: Option<i64>,
    }

    /// A token with which a node joins.
    #[derive(Debug, Serialize)]
    pub(crate) struct NodeTokenMinted {
        /// Its id.
        pub(crate) id: KeyId,
        /// The only node that may use it.
        pub(crate) node: Option<NodeName>,
        /// When it ends.
        pub(crate) expires_at: Option<Timestamp>,
        /// It, with the pin of the cluster's authority; shown once.
        pub(crate) token: Option<String>,
        /// Where nodes come in.
        pub(crate) address: String,
    }
}

impl From<NodeRecord> for NodeCertificates {
    fn from(record: NodeRecord) -> Self {
        let NodeRecord { node, certificates } = record;
        Self { node, certificates }
    }
}
