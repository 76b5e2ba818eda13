//! A fleet in one process: real controller, real agents, and wires that can be cut. Time is
//! tokio's, and stands still while anything can be done.

mod calls;
mod fleet;
mod kept;
mod reports;
mod world;
