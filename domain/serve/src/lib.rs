//! What models are asked and answer, and the port behind which they run.
//!
//! Owns: the request ([`Generation`]), the answer as it comes ([`Event`]), numbers and what is
//! predicted from them ([`Features`], [`Predictions`]), the port ([`Engine`]),
//! and the table of engines that says which one serves a model ([`Engines`]).
//! Refuses: HTTP and anybody's wire format, queues, and the choice among workers.

mod context;
mod engine;
mod error;
mod event;
mod predict;
mod request;
mod table;

pub use context::{Context, Urgency};
pub use engine::{Embeddings, Engine, EngineStats, Events, ModelCard, Skill};
pub use error::EngineError;
pub use event::{Collected, Delta, Ending, Event, Finish, TokenLogprob, ToolCallDelta, Usage};
pub use predict::{Features, PredictedOutput, Predictions};
pub use request::{
    Format, Generation, Input, Limits, Message, Role, Sampling, Thinking, Tool, ToolCall,
    ToolChoice,
};
pub use table::{Engines, Entry};
