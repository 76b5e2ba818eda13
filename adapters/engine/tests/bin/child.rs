//! Stands for the product in tests of the engine: it runs a model for its parent.

use std::process::ExitCode;

fn main() -> ExitCode {
    oag_engine::engine_child()
}
