//! What can go wrong when a store is opened, backed up or restored. Commands answer with the
//! port's own error.

use std::path::{Path, PathBuf};

use oag_store_port::StoreError;

/// One variant per decision an operator can make.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Another process works on this data directory: stop it first.
    #[error("{} is in use by another process (lock file {})", dir.display(), lock.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The file whose lock is held.
        lock: PathBuf,
    },
    /// The database was written by a newer version of this program: install that one.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: \
         install the version that wrote it"
    )]
    NewerSchema {
        /// Version found.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// A migration that was applied is not the one this program has: the schema cannot be trusted.
    #[error("migration {version} ({name}) was applied in another form than this program has it")]
    AlteredMigration {
        /// Its number.
        version: i64,
        /// Its name.
        name: String,
    },
    /// The address is wrong, or asks for something this program does not do: correct it.
    #[error("{0}")]
    Unsupported(String),
    /// The destination is there already: choose another.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A restore needs an empty target.
    #[error("{0} is not empty: restore into an empty one")]
    NotEmpty(String),
    /// The file is no whole backup of this program.
    #[error("{} is not a usable backup: {reason}", path.display())]
    BadBackup {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database failed or does not answer.
    #[error("database: {0}")]
    Database(String),
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SetupError {
    /// For `map_err`: an I/O error at a path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// The same for a caller of the port.
    pub(crate) fn into_store(self) -> StoreError {
        match self {
            Self::Exists(_) => StoreError::Invalid(self.to_string()),
            other => StoreError::Unavailable(other.to_string()),
        }
    }

    pub(crate) fn bad_backup(path: &Path, reason: impl Into<String>) -> Self {
        Self::BadBackup { path: path.to_owned(), reason: reason.into() }
    }
}

impl From<rusqlite::Error> for SetupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<tokio_postgres::Error> for SetupError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(crate::postgres::explain(&error))
    }
}
