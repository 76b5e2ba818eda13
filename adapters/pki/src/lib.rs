//! The certificates of a cluster of nodes, and commands that only their signer can have given.
//!
//! Owns: the cluster's [`Authority`] and its [`Pin`], the short-lived certificates of nodes and of
//! the controller's listener, who is [`Revoked`], the TLS settings of both ends ([`server_config`],
//! [`client_config`], [`pinned_config`]), what a node keeps ([`IdentityStore`]), and signed
//! commands with the check on the node ([`command`]). TLS is 1.3 only, sessions are never resumed,
//! and the exchange of keys is X25519MLKEM768 where the other side has it.
//!
//! Refuses: sockets, HTTP, who may enrol or be commanded, and where revocations are kept. Nothing
//! here reads a clock: time comes from the caller, or from the [`Clock`](oag_runtime::Clock) that
//! a TLS setting is made with. Cryptography is aws-lc-rs only.

mod authority;
mod bundle;
mod certificate;
mod client;
pub mod command;
mod error;
mod files;
mod identity;
mod listener;
mod revoked;
mod server;
mod tls;

pub use authority::{Authority, Issued, LIFETIME_MAX};
pub use bundle::{Bundle, Pin};
pub use certificate::NodeIdentity;
pub use client::{client_config, pinned_config};
pub use error::PkiError;
pub use identity::{Identity, IdentityStore, Request};
pub use listener::ServerCertificate;
pub use revoked::{Revocations, Revoked};
pub use server::{peer, server_config};
