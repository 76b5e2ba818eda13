//! What goes between a process and the one that runs a model for it: length (u32, little endian),
//! then that many bytes of JSON. Many requests are under way at once, told apart by numbers.

use std::io::{Error, ErrorKind, Result};

use oag_serve::{EngineError, Event, Generation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::local::LocalConfig;

/// Most bytes of one frame.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// The subcommand under which a program runs a model for its parent.
pub(crate) const SUBCOMMAND: &str = "engine-child";

/// What the parent says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Load a model; the first order, once.
    Load(Box<LocalConfig>),
    /// Work on this.
    Ask {
        /// Its number.
        id: u64,
        /// What it is.
        ask: Ask,
    },
    /// Nobody waits for this any more.
    Cancel {
        /// Its number.
        id: u64,
    },
}

/// What can be worked on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// An answer.
    Generate(Box<Generation>),
    /// Vectors of texts.
    Embed(Vec<String>),
    /// The tokens of a text.
    Tokenize(String),
    /// The text of tokens.
    Detokenize(Vec<u32>),
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The model is loaded and warm.
    Ready(Loaded),
    /// The model cannot be loaded; the child ends.
    Failed {
        /// Why.
        why: String,
    },
    /// A part of an answer, or its end.
    Event {
        /// The request's number.
        id: u64,
        /// The part.
        event: Event,
    },
    /// What was asked for as a whole.
    Told {
        /// The request's number.
        id: u64,
        /// The answer.
        told: Told,
    },
    /// There will be no more of an answer.
    Error {
        /// The request's number.
        id: u64,
        /// Why.
        error: EngineError,
    },
    /// How busy it is.
    Figures(Figures),
    /// Of which requests the prompts are remembered.
    Kept(Vec<String>),
}

/// Answers that come whole.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// Vectors, and how many tokens were read for them.
    Vectors(Vec<Vec<f32>>, u32),
    /// Tokens.
    Tokens(Vec<u32>),
    /// Text.
    Text(String),
}

/// A model that is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// Most tokens of prompt and answer together.
    pub(crate) window_tokens: u32,
    /// Whether it can answer in conversations.
    pub(crate) chats: bool,
    /// Whether tools can be shown to it.
    pub(crate) tools: bool,
    /// What it is, for people.
    pub(crate) about: String,
}

/// How busy a child is, and what it has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Requests it works on at once.
    pub slots: u32,
    /// Of those, in use.
    pub busy: u32,
    /// Requests that wait inside.
    pub waiting: u32,
    /// Tokens that were written.
    pub written: u64,
    /// Tokens of prompts that were read.
    pub read: u64,
    /// Tokens of prompts that were taken over from earlier ones.
    pub reused: u64,
    /// Requests that lost their memory to older ones and were begun again.
    pub swapped: u64,
}

/// A frame as bytes.
pub(crate) fn pack<T: Serialize>(what: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, what)?;
    let length = checked(bytes.len() - 4)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The next frame; none at the end.
pub(crate) async fn next<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>> {
    let length = match from.read_u32_le().await {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        length => length?,
    };
    let mut bytes = vec![0; room(length)?];
    from.read_exact(&mut bytes).await?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// The same, for a process that only waits for it.
#[cfg(feature = "llama")]
pub(crate) fn next_blocking<T: DeserializeOwned>(
    from: &mut impl std::io::Read,
) -> Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut bytes = vec![0; room(u32::from_le_bytes(length))?];
    from.read_exact(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

fn checked(length: usize) -> Result<u32> {
    let fits = u32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
    fits.ok_or_else(|| too_large(length))
}

fn room(length: u32) -> Result<usize> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX { Err(too_large(length)) } else { Ok(length) }
}

fn too_large(length: usize) -> Error {
    let problem = format!("a frame of {length} bytes; at most {FRAME_BYTES_MAX} are allowed");
    Error::new(ErrorKind::InvalidData, problem)
}
