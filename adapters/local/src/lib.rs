//! The local executor: supervised processes as replicas behind a small balancer.
//!
//! Owns: the processes it started (also after a crash of the product), the port a service listens
//! on, the wanted state of each service on disk, and the figures measured in the balancer.
//! Refuses: deciding how many replicas are right, and signalling a process that is not proven, by
//! pid and start time or by its launch marker, to be its own.

mod balancer;
mod breaker;
mod config;
mod error;
mod executor;
mod files;
mod gate;
mod health;
mod launch;
mod logs;
mod meter;
mod operate;
mod ports;
mod process;
mod proxy;
mod reconcile;
mod replica;
mod rollout;
pub mod sample;
mod script;
mod source;
mod spec;
mod state;
mod strays;
mod trouble;
mod unit;
mod watch;

pub use config::{LocalConfig, OnDrain, PortRange};
pub use error::LocalError;
pub use executor::LocalExecutor;
pub use source::LocalSource;
pub use spec::{HealthSpec, LocalSpec, ScriptSpec, VersionSpec};
pub use watch::WatchExecutor;
