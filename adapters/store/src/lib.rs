//! The store port on SQLite and PostgreSQL.
//!
//! Owns: the tables, every line of SQL, the single writer with group commit, the lock on a data
//! directory, migrations, backup and restore. Refuses: meaning. A body is JSON text that is kept
//! as it was given; what it says is the domain's business. No clock decides anything here: every
//! command brings its time.
//!
//! [`SqliteStore`] is for one process on one machine, [`PostgresStore`] for several. Both pass one
//! contract suite (`tests/it`). A backup of either is one SQLite file that either can be restored
//! from; a restore executes nothing: tasks that were not over are held for a person.

mod check;
mod error;
mod inspect;
mod ledger;
mod migration;
mod portable;
mod postgres;
mod shape;
mod sqlite;
mod upkeep;

pub use error::SetupError;
pub use inspect::LedgerReader;
pub use portable::{BackupReport, RestoreReport, TableRows};
pub use postgres::{PostgresConfig, PostgresStore, backup_postgres, restore_postgres};
pub use sqlite::{SqliteConfig, SqliteStore, backup_sqlite, restore_sqlite};
pub use upkeep::{HeldTask, StoreStats, Upkeep};
