//! Integration tests of `oag-insight`.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod properties;
mod protocol;
mod quality;
