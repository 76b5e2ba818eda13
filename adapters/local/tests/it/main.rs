//! The executor with real processes. This binary also plays the replicas and a product that is
//! killed: see `roles`.

mod adoption;
mod harness;
mod operations;
mod overload;
mod roles;
mod scripts;
mod specs;
mod traffic;
