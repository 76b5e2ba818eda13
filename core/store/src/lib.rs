//! The store port: atomic commands, records, tasks and ledger rows, without any storage technology.
