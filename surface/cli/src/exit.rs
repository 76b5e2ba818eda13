//! Exit codes, and errors that know theirs together with what to do next.

use std::fmt;
use std::process::ExitCode;

use oag_types::{ErrorKind, Problem};

/// How a command ends. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Done.
    Done,
    /// It failed, or the answer is no.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Not there, or not visible to this key.
    NotFound,
    /// A person must approve first.
    NeedsApproval,
    /// Against the present state.
    Conflict,
    /// The server is away, too busy or too slow.
    Unavailable,
    /// Stopped by the user.
    Interrupted,
}

impl Exit {
    /// The number the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NeedsApproval => 4,
            Self::Conflict => 5,
            Self::Unavailable => 6,
            Self::Interrupted => 130,
        }
    }

    /// The code for an error kind of the product.
    #[must_use]
    pub const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid | ErrorKind::Unauthenticated => Self::Usage,
            ErrorKind::NotFound | ErrorKind::Gone => Self::NotFound,
            ErrorKind::NeedsApproval => Self::NeedsApproval,
            ErrorKind::Conflict | ErrorKind::Stale => Self::Conflict,
            ErrorKind::Exhausted | ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Denied | ErrorKind::Internal => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// An error with its exit code, further lines and a hint.
#[derive(Debug)]
pub struct Trouble {
    exit: Exit,
    text: String,
    lines: Vec<String>,
    hint: Option<String>,
}

impl Trouble {
    /// An error of this kind.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), lines: Vec::new(), hint: None }
    }

    /// Wrong usage or configuration.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// One more line below the error.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// How the process ends because of it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}

/// What is shown of an error.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) exit: Exit,
    /// The error, then its causes.
    pub(crate) texts: Vec<String>,
    pub(crate) lines: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Account {
    /// Takes an error apart: the first cause that knows an exit code decides on it.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let mut texts: Vec<String> = error.chain().map(ToString::to_string).collect();
        texts.dedup();
        let mut account = Self { exit: Exit::Failed, texts, lines: Vec::new(), hint: None };
        for cause in error.chain() {
            if let Some(trouble) = cause.downcast_ref::<Trouble>() {
                account.exit = trouble.exit;
                account.lines.clone_from(&trouble.lines);
                account.hint.clone_from(&trouble.hint);
                return account;
            }
            if let Some(problem) = cause.downcast_ref::<Problem>() {
                account.exit = Exit::of(problem.kind());
                account.hint = Some(page_of(&problem.code.to_string()));
                return account;
            }
            if cause.is::<oag_runtime::ConfigError>() {
                account.exit = Exit::Usage;
                return account;
            }
        }
        account
    }
}

/// Where a code is explained.
pub(crate) fn page_of(code: &str) -> String {
    format!("docs/errors/{code}.md says more")
}
