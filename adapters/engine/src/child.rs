//! The process that runs a model for its parent.

use std::process::ExitCode;

use crate::frames;

/// The subcommand under which [`crate::Local`] starts a program; it must call [`engine_child`]
/// before it does anything else.
pub const ENGINE_CHILD: &str = frames::SUBCOMMAND;

/// Runs a model for the parent process until that ends. Standard input and output are theirs.
#[must_use]
#[cfg(feature = "llama")]
pub fn engine_child() -> ExitCode {
    crate::llama::run()
}

/// Tells the parent process that this build has no engine of its own.
#[must_use]
#[cfg(not(feature = "llama"))]
pub fn engine_child() -> ExitCode {
    use std::io::Write;

    let why = "this build has no engine of its own: build it with `make build FEATURES=llama`";
    let report = frames::Report::Failed { why: why.to_owned() };
    // A parent that does not listen has ended.
    let _ = frames::pack(&report).and_then(|bytes| std::io::stdout().write_all(&bytes));
    ExitCode::FAILURE
}
