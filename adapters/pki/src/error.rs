//! What can go wrong with keys and certificates, by what its owner can do about it.

use std::path::PathBuf;

/// Why a key, a certificate or a setting could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or folder cannot be read or written: look at its owner and the disk.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what was written: restore it from a backup.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder belongs to another cluster: name the right folder.
    #[error("{} belongs to the cluster '{found}', not to '{wanted}'", path.display())]
    OtherCluster {
        /// Which folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// An argument is not usable: correct it.
    #[error("{field}: {problem}")]
    Argument {
        /// Which one.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A request for a certificate is not usable: the node makes a new one.
    #[error("the certificate request is refused: {problem}")]
    Request {
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate, bundle or key of somebody else: enrol again, with the right pin.
    #[error("not trusted: {problem}")]
    Untrusted {
        /// What does not belong together.
        problem: String,
    },
    /// There is no room for another revocation or nonce: wait until old ones have passed.
    #[error("{what}: no room for more than {limit}")]
    Full {
        /// What is full.
        what: &'static str,
        /// How many there can be.
        limit: usize,
    },
    /// The library refuses: look at the memory and randomness of the machine.
    #[error("cannot {action}")]
    Crypto {
        /// What was tried.
        action: &'static str,
    },
}

impl PkiError {
    pub(crate) fn argument(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Argument { field, problem: problem.into() }
    }

    pub(crate) fn request(problem: impl Into<String>) -> Self {
        Self::Request { problem: problem.into() }
    }

    pub(crate) fn untrusted(problem: impl Into<String>) -> Self {
        Self::Untrusted { problem: problem.into() }
    }

    pub(crate) fn damaged(path: &std::path::Path, problem: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// What a refusal of the library becomes; it says no more than that.
pub(crate) fn crypto<E>(action: &'static str) -> impl FnOnce(E) -> PkiError {
    move |_| PkiError::Crypto { action }
}
