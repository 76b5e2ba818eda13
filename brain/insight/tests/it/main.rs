//! Integration tests of `oag-insight`.
