//! What can be wrong with an engine's settings.

/// Why an engine cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SetupError {
    /// Which setting.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}
