//! The ledger from outside: known vectors, proofs against the definition, notes, and what a pass
//! says about every way to tamper with a log.

mod bundle;
mod log;
mod notes;
mod proofs;
mod tamper;
mod tamper_any;
mod vectors;
