//! What can be wrong with a source.

/// Why a source cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// A setting cannot be used: correct it.
    #[error("{field}: {problem}")]
    Setting {
        /// Which setting.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where a text is no exposition, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: &'static str,
}
