//! The table of action kinds. A new kind is one file here and one line in the table.

mod breaker;
mod configure;
mod deploy;
mod feature;
mod notify;
mod params;
mod restart;
mod rollback;
mod running;
mod scale;
mod script;

use oag_types::{KindName, Problem};

use crate::ActionKind;

/// Every kind of action there is.
static KINDS: &[&dyn ActionKind] = &[
    &scale::Scale,
    &deploy::Deploy,
    &rollback::Rollback,
    &configure::Configure,
    &restart::Restart,
    &running::START,
    &running::STOP,
    &breaker::Breaker,
    &feature::SHED,
    &feature::RESTORE,
    &script::Script,
    &notify::Notify,
];

/// Every kind, in the order of the table.
#[must_use]
pub fn kinds() -> &'static [&'static dyn ActionKind] {
    KINDS
}

/// The kind of a name.
///
/// # Errors
/// A problem that lists the names there are.
pub fn kind(name: &KindName) -> Result<&'static dyn ActionKind, Problem> {
    KINDS.iter().copied().find(|kind| kind.name() == name.as_str()).ok_or_else(|| {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name()).collect();
        Problem::field("kind", format!("no action kind '{name}'; there are: {}", names.join(", ")))
    })
}
