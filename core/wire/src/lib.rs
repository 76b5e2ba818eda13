//! Formats of the wire that several floors read.
//!
//! Owns: putting server-sent events together from bytes ([`sse`]).
//! Refuses: connections, and what anybody's events mean.

pub mod sse;
