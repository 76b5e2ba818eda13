//! Real servers, ports and fixtures for tests.

pub mod postgres;
