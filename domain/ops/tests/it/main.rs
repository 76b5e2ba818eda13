//! Tests of operations, through the public API: data in, decisions out.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod analyze;
mod decide;
mod engine;
mod hindsight;
mod hub;
mod properties;
mod replay;
mod support;
