//! The API from outside: requests against the whole router, over a real pilot and a real store.

mod auth;
mod documents;
mod idempotency;
mod inputs;
mod lists;
mod loopback;
mod plans;
mod server;
mod signals;
mod tokens;
mod watches;
mod world;
