//! Settings of a model in an ONNX file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::SetupError;

/// Settings of one model in this process. All times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxConfig {
    /// The name under which the model is asked; also the engine's, for logs and metrics.
    pub model: String,
    /// The ONNX file. Weights that are kept outside of it lie in the same directory.
    pub file: PathBuf,
    /// Requests that are calculated at once, each on a thread of its own; none: one for each core
    /// that this process may use.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Requests that may wait beside them; more are told to come again.
    #[serde(default = "waiting_max")]
    pub waiting_max: u32,
    /// When those are told to come again.
    #[serde(default = "busy_retry_ms")]
    pub busy_retry_ms: u64,
    /// Rows of a request that are calculated in one step, where the model takes several: more use
    /// more memory.
    #[serde(default = "step_rows")]
    pub step_rows: u32,
}

const fn waiting_max() -> u32 {
    64
}

const fn busy_retry_ms() -> u64 {
    1_000
}

const fn step_rows() -> u32 {
    64
}

impl OnnxConfig {
    /// A model under a name, with every other setting at its default.
    #[must_use]
    pub fn new(model: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            file: file.into(),
            threads: None,
            waiting_max: waiting_max(),
            busy_retry_ms: busy_retry_ms(),
            step_rows: step_rows(),
        }
    }

    pub(super) fn check(&self) -> Result<(), SetupError> {
        let wrong = |field, problem: String| Err(SetupError { field, problem });
        if self.model.is_empty() {
            return wrong("model", "must not be empty".to_owned());
        }
        if self.file.as_os_str().is_empty() {
            return wrong("file", "must name an ONNX file".to_owned());
        }
        for (field, value, least, most) in [
            ("threads", self.threads.unwrap_or(1), 1, 512),
            ("waiting_max", self.waiting_max, 0, 10_000),
            ("step_rows", self.step_rows, 1, 4_096),
        ] {
            if value < least || value > most {
                return wrong(field, format!("must be between {least} and {most}, not {value}"));
            }
        }
        if self.busy_retry_ms == 0 {
            return wrong("busy_retry_ms", "must be at least 1".to_owned());
        }
        Ok(())
    }
}
