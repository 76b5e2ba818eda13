//! HTTP habits that every endpoint shares.

pub(crate) mod edge;
pub(crate) mod extract;
pub(crate) mod idempotency;
pub(crate) mod listener;
pub(crate) mod live;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod watch;
