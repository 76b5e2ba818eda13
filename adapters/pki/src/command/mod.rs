//! Commands to nodes, signed so that a node obeys the cluster's command key and nobody between:
//! no proxy, no thief of a node's certificate, and not the authority's key either.
//!
//! A command travels in an envelope of the form DSSE v1 (Dead Simple Signing Envelope): the exact
//! bytes of the payload in base64, and an Ed25519 signature over these bytes and their type.
//! Whoever writes the JSON anew, however alike, breaks the signature. A [`Checker`] on the node
//! gives out each command at most once.

mod checker;
mod envelope;
mod key;
mod nonces;

use std::time::Duration;

use aws_lc_rs::rand;
use oag_types::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::certificate::check_name;
use crate::error::{PkiError, crypto};

pub use checker::{Checker, Refused};
pub use envelope::Envelope;
pub use key::{SigningKey, VerifyingKey};
pub use nonces::NonceStore;

/// What the payload of an envelope is.
pub const PAYLOAD_TYPE: &str = "application/vnd.openautoglm.command.v1+json";
/// The longest that a command can be obeyed.
pub const LIFETIME_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest payload, in bytes.
pub const PAYLOAD_LEN_MAX: usize = 256 * 1024;

const LIFETIME_MAX_MS: i64 = 5 * 60 * 1000;
const NONCE_LEN: usize = 16;

/// What a node is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// Start its engines again.
    Restart,
    /// Take another configuration.
    Configuration,
    /// Serve another model.
    ModelSwap,
    /// Run a script.
    Script,
}

/// One command to one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The cluster it is for.
    pub cluster: String,
    /// The id of the node it is for.
    pub target: String,
    /// What is to be done.
    pub kind: CommandKind,
    /// How, as the kind has it.
    pub body: serde_json::Value,
    /// The sealed plan that it is a part of.
    pub plan: Digest,
    /// What makes it unlike every other: see [`new_nonce`].
    pub nonce: String,
    /// Before this it is not obeyed. It can be set some seconds back, for clocks that differ.
    pub not_before: Timestamp,
    /// From this on it is not obeyed; at most [`LIFETIME_MAX`] after `not_before`.
    pub expires: Timestamp,
}

/// A nonce for a new command: 128 random bits in hexadecimal.
///
/// # Errors
/// [`PkiError::Crypto`] without randomness.
pub fn new_nonce() -> Result<String, PkiError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(crypto("draw a nonce"))?;
    Ok(hex::encode(nonce))
}

/// Signs a command. Whether it may be given is decided before: this is the pen, not the hand.
///
/// # Errors
/// [`PkiError::Argument`] for what no node would obey; [`PkiError::Crypto`] when the library
/// refuses.
pub fn sign(key: &SigningKey, command: &Command) -> Result<Envelope, PkiError> {
    check_name("cluster", &command.cluster)?;
    check_name("target", &command.target)?;
    if !is_nonce(&command.nonce) {
        return Err(PkiError::argument("nonce", "must be 32 hexadecimal digits"));
    }
    if !command.is_short() {
        let problem = "must be after not_before, by 5 minutes at most";
        return Err(PkiError::argument("expires", problem));
    }
    let payload = serde_json::to_vec(command).map_err(crypto("write a command"))?;
    if payload.len() > PAYLOAD_LEN_MAX {
        let problem = format!("makes the command longer than {PAYLOAD_LEN_MAX} bytes");
        return Err(PkiError::argument("body", problem));
    }
    Ok(Envelope::sign(key, PAYLOAD_TYPE, &payload))
}

impl Command {
    /// Whether it ends after it begins, and soon enough.
    fn is_short(&self) -> bool {
        (1..=LIFETIME_MAX_MS).contains(&self.expires.millis_since(self.not_before))
    }
}

fn is_nonce(text: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 2 * NONCE_LEN && text.bytes().all(digit)
}
