//! Integration tests of `oag-insight`.

mod properties;
mod protocol;
mod quality;
