//! Vectors of texts.

use std::num::NonZeroU32;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use oag_serve::EngineError;

use super::model::Model;
use crate::frames::Told;

/// Most tokens of one text: it is read in one step.
pub(super) const TEXT_TOKENS_MAX: u32 = 2_048;

/// Reads texts in a context of its own, which is there from the first time on.
#[derive(Debug)]
pub(super) struct Embedder<'m> {
    model: &'m Model,
    context: Option<LlamaContext<'m>>,
}

impl<'m> Embedder<'m> {
    pub(super) const fn new(model: &'m Model) -> Self {
        Self { model, context: None }
    }

    /// One vector of length 1 for each text.
    pub(super) fn embed(&mut self, texts: &[Vec<i32>]) -> Result<Told, EngineError> {
        let broken = |error: &dyn std::fmt::Display| {
            EngineError::Unavailable(format!("the model gives no vectors: {error}"))
        };
        let context = match self.context.take() {
            Some(context) => self.context.insert(context),
            None => self.context.insert(self.open().map_err(|error| broken(&error))?),
        };
        let (mut vectors, mut read) = (Vec::new(), 0);
        for text in texts {
            let mut batch = LlamaBatch::new(text.len(), 1);
            for (place, token) in (0..).zip(text) {
                batch.add(LlamaToken(*token), place, &[0], true).map_err(|error| broken(&error))?;
            }
            context.clear_kv_cache();
            context.decode(&mut batch).map_err(|error| broken(&error))?;
            let vector = context.embeddings_seq_ith(0).map_err(|error| broken(&error))?;
            let length = vector.iter().map(|part| f64::from(*part).powi(2)).sum::<f64>().sqrt();
            if !(length.is_finite() && length > 0.0) {
                return Err(broken(&"they have no length"));
            }
            #[expect(clippy::cast_possible_truncation, reason = "vectors are of f32")]
            vectors.push(vector.iter().map(|part| (f64::from(*part) / length) as f32).collect());
            read += u32::try_from(text.len()).unwrap_or(0);
        }
        Ok(Told::Vectors(vectors, read))
    }

    fn open(&self) -> Result<LlamaContext<'m>, llama_cpp_2::LlamaContextLoadError> {
        let tokens = TEXT_TOKENS_MAX.min(self.model.window);
        let params = || {
            LlamaContextParams::default()
                .with_n_ctx(NonZeroU32::new(tokens))
                .with_n_batch(tokens)
                .with_n_ubatch(tokens)
                .with_n_threads(self.model.threads)
                .with_n_threads_batch(self.model.threads)
                .with_embeddings(true)
                .with_no_perf(true)
        };
        let own = self.model.llama.new_context(&self.model.backend, params())?;
        // A model that does not say how: the mean over its tokens.
        if self.model.llama.meta_val_str(&self.pooling_key()).is_ok() {
            return Ok(own);
        }
        drop(own);
        let mean = params().with_pooling_type(LlamaPoolingType::Mean);
        self.model.llama.new_context(&self.model.backend, mean)
    }

    fn pooling_key(&self) -> String {
        let kind = self.model.llama.meta_val_str("general.architecture").unwrap_or_default();
        format!("{kind}.pooling_type")
    }
}
