//! The fleet: many workers on many machines that behave as one engine.
//!
//! Owns: what nodes and the controller say to each other ([`protocol`]), the registry of nodes with
//! their health, leases of work and their way back when a node is lost ([`Cluster`], itself an
//! [`oag_serve::Engine`]), and the other side of the conversation on each worker ([`Agent`]).
//! Refuses: connections and certificates (a [`Dial`] brings frames, [`Cluster::attach`] takes
//! them), what runs a model, and the order of work, which is `oag-schedule`'s.
//!
//! An answer survives its worker: each part carries its place and the tokens it was made of. When a
//! node is lost, another goes on from the tokens that had arrived, so that nothing is said twice
//! and nothing is left out. When only the connection is lost, the node keeps what was not taken
//! yet, comes back with its leases, and is asked to go on from the first part that is missing.
//!
//! What a node measures goes the same way: it keeps its reports until the controller has them
//! ([`Agent::report`]), and each is handed on once ([`Reports`]).

mod agent;
mod answer;
mod config;
mod control;
mod engine;
mod facts;
mod frame;
mod gate;
mod inventory;
mod kept;
pub mod orders;
pub mod protocol;
#[cfg(test)]
mod tests;
mod views;

pub use agent::{
    Agent, AgentConfig, AgentParts, Dial, DialError, Ended, KeptReport, KeptReports, ReportFigures,
    Spool, Wire,
};
pub use config::{ClusterConfig, ConfigError};
pub use control::{Cluster, ClusterParts, Inbox, Refused, Reports, SessionId};
pub use facts::{estimate_tokens, prefixes};
pub use frame::Frame;
pub use gate::{Gate, Membership, Peer};
pub use inventory::{Inventory, InventoryError, Listed};
pub use kept::{KeptAnswer, KeptError, KeptState, KeptStore};
pub use views::{
    FleetFigures, GroupView, Holding, LeaseView, ModelView, NodeModel, NodeState, NodeView,
    QueueLine, QueueView,
};
