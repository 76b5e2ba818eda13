//! Tests of operations, through the public API: data in, decisions out.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod analyze;
mod answer;
mod decide;
mod engine;
mod hindsight;
mod hub;
mod properties;
mod records;
mod replay;
mod rules;
mod support;
