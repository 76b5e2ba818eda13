//! What nodes and the controller say to each other, whatever carries it.
//!
//! A session begins with the node's [`Hello`] and the controller's [`Welcome`]. Then the controller
//! leases work as far as the slots of the node's models go, and the node answers in parts. A lease
//! is named by its task and attempt: what belongs to an attempt that was given to another node
//! since is not listened to. Within an attempt parts are numbered from 0; the controller takes them
//! in their order and asks for the first one it lacks when a node comes back.
//!
//! As JSON each message is an object with its kind in `type`; unknown fields are passed over, so
//! that either side may be newer.

use std::time::Duration;

use oag_schedule::Rates;
use oag_serve::{Embeddings, EngineError, Event, Features, Generation, ModelCard, Predictions};
use oag_types::{GenerationId, Labels, NodeName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::orders::{Held, Terms};

/// The newest form of the protocol that this build speaks.
pub const PROTOCOL: u32 = 1;
/// Most bytes of one message.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1_048_576;
/// Time between two heartbeats unless a node says otherwise, in milliseconds.
pub const HEARTBEAT_MS: u64 = 5_000;
/// Most samples of one report.
pub const SAMPLES_MAX: usize = 1_024;

/// What a node is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Schedules and keeps what is known.
    Control,
    /// Computes.
    #[default]
    Worker,
    /// Keeps artefacts and data.
    Storage,
    /// Measures and reports, far out and with little memory.
    Edge,
}

/// The first message of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The form of the protocol it speaks.
    #[serde(default = "protocol")]
    pub protocol: u32,
    /// Its name, which stays the same when it comes back.
    pub node_id: NodeName,
    /// What it can do, in words of its own; the models it offers count as well.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Time between its heartbeats, in milliseconds.
    #[serde(default = "heartbeat")]
    pub heartbeat_interval: u64,
    /// Where it can be reached, for people; nobody connects to it.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub role: NodeRole,
    /// The groups it belongs to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The version of its program.
    #[serde(default)]
    pub version: String,
    /// The models it offers.
    #[serde(default)]
    pub models: Vec<Offer>,
    /// The work it still has from an earlier session.
    #[serde(default)]
    pub leases: Vec<Lease>,
}

const fn protocol() -> u32 {
    PROTOCOL
}

const fn heartbeat() -> u64 {
    HEARTBEAT_MS
}

/// A model on a node, and how much of it may be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The model.
    pub card: ModelCard,
    /// Answers it works on at once: the credit it gives.
    pub slots: u32,
    /// Tokens of prompt and answer together that one request may have.
    pub window_tokens: u64,
    /// Tokens its memory holds over all requests.
    pub memory_tokens: u64,
    /// How fast it works on a request that is alone.
    #[serde(default)]
    pub rates: Rates,
    /// How it came there, when the node was told to serve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// A piece of work that was given to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The answer that is worked on.
    pub task: GenerationId,
    /// Which time it was given away, from 1.
    pub attempt: u32,
}

/// How loaded a node is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Load {
    /// By model.
    #[serde(default)]
    pub models: Vec<ModelLoad>,
    /// Share of the host's processors in use, 0 to 1.
    #[serde(default)]
    pub cpu: Option<f32>,
    /// Share of the host's memory in use, 0 to 1.
    #[serde(default)]
    pub memory: Option<f32>,
}

/// How loaded a model is on a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelLoad {
    /// Which model.
    pub model: String,
    /// Slots in use.
    pub busy: u32,
    /// Requests that wait inside the engine.
    #[serde(default)]
    pub waiting: u32,
    /// Tokens of answers written per second, over the last interval.
    #[serde(default)]
    pub tokens_per_s: f64,
    /// Hashes of the beginnings of prompts that its engine remembers, the shortest first, as
    /// [`crate::prefixes`] makes them; none where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefixes: Option<Vec<u64>>,
}

/// What a node measured.
///
/// A node numbers its reports from 1 on and keeps each until the controller has it. The numbers
/// belong to a run: a node that was started anew and remembers nothing begins another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which run the number belongs to; below 2^53.
    pub run: u64,
    /// Its place in the run.
    pub sequence: u64,
    /// Samples of this run that found no room while the controller was away, so far.
    #[serde(default)]
    pub dropped: u64,
    /// The samples, at most [`SAMPLES_MAX`].
    pub samples: Vec<Reading>,
}

/// One value of a [`Report`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The service it is about, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// What was measured, such as `host_cpu_usage`.
    pub metric: String,
    /// How much; finite.
    pub value: f64,
    /// When.
    pub at: Timestamp,
    /// More about it.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// What a node says after its [`Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromNode {
    /// It is alive.
    Heartbeat {
        /// How loaded it is.
        #[serde(default)]
        load: Load,
    },
    /// It offers other models from now on.
    Offers {
        /// All of them.
        models: Vec<Offer>,
    },
    /// A part of an answer.
    Part {
        /// Of which lease.
        lease: Lease,
        /// Its place in this attempt, from 0.
        sequence: u64,
        /// What it says.
        event: Event,
    },
    /// An answer ended without its end.
    Failed {
        /// Of which lease.
        lease: Lease,
        /// Number of parts before.
        sequence: u64,
        /// Why.
        error: EngineError,
    },
    /// The answer to a call.
    Reply {
        /// The number of the call.
        call: u64,
        /// What came of it.
        reply: Result<Reply, EngineError>,
    },
    /// It measured something.
    Report(Report),
    /// It takes no new work, and finishes what it has.
    Draining,
    /// It has nothing left to do and goes.
    Bye,
}

/// What the controller says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToNode {
    /// The node is known from now on.
    Welcome(Welcome),
    /// Work.
    Lease(Box<Work>),
    /// A lease is to end at the engine's next step; nobody listens to more of it.
    Stop {
        /// Which.
        lease: Lease,
    },
    /// A lease has its end and may be forgotten.
    Done {
        /// Which.
        lease: Lease,
    },
    /// A question that is answered at once.
    Call {
        /// Its number.
        call: u64,
        /// To which model.
        model: String,
        /// What is asked.
        ask: Ask,
    },
    /// A signed order: see [`crate::orders`]. The answer comes as a reply, when it is done.
    Order {
        /// The number of the call.
        call: u64,
        /// The order in its envelope.
        envelope: String,
    },
    /// It has the node's reports up to this one.
    Reported {
        /// The number of the report.
        sequence: u64,
    },
    /// The controller is alive.
    Heard,
    /// The session ends.
    Close {
        /// Why, in words.
        reason: String,
        /// Whether the node should come back.
        again: bool,
    },
}

/// The answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The form of the protocol that is spoken.
    pub protocol: u32,
    /// The term of this controller; one that was taken over has a smaller one.
    pub epoch: u64,
    /// The leases that go on, with the first part that is lacking. All others are to be forgotten.
    pub kept: Vec<Kept>,
    /// Whose orders count, for nodes that were told nothing when they enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// Whether it takes reports; older controllers do not know them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reports: bool,
}

/// A lease that goes on over a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which.
    pub lease: Lease,
    /// The first part that is lacking.
    pub from: u64,
}

/// Work for a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Its lease.
    pub lease: Lease,
    /// The term of the controller that gave it.
    pub epoch: u64,
    /// What is to be done.
    pub request: Generation,
}

/// A question that is no generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Vectors of texts.
    Embed {
        /// The texts.
        texts: Vec<String>,
    },
    /// Tokens of a text.
    Tokenize {
        /// The text.
        text: String,
    },
    /// The text of tokens.
    Detokenize {
        /// The tokens.
        tokens: Vec<u32>,
    },
    /// What a model predicts from numbers.
    Predict {
        /// The numbers.
        features: Features,
    },
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Vectors.
    Embedded(Embeddings),
    /// Tokens.
    Tokens(Vec<u32>),
    /// Text.
    Text(String),
    /// An order was done; what is to be said of it.
    Obeyed(Value),
    /// Predictions.
    Predicted(Predictions),
}

impl Hello {
    /// Time between its heartbeats, at least 10 ms and at most five minutes.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval.clamp(10, 300_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_hello_is_enough_and_newer_fields_are_passed_over() {
        let text = r#"{"type":"hello","node_id":"w-1","capabilities":["glm-4-plus"],
            "heartbeat_interval":1000,"endpoint":"http://10.0.0.7:9000","mood":"fine"}"#;
        let hello: Hello = serde_json::from_str(text).unwrap();
        assert_eq!(hello.node_id.as_str(), "w-1");
        assert_eq!((hello.protocol, hello.role), (PROTOCOL, NodeRole::Worker));
        assert_eq!(hello.interval(), Duration::from_secs(1));
        assert!(serde_json::from_str::<Hello>(r#"{"capabilities":[]}"#).is_err());
    }

    #[test]
    fn messages_are_objects_with_a_type() {
        let beat = serde_json::to_value(FromNode::Heartbeat { load: Load::default() }).unwrap();
        assert_eq!(beat["type"], "heartbeat");
        let bare: FromNode = serde_json::from_str(r#"{"type":"heartbeat"}"#).unwrap();
        assert_eq!(bare, FromNode::Heartbeat { load: Load::default() });
        let welcome = ToNode::Welcome(Welcome {
            protocol: 1,
            epoch: 7,
            kept: Vec::new(),
            terms: None,
            reports: false,
        });
        let text = serde_json::to_string(&welcome).unwrap();
        assert_eq!(text, r#"{"type":"welcome","protocol":1,"epoch":7,"kept":[]}"#);
        assert_eq!(serde_json::from_str::<ToNode>(&text).unwrap(), welcome);
    }

    #[test]
    fn the_shortest_sample_is_enough() {
        let text = r#"{"type":"report","run":7,"sequence":1,
            "samples":[{"metric":"host_cpu_usage","value":12.5,"at":1780000000000}]}"#;
        let FromNode::Report(report) = serde_json::from_str(text).unwrap() else { panic!() };
        assert_eq!((report.run, report.sequence, report.dropped), (7, 1, 0));
        let reading = &report.samples[0];
        assert_eq!((reading.value, &reading.service, reading.labels.len()), (12.5, &None, 0));
        let again = serde_json::to_string(&FromNode::Report(report.clone())).unwrap();
        assert_eq!(serde_json::from_str::<FromNode>(&again).unwrap(), FromNode::Report(report));
    }
}
