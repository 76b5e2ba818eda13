//! The port behind which models run.

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{EngineError, Event, Features, Generation, Predictions, Usage};

/// An answer as it comes: parts, then one end. After an error nothing comes. Dropping it cancels
/// the request, and frees what it held at the engine's next step.
pub type Events = BoxStream<'static, Result<Event, EngineError>>;

/// What an engine can do with a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Skill {
    /// Continue text.
    Complete,
    /// Answer in a conversation.
    Chat,
    /// Ask for tools.
    Tools,
    /// Write what a JSON schema accepts, always.
    Schema,
    /// Turn text into vectors.
    Embed,
    /// Show probabilities of tokens.
    Logprobs,
    /// Turn text into tokens and back.
    Tokenize,
    /// Go on with an answer that another engine of the same model began.
    Resume,
    /// Predict numbers from numbers.
    Predict,
}

/// A model that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The name under which it is asked.
    pub name: String,
    /// What can be done with it, in order.
    pub skills: Vec<Skill>,
    /// Most tokens of prompt and answer together, where it is known.
    pub window_tokens: Option<u32>,
    /// What runs it, for people: a file, an address.
    pub about: String,
}

/// How busy an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EngineStats {
    /// Requests it works on at once.
    pub slots: u32,
    /// Of those, in use.
    pub busy: u32,
    /// Requests that wait inside.
    pub waiting: u32,
    /// Answers that were given since the start, broken ones included.
    pub answers: u64,
    /// Tries that were made again.
    pub retries: u64,
    /// Tokens of answers that were written since the start.
    pub tokens: u64,
}

/// Vectors of texts, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// One for each text.
    pub vectors: Vec<Vec<f32>>,
    /// What it took.
    pub usage: Option<Usage>,
}

/// Runs models. Implementations are in `adapters/engine`; what answers without one is in
/// `domain/ops`.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Its name, for logs and metrics.
    fn name(&self) -> &str;

    /// The models it serves now.
    fn models(&self) -> Vec<ModelCard>;

    /// One of them.
    fn card(&self, model: &str) -> Option<ModelCard> {
        self.models().into_iter().find(|card| card.name == model)
    }

    /// How busy it is.
    fn stats(&self) -> EngineStats;

    /// Begins an answer. It is there when the first part is known to come, so that what goes wrong
    /// before is told here and can be tried elsewhere.
    ///
    /// # Errors
    /// All of [`EngineError`] but `BrokeOff`, which only the stream tells.
    async fn generate(&self, request: Generation) -> Result<Events, EngineError>;

    /// Turns texts into vectors.
    ///
    /// # Errors
    /// `Refused` when the engine or the model cannot, else as [`Engine::generate`].
    async fn embed(&self, model: &str, _texts: Vec<String>) -> Result<Embeddings, EngineError> {
        let problem = format!("{model:?} makes no embeddings here");
        Err(EngineError::refused("model", problem))
    }

    /// Predicts numbers from rows of numbers, row by row.
    ///
    /// # Errors
    /// `Refused` when the engine or the model cannot, or the rows do not fit the model, else as
    /// [`Engine::generate`].
    async fn predict(&self, model: &str, _: Features) -> Result<Predictions, EngineError> {
        let problem = format!("{model:?} predicts nothing from numbers here");
        Err(EngineError::refused("model", problem))
    }

    /// Of which requests ([`crate::Context::request`]) it still remembers the prompts, so that
    /// prompts that begin alike are read faster; none where it never tells.
    fn kept(&self) -> Option<Vec<String>> {
        None
    }

    /// Turns a text into the tokens of a model, as they would stand in the middle of a prompt.
    ///
    /// # Errors
    /// `Refused` when the engine or the model cannot, else as [`Engine::generate`].
    async fn tokenize(&self, model: &str, _text: String) -> Result<Vec<u32>, EngineError> {
        Err(EngineError::refused("model", format!("the tokens of {model:?} are not known here")))
    }

    /// Turns tokens of a model into text; what is no whole character is replaced (U+FFFD).
    ///
    /// # Errors
    /// `Refused` when the engine or the model cannot or a token is none, else as
    /// [`Engine::generate`].
    async fn detokenize(&self, model: &str, _tokens: Vec<u32>) -> Result<String, EngineError> {
        Err(EngineError::refused("model", format!("the tokens of {model:?} are not known here")))
    }
}
