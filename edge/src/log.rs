//! What the light node logs: everything from `info` up, on standard error. Filters by rules, as the
//! other programs have them, would take half a megabyte.

use std::io::IsTerminal;

use anyhow::{Result, anyhow};
use tracing::level_filters::LevelFilter;

/// Starts logging for this process, as text or one JSON object a line.
pub(crate) fn start(json: bool) -> Result<()> {
    let lines =
        tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr);
    let started = if json {
        lines.json().flatten_event(true).try_init()
    } else {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        lines.with_ansi(colours).compact().try_init()
    };
    started.map_err(|error| anyhow!("logging cannot be started: {error}"))
}
