//! Settings of a model that runs on this machine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::SetupError;

/// In what form a model's memory of what it read is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Four bytes a number, and nothing is rounded further; slow.
    F32,
    /// Two bytes a number, as models are made for.
    #[default]
    F16,
    /// About one byte a number; answers change a little.
    Q8,
}

/// Settings of one model in one process of its own. All times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The name under which the model is asked; also the engine's, for logs and metrics.
    pub model: String,
    /// The GGUF file.
    pub file: PathBuf,
    /// Most tokens of a prompt and its answer together; none: the model's own, 8192 at most.
    #[serde(default)]
    pub window_tokens: Option<u32>,
    /// Tokens that are remembered at once, over all requests and kept prompts; none: two windows.
    /// When they do not suffice, the youngest request is put off.
    #[serde(default)]
    pub memory_tokens: Option<u32>,
    /// In what form they are kept.
    #[serde(default)]
    pub memory: MemoryKind,
    /// Requests that are worked on at once.
    #[serde(default = "slots")]
    pub slots: u32,
    /// Requests that may wait beside them; more are told to come again.
    #[serde(default = "waiting_max")]
    pub waiting_max: u32,
    /// When those are told to come again.
    #[serde(default = "busy_retry_ms")]
    pub busy_retry_ms: u64,
    /// Most tokens of an answer, for requests that ask for more or say nothing; none: the window.
    #[serde(default)]
    pub answer_tokens_max: Option<u32>,
    /// Tokens that are read in one step: more read prompts faster, and hold other answers up
    /// longer.
    #[serde(default = "step_tokens")]
    pub step_tokens: u32,
    /// Prompts and answers that are kept for later requests that begin alike.
    #[serde(default = "kept_max")]
    pub kept_max: u32,
    /// Threads that calculate; none: one for each core that this process may use.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Layers of the model that a graphics processor calculates; none: all, where there is one
    /// and the build can use it. With 0 it is left alone.
    #[serde(default)]
    pub gpu_layers: Option<u32>,
    /// Whether texts can be turned into vectors.
    #[serde(default)]
    pub embeds: bool,
    /// The program that runs the model; none: this one.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// How long loading may take.
    #[serde(default = "load_ms")]
    pub load_ms: u64,
    /// How long it may be until the first part of an answer, waiting included.
    #[serde(default = "first_part_ms")]
    pub first_part_ms: u64,
    /// How long it may be between two parts.
    #[serde(default = "pause_max_ms")]
    pub pause_max_ms: u64,
    /// Pause before the process is started again after it ended; doubled each time.
    #[serde(default = "restart_ms")]
    pub restart_ms: u64,
    /// The longest such pause.
    #[serde(default = "restart_max_ms")]
    pub restart_max_ms: u64,
}

const fn slots() -> u32 {
    4
}

const fn waiting_max() -> u32 {
    64
}

const fn busy_retry_ms() -> u64 {
    1_000
}

const fn step_tokens() -> u32 {
    256
}

const fn kept_max() -> u32 {
    16
}

const fn load_ms() -> u64 {
    600_000
}

const fn first_part_ms() -> u64 {
    300_000
}

const fn pause_max_ms() -> u64 {
    120_000
}

const fn restart_ms() -> u64 {
    500
}

const fn restart_max_ms() -> u64 {
    30_000
}

impl LocalConfig {
    /// A model under a name, with every other setting at its default.
    #[must_use]
    pub fn new(model: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            file: file.into(),
            window_tokens: None,
            memory_tokens: None,
            memory: MemoryKind::default(),
            slots: slots(),
            waiting_max: waiting_max(),
            busy_retry_ms: busy_retry_ms(),
            answer_tokens_max: None,
            step_tokens: step_tokens(),
            kept_max: kept_max(),
            threads: None,
            gpu_layers: None,
            embeds: false,
            program: None,
            load_ms: load_ms(),
            first_part_ms: first_part_ms(),
            pause_max_ms: pause_max_ms(),
            restart_ms: restart_ms(),
            restart_max_ms: restart_max_ms(),
        }
    }

    /// Requests that are taken in at once, waiting ones included.
    pub(crate) const fn requests_max(&self) -> usize {
        self.slots as usize + self.waiting_max as usize
    }

    pub(super) fn check(&self) -> Result<(), SetupError> {
        let wrong = |field, problem: String| Err(SetupError { field, problem });
        if self.model.is_empty() {
            return wrong("model", "must not be empty".to_owned());
        }
        if self.file.as_os_str().is_empty() {
            return wrong("file", "must name a GGUF file".to_owned());
        }
        for (field, value, least, most) in [
            ("slots", self.slots, 1, 64),
            ("waiting_max", self.waiting_max, 0, 10_000),
            ("step_tokens", self.step_tokens, self.slots.max(16), 4_096),
            ("kept_max", self.kept_max, 0, 128),
            ("threads", self.threads.unwrap_or(1), 1, 512),
            ("window_tokens", self.window_tokens.unwrap_or(16), 16, 1 << 20),
            ("answer_tokens_max", self.answer_tokens_max.unwrap_or(1), 1, 1 << 20),
            ("memory_tokens", self.memory_tokens.unwrap_or(16), 16, 1 << 24),
        ] {
            if value < least || value > most {
                return wrong(field, format!("must be between {least} and {most}, not {value}"));
            }
        }
        if let (Some(memory), Some(window)) = (self.memory_tokens, self.window_tokens)
            && memory < window
        {
            let problem = format!("must hold a window of {window} tokens, not only {memory}");
            return wrong("memory_tokens", problem);
        }
        for (field, value) in [
            ("load_ms", self.load_ms),
            ("first_part_ms", self.first_part_ms),
            ("pause_max_ms", self.pause_max_ms),
            ("restart_ms", self.restart_ms),
        ] {
            if value == 0 {
                return wrong(field, "must be at least 1".to_owned());
            }
        }
        Ok(())
    }
}
