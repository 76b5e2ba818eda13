//! Settings of the gateway.

use serde::{Deserialize, Serialize};

/// Settings of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Largest body, in bytes, after unpacking.
    pub body_bytes_max: usize,
    /// How long an answer may take as a whole, waiting included, in milliseconds.
    pub answer_ms: u64,
    /// Most answers that one request may ask for (`n`).
    pub choices_max: u32,
    /// Most texts that one request may have turned into vectors.
    pub embeddings_max: usize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self { body_bytes_max: 8 << 20, answer_ms: 600_000, choices_max: 8, embeddings_max: 2_048 }
    }
}

impl GatewayConfig {
    /// Whether every setting has a meaning.
    ///
    /// # Errors
    /// Which has not, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let nothing = [
            ("body_bytes_max", self.body_bytes_max == 0),
            ("answer_ms", self.answer_ms == 0),
            ("choices_max", self.choices_max == 0),
            ("embeddings_max", self.embeddings_max == 0),
        ];
        match nothing.into_iter().find(|(_, zero)| *zero) {
            Some((field, _)) => Err((field, "must be at least 1".to_owned())),
            None => Ok(()),
        }
    }
}
