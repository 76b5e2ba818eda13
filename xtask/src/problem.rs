//! What a check has to say.

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A crate, or a file with its line.
    pub(crate) place: String,
    pub(crate) what: String,
    pub(crate) hint: &'static str,
}

impl Problem {
    pub(crate) fn new(
        place: impl Into<String>,
        what: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { place: place.into(), what: what.into(), hint }
    }
}
