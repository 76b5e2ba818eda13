//! Engines that run models, behind the port of `domain/serve`.
//!
//! Owns: [`Upstream`], any server that speaks OpenAI's protocol, with Zhipu's dialect of it;
//! [`Local`], a GGUF file in a process of its own, whose other side is [`engine_child`]; and ONNX
//! files, which predict numbers ([`load_onnx`]).
//! Refuses: choosing among engines, queues, and what clients are told.

mod child;
mod error;
mod frames;
#[cfg(feature = "llama")]
mod llama;
mod local;
mod onnx;
mod upstream;

pub use child::{ENGINE_CHILD, engine_child};
pub use error::SetupError;
pub use frames::Figures;
pub use local::{Local, LocalConfig, MemoryKind};
pub use onnx::{OnnxConfig, load_onnx};
pub use upstream::{Dialect, RetryConfig, Upstream, UpstreamConfig, UpstreamModel};
