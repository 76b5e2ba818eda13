//! Answers that must have a form: tokens that would leave it are not drawn.

use jsonschema::Validator;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use oag_serve::{EngineError, Format};
use serde_json::{Value, json};

use super::model::Model;

/// The form of one answer, and how far it got.
#[derive(Debug)]
pub(super) struct Shape {
    grammar: LlamaSampler,
    text: Vec<u8>,
    /// What the whole answer must be; none: a tool call.
    wanted: Option<Validator>,
}

impl Shape {
    /// As a request wants it; none where any text will do.
    pub(super) fn of(model: &Model, format: &Format) -> Result<Option<Self>, EngineError> {
        let schema = match format {
            Format::Text => return Ok(None),
            Format::Json => &json!({"type": "object"}),
            Format::Schema { schema, .. } => schema,
        };
        let refuse = |why: String| EngineError::refused("schema", why);
        let validator = validator(schema).map_err(refuse)?;
        let impossible = || refuse("this engine cannot write to this schema".to_owned());
        let grammar = llama_cpp_2::json_schema_to_grammar(&schema.to_string());
        let grammar = grammar.map_err(|_| impossible())?;
        let mut shape = Self::by(model, &grammar).ok_or_else(impossible)?;
        shape.wanted = Some(validator);
        Ok(Some(shape))
    }

    /// One that a grammar describes; none where it cannot be read.
    pub(super) fn by(model: &Model, grammar: &str) -> Option<Self> {
        let grammar = LlamaSampler::grammar(&model.llama, grammar, "root").ok()?;
        Some(Self { grammar, text: Vec::new(), wanted: None })
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

    /// What is wrong with the whole answer; `called`: it was a tool call.
    pub(super) fn problem(&self, called: bool) -> Option<String> {
        let Some(wanted) = &self.wanted else {
            return (!called).then(|| "the model was to call a tool and did not".to_owned());
        };
        match serde_json::from_slice::<Value>(&self.text) {
            Err(error) => Some(format!("what the model wrote is not JSON: {error}")),
            Ok(value) => wanted.validate(&value).err().map(|error| {
                // Errors are logged, and what models write is not.
                let (place, error) = (error.instance_path().to_string(), error.masked());
                format!("what the model wrote does not fit the schema: {error} at '{place}'")
            }),
        }
    }
}

/// What checks whole answers. Schemas that lie elsewhere are not fetched.
fn validator(schema: &Value) -> Result<Validator, String> {
    jsonschema::validator_for(schema).map_err(|error| format!("is no JSON Schema: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_read_and_nothing_is_fetched() {
        assert!(
            validator(&json!({"type": "integer", "multipleOf": 5})).unwrap().is_valid(&json!(10))
        );
        let wrong = validator(&json!({"type": "nothing"})).unwrap_err();
        assert!(wrong.contains("JSON Schema"), "{wrong}");
        assert!(validator(&json!({"$ref": "http://127.0.0.1:1/schema.json"})).is_err());
    }
}
