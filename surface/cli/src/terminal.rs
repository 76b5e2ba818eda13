//! The only place that writes: data to standard output, everything else to standard error.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use oag_runtime::{Clock, SystemClock};
use tokio::sync::oneshot;

use crate::exit::{Account, Exit, Trouble};

const BOLD_RED: &str = "\u{1b}[1;31m";
const BOLD_CYAN: &str = "\u{1b}[1;36m";
const PLAIN: &str = "\u{1b}[0m";

/// Where a command reads, writes and learns the time.
pub struct Terminal {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    input: Input,
    asks: bool,
    moves: bool,
    painted: bool,
    clock: Arc<dyn Clock>,
}

enum Input {
    Process,
    Text(String),
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("asks", &self.asks).finish_non_exhaustive()
    }
}

impl Terminal {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self {
            out: RefCell::new(Box::new(anstream::stdout())),
            err: RefCell::new(Box::new(anstream::stderr())),
            input: Input::Process,
            asks,
            moves: io::stderr().is_terminal(),
            painted: true,
            clock: SystemClock::shared(),
        }
    }

    /// One that writes elsewhere, without colours. With `input` it stands for a person who answers
    /// questions with it; without, nobody is there.
    #[must_use]
    pub fn new(
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        input: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            out: RefCell::new(out),
            err: RefCell::new(err),
            asks: input.is_some(),
            input: Input::Text(input.unwrap_or_default()),
            moves: false,
            painted: false,
            clock,
        }
    }

    pub(crate) fn now(&self) -> oag_types::Timestamp {
        self.clock.now()
    }

    /// Whether a person can be asked.
    pub(crate) const fn asks(&self) -> bool {
        self.asks
    }

    /// Whether progress may be drawn on standard error.
    pub(crate) const fn moves(&self) -> bool {
        self.moves
    }

    /// Writes data, with a line feed at its end.
    pub(crate) fn data(&self, text: &str) -> anyhow::Result<()> {
        let text = visible(text);
        let mut out = self.out.borrow_mut();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(())
    }

    /// Writes a remark.
    pub(crate) fn say(&self, text: &str) {
        self.write_err(&format!("{}\n", visible(text)));
    }

    /// Writes what to do next.
    pub(crate) fn hint(&self, text: &str) {
        self.write_err(&format!("{} {}\n", self.paint(BOLD_CYAN, "hint:"), visible(text)));
    }

    /// Shows an error; the answer is how the process ends.
    pub(crate) fn report(&self, error: &anyhow::Error) -> Exit {
        // The reader of a pipe may stop reading when it has seen enough.
        let broken = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
        };
        if error.chain().any(broken) {
            return Exit::Done;
        }
        let Account { exit, texts, lines, hint } = Account::of(error);
        if exit == Exit::Interrupted {
            self.say("interrupted");
            return exit;
        }
        let mut texts = texts.into_iter();
        let first = texts.next().unwrap_or_default();
        self.write_err(&format!("{} {}\n", self.paint(BOLD_RED, "error:"), visible(&first)));
        for cause in texts {
            self.write_err(&format!("  because: {}\n", visible(&cause)));
        }
        for line in lines {
            self.write_err(&format!("  {}\n", visible(&line)));
        }
        if let Some(hint) = hint {
            self.hint(&hint);
        }
        exit
    }

    /// Asks a question that takes yes or no; anything but yes is no.
    pub(crate) async fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        self.write_err(&format!("{question} [y/N] "));
        let answer = self.read(false).await?;
        let answer = answer.lines().next().unwrap_or_default().trim().to_lowercase();
        Ok(matches!(answer.as_str(), "y" | "yes"))
    }

    /// Everything on standard input.
    pub(crate) async fn read_all(&self) -> anyhow::Result<String> {
        self.read(true).await
    }

    async fn read(&self, to_end: bool) -> anyhow::Result<String> {
        if let Input::Text(text) = &self.input {
            return Ok(text.clone());
        }
        // A thread of its own, so that an interrupt is heard while nobody types.
        let (sender, receiver) = oneshot::channel();
        std::thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            let mut text = String::new();
            let read = if to_end {
                io::Read::read_to_string(&mut stdin, &mut text)
            } else {
                stdin.read_line(&mut text)
            };
            // Nobody listens any more after an interrupt.
            let _ = sender.send(read.map(|_| text));
        });
        let read = receiver.await.map_err(|_| Trouble::usage("standard input went away"))?;
        read.map_err(|error| {
            Trouble::usage(format!("standard input cannot be read: {error}")).into()
        })
    }

    /// Colours go through `anstream`, which drops them where they are not wanted.
    fn paint(&self, style: &str, text: &str) -> String {
        if self.painted { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn write_err(&self, text: &str) {
        let mut err = self.err.borrow_mut();
        // When standard error is closed there is nowhere left to say so.
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

/// Other people's texts, such as log lines, must not steer the terminal.
fn visible(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if steers(c) { c.escape_debug().collect() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}
