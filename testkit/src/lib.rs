//! Real servers, ports and fixtures for tests.
