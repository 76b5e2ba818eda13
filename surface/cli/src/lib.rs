//! Command line client of the API.
