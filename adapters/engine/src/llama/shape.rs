//! Answers that must have a form: tokens that would leave it are not drawn.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use oag_serve::{EngineError, Format};

use super::model::Model;

/// The form of one answer, and how far it got.
#[derive(Debug)]
pub(super) struct Shape {
    grammar: LlamaSampler,
    text: Vec<u8>,
}

impl Shape {
    /// As a request wants it; none where any text will do.
    pub(super) fn of(model: &Model, format: &Format) -> Result<Option<Self>, EngineError> {
        let schema = match format {
            Format::Text => return Ok(None),
            Format::Json => serde_json::json!({"type": "object"}).to_string(),
            Format::Schema { schema, .. } => schema.to_string(),
        };
        let refuse = || EngineError::refused("schema", "this engine cannot write to this schema");
        let grammar = llama_cpp_2::json_schema_to_grammar(&schema).map_err(|_| refuse())?;
        let grammar =
            LlamaSampler::grammar(&model.llama, &grammar, "root").map_err(|_| refuse())?;
        Ok(Some(Self { grammar, text: Vec::new() }))
    }

    /// Whether the answer may go on with a token.
    pub(super) fn allows(&mut self, token: LlamaToken) -> bool {
        let one = LlamaTokenData::new(token, 0.0, 0.0);
        let mut one = LlamaTokenDataArray::new(vec![one], false);
        self.grammar.apply(&mut one);
        one.data.first().is_some_and(|one| one.logit() > f32::NEG_INFINITY)
    }

    /// The tokens with which the answer may go on, and their scores.
    pub(super) fn restrict(&mut self, scores: &[f32]) -> (Vec<LlamaToken>, Vec<f32>) {
        let all = (0..).zip(scores);
        let all = all.map(|(token, score)| LlamaTokenData::new(LlamaToken(token), *score, 0.0));
        let mut all = LlamaTokenDataArray::new(all.collect(), false);
        self.grammar.apply(&mut all);
        let allowed = all.data.iter().filter(|one| one.logit() > f32::NEG_INFINITY);
        allowed.map(|one| (one.id(), one.logit())).unzip()
    }

    /// The answer goes on with a token.
    pub(super) fn take(&mut self, token: LlamaToken, text: &[u8]) {
        // One that was not allowed was said before: what follows is told when the answer ends.
        let _ = self.grammar.try_accept(token);
        self.text.extend_from_slice(text);
    }

    /// What is wrong with the whole answer.
    pub(super) fn problem(&self) -> Option<String> {
        let read = serde_json::from_slice::<serde_json::Value>(&self.text);
        read.err().map(|error| format!("what the model wrote is not JSON: {error}"))
    }
}
