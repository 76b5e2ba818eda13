//! Backup and restore of the truth.

use std::process::ExitCode;

use anyhow::{Result, bail};
use oag_store::TableRows;

use crate::data::DataDir;
use crate::eval::print;
use crate::options::{BackupArgs, RestoreArgs};
use crate::truth::Truth;

/// Copies a store, also while it is in use.
pub(crate) fn backup(args: &BackupArgs) -> Result<ExitCode> {
    if args.file.exists() {
        bail!("{} exists already; name a new file", args.file.display());
    }
    // The ledger's key is in the data directory, wherever the store is.
    let data = DataDir::existing(&args.data)?;
    let report = Truth::of(&data, args.postgres.as_deref())?.backup(&args.file)?;
    data.copy_identity(&args.file)?;
    print(&format!("{}: {} rows", args.file.display(), total(&report.rows)))
}

/// Makes a new installation from a backup.
pub(crate) fn restore(args: &RestoreArgs) -> Result<ExitCode> {
    let data = DataDir::open(&args.data)?;
    let truth = Truth::of(&data, args.postgres.as_deref())?;
    let report = truth.restore(&args.file)?;
    data.take_identity(&args.file)?;
    data.note_store_kind(truth.kind())?;
    let mut text = format!("restored {} rows; nothing was executed", total(&report.rows));
    for held in &report.held {
        text.push_str(&format!("\nheld: {} of {} (a person decides)", held.id, held.queue));
    }
    print(&text)
}

fn total(rows: &[TableRows]) -> u64 {
    rows.iter().map(|table| table.rows).sum()
}
