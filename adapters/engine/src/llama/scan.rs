//! What of a model's text is answer, thought and tool calls, decided as it comes.

use oag_serve::ToolCallDelta;

use super::tools::{self, Style};

const THINK: &[u8] = b"<think>";
const THOUGHT: &[u8] = b"</think>";
const CALL: &[u8] = b"<tool_call>";
const CALLED: &[u8] = b"</tool_call>";

/// What a piece of the text turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Part of the answer.
    Text,
    /// Part of what is thought.
    Reasoning,
    /// A mark that nobody sees.
    Mark,
    /// A whole tool call, or several.
    Calls(Vec<ToolCallDelta>),
}

/// What can be said of the text so far.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// So many bytes are this.
    Is(usize, Kind),
    /// It takes more text to know.
    Unclear,
    /// A stop text begins here: the answer ends.
    Stop,
}

/// What is looked for in a text.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    stops: Vec<Vec<u8>>,
    thinks: bool,
    style: Option<Style>,
    names: Vec<String>,
    /// Goes into the ids of calls.
    request: u64,
    mode: Mode,
    calls: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    /// Nothing was said yet.
    #[default]
    Start,
    Text,
    Thought,
    /// The whole answer is a call, by how it began.
    Bare,
}

impl Scan {
    /// For an answer that is nothing but text up to one of these.
    pub(super) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().map(|stop| stop.clone().into_bytes()).collect();
        Self { stops, ..Self::default() }
    }

    /// Thoughts are marked; the answer may begin inside of one.
    pub(super) fn with_thoughts(mut self, begun: bool) -> Self {
        self.thinks = true;
        if begun {
            self.mode = Mode::Thought;
        }
        self
    }

    /// Calls of these tools are written in a style.
    pub(super) fn with_tools(mut self, style: Style, names: Vec<String>, request: u64) -> Self {
        self.style = Some(style);
        self.names = names;
        self.request = request;
        self
    }

    /// Whether tools were called.
    pub(super) const fn has_called(&self) -> bool {
        self.calls > 0
    }

    /// What the text begins with. When it is `whole`, nothing is left unclear.
    pub(super) fn next(&mut self, text: &[u8], whole: bool) -> Verdict {
        match self.mode {
            Mode::Start => self.start(text, whole),
            Mode::Bare => self.bare(text, whole),
            Mode::Thought => self.thought(text, whole),
            Mode::Text => self.text(text, whole),
        }
    }

    fn start(&mut self, text: &[u8], whole: bool) -> Verdict {
        let said = text.trim_ascii_start();
        if self.style.is_some() && said.is_empty() && !whole {
            return Verdict::Unclear;
        }
        if let Some(style) = self.style
            && let Some(bare) = tools::begins_bare(style, &self.names, said)
        {
            if bare {
                self.mode = Mode::Bare;
                return self.bare(text, whole);
            }
            if !whole {
                return Verdict::Unclear;
            }
        }
        self.mode = Mode::Text;
        self.text(text, whole)
    }

    fn bare(&mut self, text: &[u8], whole: bool) -> Verdict {
        if let Some(stop) = self.stop(text) {
            return self.bare(&text[..stop], true);
        }
        if !whole {
            return Verdict::Unclear;
        }
        self.mode = Mode::Text;
        let style = self.style.unwrap_or(Style::Tagged);
        match tools::bare_calls(style, &self.names, &String::from_utf8_lossy(text)) {
            Some(calls) => Verdict::Is(text.len(), self.called(calls)),
            None => self.text(text, whole),
        }
    }

    fn thought(&mut self, text: &[u8], whole: bool) -> Verdict {
        if text.starts_with(THOUGHT) {
            return self.mark(text, THOUGHT, Mode::Start, whole);
        }
        plain(text, &[THOUGHT], whole, Kind::Reasoning)
    }

    fn text(&mut self, text: &[u8], whole: bool) -> Verdict {
        if self.stop(text) == Some(0) {
            return Verdict::Stop;
        }
        if self.thinks && text.starts_with(THINK) {
            return self.mark(text, THINK, Mode::Thought, whole);
        }
        let tagged = self.style == Some(Style::Tagged);
        if tagged && text.starts_with(CALL) {
            match find(text, CALLED) {
                Some(end) => {
                    let inner = String::from_utf8_lossy(&text[CALL.len()..end]);
                    if let Some(call) = tools::tagged_call(&inner) {
                        return Verdict::Is(end + CALLED.len(), self.called(vec![call]));
                    }
                }
                None if !whole => return Verdict::Unclear,
                None => {}
            }
            // It is no call after all: the mark is text like any other.
            return Verdict::Is(CALL.len(), Kind::Text);
        }
        let mut marks: Vec<&[u8]> = self.stops.iter().map(Vec::as_slice).collect();
        if self.thinks {
            marks.push(THINK);
        }
        if tagged {
            marks.push(CALL);
        }
        plain(text, &marks, whole, Kind::Text)
    }

    /// A mark, with the blanks after it.
    fn mark(&mut self, text: &[u8], mark: &[u8], mode: Mode, whole: bool) -> Verdict {
        let rest = text[mark.len()..].trim_ascii_start();
        if rest.is_empty() && !whole {
            return Verdict::Unclear;
        }
        self.mode = mode;
        Verdict::Is(text.len() - rest.len(), Kind::Mark)
    }

    /// Where the first stop text begins.
    fn stop(&self, text: &[u8]) -> Option<usize> {
        self.stops.iter().filter_map(|stop| find(text, stop)).min()
    }

    fn called(&mut self, calls: Vec<(String, String)>) -> Kind {
        let numbered = calls.into_iter().map(|(name, arguments)| {
            let index = self.calls;
            self.calls += 1;
            let id = Some(format!("call_{:016x}_{index}", self.request));
            ToolCallDelta { index, id, name: Some(name), arguments }
        });
        Kind::Calls(numbered.collect())
    }
}

/// Text up to where a mark begins, or may begin.
fn plain(text: &[u8], marks: &[&[u8]], whole: bool, kind: Kind) -> Verdict {
    let found = marks.iter().filter_map(|mark| find(text, mark)).filter(|at| *at > 0).min();
    let clear = found.unwrap_or_else(|| {
        let open = marks.iter().map(|mark| overlap(text, mark)).max().unwrap_or(0);
        if whole { text.len() } else { text.len() - open }
    });
    if clear == 0 { Verdict::Unclear } else { Verdict::Is(clear, kind) }
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    if mark.is_empty() || mark.len() > text.len() {
        return None;
    }
    text.windows(mark.len()).position(|window| window == mark)
}

/// How many bytes at the end of a text may be the beginning of a mark.
fn overlap(text: &[u8], mark: &[u8]) -> usize {
    let most = mark.len().saturating_sub(1).min(text.len());
    (1..=most).rev().find(|count| text.ends_with(&mark[..*count])).unwrap_or(0)
}
