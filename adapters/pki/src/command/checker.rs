//! The check on the node.

use oag_types::Timestamp;

use super::envelope::Envelope;
use super::key::VerifyingKey;
use super::nonces::NonceStore;
use super::{Command, PAYLOAD_TYPE, is_nonce};
use crate::PkiError;

/// Why a command is not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is no envelope.
    #[error("the envelope is not readable: {0}")]
    Malformed(String),
    /// It holds something else than a command, or one of another version.
    #[error("the envelope holds no command of this version")]
    OtherType,
    /// The cluster's command key has not signed it.
    #[error("no signature is of the cluster's command key")]
    UnknownKey,
    /// Bytes were changed, or written anew, after it was signed.
    #[error("the signature is not that of these bytes")]
    BadSignature,
    /// The key has signed something that this node does not understand.
    #[error("the signed command is not readable: {0}")]
    Unreadable(String),
    /// It is for another cluster.
    #[error("the command is for the cluster '{0}'")]
    OtherCluster(String),
    /// It is for another node.
    #[error("the command is for the node '{0}'")]
    OtherNode(String),
    /// It asks to be obeyed for longer than five minutes, or never.
    #[error("the command does not end within 5 minutes of its beginning")]
    Lifetime,
    /// Its time has not come; a clock may be wrong.
    #[error("the command is not to be obeyed before {0}")]
    NotYet(Timestamp),
    /// Its time is over; a clock may be wrong.
    #[error("the command was to be obeyed before {0}")]
    Expired(Timestamp),
    /// It was obeyed already.
    #[error("the command was given before")]
    Replayed,
    /// The clock went back to a time whose nonces are forgotten already.
    #[error("the command ends before {0}, and what was obeyed until then is forgotten")]
    Forgotten(Timestamp),
    /// Its nonce cannot be kept, so that it could be given again.
    #[error("the command's nonce cannot be kept")]
    NotKept(#[source] PkiError),
}

/// Checks the commands that come to a node.
#[derive(Debug)]
pub struct Checker {
    cluster: String,
    node: String,
    key: VerifyingKey,
    nonces: NonceStore,
}

impl Checker {
    /// For the commands to one node of one cluster, signed with one key.
    #[must_use]
    pub fn new(cluster: &str, node: &str, key: VerifyingKey, nonces: NonceStore) -> Self {
        Self { cluster: cluster.to_owned(), node: node.to_owned(), key, nonces }
    }

    /// The command in an envelope, when it is to be obeyed now. It is given out once: the nonce is
    /// on the disk before the answer, so that a node which ends before it has obeyed does not
    /// obey after its next start.
    ///
    /// Blocks on the disk.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, envelope: &[u8], now: Timestamp) -> Result<Command, Refused> {
        let payload = Envelope::open(envelope, PAYLOAD_TYPE, &self.key)?;
        let command: Command = serde_json::from_slice(&payload)
            .map_err(|error| Refused::Unreadable(error.to_string()))?;
        if !is_nonce(&command.nonce) {
            return Err(Refused::Unreadable("the nonce is none".to_owned()));
        }
        if command.cluster != self.cluster {
            return Err(Refused::OtherCluster(command.cluster));
        }
        if command.target != self.node {
            return Err(Refused::OtherNode(command.target));
        }
        if !command.is_short() {
            return Err(Refused::Lifetime);
        }
        if now < command.not_before {
            return Err(Refused::NotYet(command.not_before));
        }
        if now >= command.expires {
            return Err(Refused::Expired(command.expires));
        }
        self.nonces.remember(&command.nonce, command.expires, now)?;
        Ok(command)
    }

    /// How many nonces are kept, for a figure.
    #[must_use]
    pub fn nonces(&self) -> usize {
        self.nonces.len()
    }
}
