//! The client from the command line to its output, against a server of canned answers.

mod acts;
mod errors;
mod harness;
mod help;
mod offline;
mod rules;
mod views;
