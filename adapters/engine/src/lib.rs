//! Engines that run language models, behind the port of `domain/serve`.
//!
//! Owns: [`Upstream`], any server that speaks OpenAI's protocol, with Zhipu's dialect of it.
//! Refuses: choosing among engines, queues, and what clients are told.

mod error;
mod upstream;

pub use error::SetupError;
pub use upstream::{Dialect, RetryConfig, Upstream, UpstreamConfig, UpstreamModel};
