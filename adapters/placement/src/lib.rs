//! The fleet executor: a model on nodes as a service, whose replicas are the nodes that serve it.
//!
//! Owns: on the controller ([`FleetExecutor`]) the wanted state of each such service in the store,
//! the choice of nodes, and the signed orders that bring nodes there, again whenever nodes come, go
//! or are started anew; on the node ([`Orders`], [`Shelf`]) what carries these orders out.
//! Refuses: what is right to want (the pilot asks for it, behind the guard), how orders are signed,
//! checked and carried, and what runs a model.

mod executor;
mod obey;
mod place;
mod run;
mod shelf;
mod spec;
#[cfg(test)]
mod tests;
mod unit;
mod wanted;

pub use executor::{FleetExecutor, PlacementConfig};
pub use obey::{Check, Orders};
pub use shelf::{Shelf, Starter};
pub use spec::ModelSpec;
