//! The gateway from a request to its answer, over an engine that says what it is told to.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod chat;
mod embeddings;
mod errors;
mod messages;
mod plain;
mod responses;
mod text;
mod world;
