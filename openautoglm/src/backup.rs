//! Backup and restore of the truth.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use oag_store::{
    BackupReport, PostgresConfig, RestoreReport, TableRows, backup_postgres, backup_sqlite,
    restore_postgres, restore_sqlite,
};

use crate::data::DataDir;
use crate::eval::print;
use crate::options::{BackupArgs, RestoreArgs};

/// Copies a store, also while it is in use.
pub(crate) fn backup(args: &BackupArgs) -> Result<ExitCode> {
    if args.file.exists() {
        bail!("{} exists already; name a new file", args.file.display());
    }
    // The ledger's key is in the data directory, wherever the store is.
    let data = DataDir::existing(&args.data)?;
    let report: BackupReport = match &args.postgres {
        Some(url) => {
            runtime()?.block_on(backup_postgres(url, &PostgresConfig::default(), &args.file))?
        }
        None => backup_sqlite(&data.truth(), &args.file)?,
    };
    data.copy_identity(&args.file)?;
    print(&format!("{}: {} rows", args.file.display(), total(&report.rows)))
}

/// Makes a new installation from a backup.
pub(crate) fn restore(args: &RestoreArgs) -> Result<ExitCode> {
    let data = DataDir::open(&args.data)?;
    let report: RestoreReport = match &args.postgres {
        Some(url) => {
            runtime()?.block_on(restore_postgres(&args.file, url, &PostgresConfig::default()))?
        }
        None => restore_sqlite(&args.file, &data.truth())?,
    };
    data.take_identity(&args.file)?;
    let mut text = format!("restored {} rows; nothing was executed", total(&report.rows));
    for held in &report.held {
        text.push_str(&format!("\nheld: {} of {} (a person decides)", held.id, held.queue));
    }
    print(&text)
}

fn total(rows: &[TableRows]) -> u64 {
    rows.iter().map(|table| table.rows).sum()
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start")
}
