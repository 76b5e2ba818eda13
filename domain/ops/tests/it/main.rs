//! Tests of operations, through the public API: data in, decisions out.

mod analyze;
mod decide;
mod engine;
mod hub;
mod properties;
mod replay;
mod support;
