//! What can go wrong, one variant per decision a caller can make.

use std::path::{Path, PathBuf};

/// Errors of the series store.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// Another process works on this directory: stop it first.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A new series beyond the limit: drop it, or raise `series_max`.
    #[error("the limit of {max} series is reached")]
    TooManySeries {
        /// The limit.
        max: usize,
    },
    /// Memory is full and sealing has not caught up: later.
    #[error("the limit of {max} buffered values is reached")]
    Full {
        /// The limit.
        max: usize,
    },
    /// The sample cannot be kept: not finite, too old or too far ahead.
    #[error("the sample cannot be kept: {0}")]
    Refused(&'static str),
    /// A part of a file is damaged. Everything else stays readable; the file can be moved away or
    /// brought back from a backup.
    #[error("{} is damaged: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SeriesError {
    /// For `map_err`: an I/O error at a path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn damaged(file: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), reason: reason.into() }
    }
}
