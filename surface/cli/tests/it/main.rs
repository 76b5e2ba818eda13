//! The client from the command line to its output, against a server of canned answers.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod acts;
mod errors;
mod harness;
mod help;
mod models;
mod offline;
mod rules;
mod views;
