//! Where the truth of an installation is, for commands that work on it without the server.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use oag_store::{
    BackupReport, LedgerReader, PostgresConfig, RestoreReport, backup_postgres, backup_sqlite,
    restore_postgres, restore_sqlite,
};

use crate::config::Config;
use crate::data::{DataDir, StoreKind};

/// The store of an installation.
pub(crate) enum Truth {
    /// In this directory.
    Sqlite(PathBuf),
    /// In the database with this address.
    Postgres(String, Box<PostgresConfig>),
}

impl Truth {
    /// The database that was named, else the one of the settings, else the data directory, unless
    /// the product itself last used a database.
    pub(crate) fn of(data: &DataDir, named: Option<&str>) -> Result<Self> {
        let store = Config::of(data)?.store;
        if let Some(url) = named.map(str::to_owned).or(store.url) {
            return Ok(Self::Postgres(url, Box::new(store.postgres)));
        }
        if data.store_kind()? == Some(StoreKind::Postgres) {
            bail!(
                "{} keeps its truth in PostgreSQL, and its settings do not say where: name the \
                 database with --postgres URL",
                data.root().display()
            );
        }
        Ok(Self::Sqlite(data.truth()))
    }

    /// A look at its ledger.
    pub(crate) async fn ledger(&self) -> Result<LedgerReader> {
        let reader = match self {
            Self::Sqlite(dir) => LedgerReader::open(dir),
            Self::Postgres(url, config) => LedgerReader::connect(url, config).await,
        };
        reader.context(self.unreadable())
    }

    /// Copies it into a new file, also while it is in use.
    pub(crate) fn backup(&self, to: &std::path::Path) -> Result<BackupReport> {
        let report = match self {
            Self::Sqlite(dir) => backup_sqlite(dir, to),
            Self::Postgres(url, config) => runtime()?.block_on(backup_postgres(url, config, to)),
        };
        report.context(self.unreadable())
    }

    /// Fills it from a backup; it must be empty.
    pub(crate) fn restore(&self, from: &std::path::Path) -> Result<RestoreReport> {
        Ok(match self {
            Self::Sqlite(dir) => restore_sqlite(from, dir)?,
            Self::Postgres(url, config) => {
                runtime()?.block_on(restore_postgres(from, url, config))?
            }
        })
    }

    /// To be noted in the data directory.
    pub(crate) const fn kind(&self) -> StoreKind {
        match self {
            Self::Sqlite(_) => StoreKind::Sqlite,
            Self::Postgres(..) => StoreKind::Postgres,
        }
    }

    /// Never the address: it may hold a password.
    fn unreadable(&self) -> String {
        match self {
            Self::Sqlite(dir) => format!("the store in {} cannot be read", dir.display()),
            Self::Postgres(..) => "the store in PostgreSQL cannot be read".to_owned(),
        }
    }
}

/// For one command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start")
}
