//! The light node as a program of its own; `openautoglm edge` is the same.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use oag_edge::EdgeArgs;

/// The light node of Open-AutoGLM: it measures and reports, and may offer the models of an upstream.
#[derive(Debug, Parser)]
#[command(name = "openautoglm-edge", version, max_term_width = 100)]
struct Options {
    #[command(flatten)]
    edge: EdgeArgs,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // One provider of cryptography for the whole process; nobody else installs one before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    oag_edge::run(&options.edge).unwrap_or_else(|error| {
        // Where not even this can be written, nobody reads it.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}
