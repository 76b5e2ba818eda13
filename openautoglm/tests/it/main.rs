//! The product as a process: started, killed, tampered with and asked from outside.

mod analyze;
mod autonomy;
mod backup;
mod cli;
mod crash;
mod plans;
mod postgres;
mod signals;
mod tamper;
mod traces;
mod up;
mod world;
