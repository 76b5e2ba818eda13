//! Where nodes come in: what a joining node is told, enrolment, and sessions over WebSocket and gRPC.
//!
//! Owns: the routes for nodes and who may open a session on which of them. Refuses: what is said
//! in a session (`oag-cluster`), people and their keys (`oag-api`).

mod converse;
mod register;
mod secure;
mod socket;
mod stream;

pub use register::{NodesConfig, NodesParts, plain};
pub use secure::{EnrolRequest, PeerOf, RenewRequest, SecureParts, serve_secure};
