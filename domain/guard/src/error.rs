//! What can be wrong with what the guard is given to keep.

/// A document or a change that the guard refuses to keep, with the place and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A field holds a value outside its meaning.
    #[error("{field}: {problem}")]
    Invalid {
        /// The path of the field, such as `limits.rules[2].max`.
        field: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The document was written by a newer version of the product.
    #[error("this guard document has version {found}; this program reads up to {known}")]
    Version {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The operating system gave no random bytes.
    #[error("no randomness is available to make a secret")]
    NoRandomness,
}

impl GuardError {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }
}
