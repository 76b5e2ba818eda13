//! The life of plans over a real SQLite store, with an executor whose world is a map in memory.

mod crash;
mod people;
mod run;
mod world;
