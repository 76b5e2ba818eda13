//! The Open-AutoGLM binary: roles and wiring, nothing else.
//!
//! Owns: the command line's top level, the configuration of a process, the data directory, and
//! joining ports to adapters. Refuses: decisions of any kind; those are one floor down.

#[cfg(test)]
mod asking;
mod backup;
#[cfg(test)]
mod climbing;
mod config;
mod data;
mod eval;
mod figures;
mod gate;
mod gateway;
mod inventory;
mod ledger;
mod options;
mod orders;
mod parts;
mod shelf;
mod truth;
mod up;
mod upkeep;
mod wiring;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::options::{Command, Options};

fn main() -> ExitCode {
    // A process that runs a model for another one sets nothing else up.
    if std::env::args_os().nth(1).is_some_and(|first| first == oag_engine::ENGINE_CHILD) {
        return oag_engine::engine_child();
    }
    let options = Options::parse();
    // One provider of cryptography for the whole process; nobody else installs one before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match options.command {
        Command::Up(up) | Command::Controller(up) => up::run(&up),
        Command::Worker(args) => worker::run(&args),
        Command::Edge(args) => oag_edge::run(&args),
        Command::Demo(demo) => oag_cli::demo::run(&demo),
        Command::Eval(eval) => eval::run(eval.task),
        Command::Config(args) => config::show(&args),
        Command::Openapi => eval::print(&oag_api::openapi_json()),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::SampleService(args) => up::sample(&args),
        Command::Client(command) => {
            return oag_cli::run(command, &ledger::LocalLedger, Options::command);
        }
    };
    result.unwrap_or_else(|error| oag_cli::report(&error))
}
