//! Nodes, queues and answers of models on the wire.

use oag_cluster::protocol::NodeRole;
use oag_cluster::{LeaseView, NodeModel, NodeState, QueueLine};
use oag_pilot::{NodeCertificate, NodeRecord};
use oag_schedule::Class;
use oag_serve::{
    Collected, Context, Finish, Format, Generation, Input, Limits, Message, Role, Sampling,
};
use oag_types::{GenerationId, KeyId, NodeName, Problem, Tenant, Timestamp};
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
        /// The next requests, lane by lane.
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
        /// Why it is next of its lane; none when it is not.
        reason: Option<&'static str>,
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

/// Most tokens of an answer whose request says nothing.
const TOKENS_MAX: u32 = 1_024;

wire! {
    /// What a model is asked: a text to go on from, or a conversation.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"prompt": "Once upon a time", "max_tokens": 64})]
    pub(crate) struct GenerateRequest {
        /// A text to go on from.
        #[serde(default)]
        pub(crate) prompt: Option<String>,
        /// A conversation to answer, oldest first.
        #[serde(default)]
        pub(crate) messages: Vec<ChatMessage>,
        /// Most tokens of the answer; 1,024 when left out.
        #[serde(default)]
        pub(crate) max_tokens: Option<u32>,
        /// How freely tokens are drawn, 0 to 2; 0 takes the likeliest.
        #[serde(default)]
        pub(crate) temperature: Option<f32>,
        /// Only from the likeliest tokens that together have this probability, above 0 to 1.
        #[serde(default)]
        pub(crate) top_p: Option<f32>,
        /// Makes the draw repeatable.
        #[serde(default)]
        pub(crate) seed: Option<u64>,
        /// Texts at which the answer stops, at most 16.
        #[serde(default)]
        pub(crate) stop: Vec<String>,
        /// Whether the answer comes in parts, as server-sent events.
        #[serde(default)]
        pub(crate) stream: bool,
    }

    /// One turn of a conversation.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct ChatMessage {
        /// `system`, `user` or `assistant`.
        pub(crate) role: String,
        /// What is said.
        pub(crate) content: String,
    }

    /// What a model answers.
    #[derive(Debug, Serialize)]
    pub(crate) struct GenerateView {
        /// The model.
        pub(crate) model: String,
        /// The text.
        pub(crate) text: String,
        /// What the model thought before; empty when nothing is known of that.
        pub(crate) reasoning: String,
        /// Why it ended: `stop`, `length`, `tool_calls` or `filtered`.
        pub(crate) finish: String,
        /// Tokens of the prompt, where they are known.
        pub(crate) prompt_tokens: Option<u32>,
        /// Tokens of the answer, where they are known.
        pub(crate) answer_tokens: Option<u32>,
    }

    /// A text to be turned into tokens.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct TokenizeRequest {
        /// The text.
        pub(crate) text: String,
    }

    /// Tokens of a model.
    #[derive(Debug, Serialize)]
    pub(crate) struct TokensView {
        /// They, in their order.
        pub(crate) tokens: Vec<u32>,
    }

    /// Tokens to be turned into text.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct DetokenizeRequest {
        /// They, in their order.
        pub(crate) tokens: Vec<u32>,
    }

    /// A text.
    #[derive(Debug, Serialize)]
    pub(crate) struct TextView {
        /// It.
        pub(crate) text: String,
    }
}

impl GenerateRequest {
    /// As the domain knows it.
    pub(crate) fn generation(self, model: String, context: Context) -> Result<Generation, Problem> {
        let Self { prompt, messages, max_tokens, temperature, top_p, seed, stop, stream: _ } = self;
        let input = match (prompt, messages.is_empty()) {
            (Some(text), true) => Input::Text(text),
            (None, false) => Input::Chat {
                messages: messages.into_iter().map(message).collect::<Result<_, _>>()?,
                tools: Vec::new(),
                tool_choice: oag_serve::ToolChoice::Never,
            },
            (Some(_), false) => {
                return Err(Problem::field("prompt", "goes without messages; send one of them"));
            }
            (None, true) => return Err(Problem::field("prompt", "is missing, or messages are")),
        };
        if max_tokens == Some(0) {
            return Err(Problem::field("max_tokens", "is at least 1"));
        }
        if temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return Err(Problem::field("temperature", "is from 0 to 2"));
        }
        if top_p.is_some_and(|value| !(value > 0.0 && value <= 1.0)) {
            return Err(Problem::field("top_p", "is above 0 and at most 1"));
        }
        if stop.len() > 16 || stop.iter().any(String::is_empty) {
            return Err(Problem::field("stop", "has at most 16 texts, none of them empty"));
        }
        let limits = Limits { tokens_max: Some(max_tokens.unwrap_or(TOKENS_MAX)), stop };
        let sampling = Sampling { temperature, top_p, seed, ..Sampling::default() };
        let format = Format::Text;
        Ok(Generation { limits, sampling, format, ..Generation::new(model, input, context) })
    }
}

fn message(said: ChatMessage) -> Result<Message, Problem> {
    let role = match said.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            return Err(Problem::field("messages.role", "is one of system, user and assistant"));
        }
    };
    Ok(Message::new(role, said.content))
}

impl GenerateView {
    pub(crate) fn of(model: String, all: Collected) -> Self {
        let usage = all.ending.and_then(|ending| ending.usage);
        Self {
            model,
            text: all.text,
            reasoning: all.reasoning,
            finish: all.ending.map_or("stop", |ending| finish(ending.finish)).to_owned(),
            prompt_tokens: usage.map(|usage| usage.prompt),
            answer_tokens: usage.map(|usage| usage.answer),
        }
    }
}

/// The word for why an answer ended.
pub(crate) const fn finish(why: Finish) -> &'static str {
    match why {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Filtered => "filtered",
    }
}
