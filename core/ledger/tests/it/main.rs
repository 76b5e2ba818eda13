//! The ledger from outside: known vectors, proofs against the definition, notes, and what a pass
//! says about every way to tamper with a log.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test they serve")]

mod bundle;
mod log;
mod notes;
mod proofs;
mod tamper;
mod tamper_any;
mod vectors;
