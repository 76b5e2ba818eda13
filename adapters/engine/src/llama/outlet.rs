//! How a model's tokens become parts of an answer. A token is given out with its text, once all of
//! it is decided and whole characters: whoever goes on after the tokens given out says nothing
//! twice and leaves nothing out.

use std::collections::VecDeque;

use oag_serve::{Delta, TokenLogprob};

use super::scan::{Kind, Scan, Verdict};

/// What came of one more token.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// The answer goes on.
    On,
    /// A stop text was said.
    Stop,
}

/// Holds tokens back until it is decided what they say.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    scan: Scan,
    /// What was not given out yet.
    bytes: Vec<u8>,
    tokens: VecDeque<Held>,
    /// So much of `bytes` is decided, and this is what it is.
    decided: usize,
    pieces: VecDeque<(usize, Kind)>,
    /// Tokens that only brought thoughts.
    reasoning: u32,
}

#[derive(Debug, Clone)]
struct Held {
    token: u32,
    /// Where its text ends in `bytes`.
    end: usize,
    logprob: Option<TokenLogprob>,
}

impl Outlet {
    pub(super) const fn new(scan: Scan) -> Self {
        Self {
            scan,
            bytes: Vec::new(),
            tokens: VecDeque::new(),
            decided: 0,
            pieces: VecDeque::new(),
            reasoning: 0,
        }
    }

    /// Takes one more token in.
    pub(super) fn push(&mut self, token: u32, text: &[u8], logprob: Option<TokenLogprob>) -> Step {
        self.bytes.extend_from_slice(text);
        self.tokens.push_back(Held { token, end: self.bytes.len(), logprob });
        self.decide(false)
    }

    /// What can be given out now.
    pub(super) fn take(&mut self) -> Delta {
        let ends = self.tokens.iter().map(|held| held.end);
        let fits = ends.filter(|end| *end <= self.decided && self.is_border(*end));
        let border = fits.max().unwrap_or(0);
        self.give(border)
    }

    /// What came so far was given out before, by somebody else.
    pub(super) fn skip(&mut self) {
        let _ = self.take();
        self.tokens.clear();
    }

    /// What is left at the end: nothing is held back any more, but for what follows a stop text.
    pub(super) fn finish(&mut self) -> Delta {
        if self.decide(true) == Step::On {
            self.decided = self.bytes.len();
        }
        self.give(self.decided)
    }

    /// Whether tools were called.
    pub(super) const fn has_called(&self) -> bool {
        self.scan.has_called()
    }

    /// How many tokens only brought thoughts.
    pub(super) const fn reasoning(&self) -> u32 {
        self.reasoning
    }

    fn decide(&mut self, whole: bool) -> Step {
        loop {
            let open = self.bytes.get(self.decided..).unwrap_or_default();
            let known = if whole { open.len() } else { open.len() - unfinished(open) };
            if known == 0 {
                return Step::On;
            }
            match self.scan.next(&open[..known], whole) {
                Verdict::Unclear => return Step::On,
                Verdict::Stop => return Step::Stop,
                Verdict::Is(length, kind) => {
                    self.decided += length;
                    self.pieces.push_back((self.decided, kind));
                }
            }
        }
    }

    /// Whether the text can be cut there: no character and no call goes on beyond.
    fn is_border(&self, at: usize) -> bool {
        let (mut begin, mut inside) = (0, false);
        for (end, kind) in &self.pieces {
            let solid = matches!(kind, Kind::Calls(_) | Kind::Mark);
            inside |= solid && begin < at && at < *end;
            begin = *end;
        }
        !inside && unfinished(&self.bytes[..at]) == 0
    }

    /// Gives out everything before a border.
    fn give(&mut self, border: usize) -> Delta {
        let mut delta = Delta::default();
        let mut begin = 0;
        while let Some((end, kind)) = self.pieces.front().cloned() {
            if begin >= border {
                break;
            }
            let cut = end.min(border);
            let text = String::from_utf8_lossy(&self.bytes[begin..cut]);
            match kind {
                Kind::Text => delta.text.push_str(&text),
                Kind::Reasoning => delta.reasoning.push_str(&text),
                Kind::Mark => {}
                Kind::Calls(calls) => delta.tool_calls.extend(calls),
            }
            begin = cut;
            if cut < end {
                break;
            }
            self.pieces.pop_front();
        }
        while let Some(held) = self.tokens.front()
            && held.end <= border
        {
            delta.tokens.push(held.token);
            delta.logprobs.extend(held.logprob.clone());
            self.tokens.pop_front();
        }
        if delta.text.is_empty() && delta.tool_calls.is_empty() && !delta.reasoning.is_empty() {
            let thought = u32::try_from(delta.tokens.len()).unwrap_or(u32::MAX);
            self.reasoning = self.reasoning.saturating_add(thought);
        }
        self.bytes.drain(..border);
        self.decided -= border;
        self.pieces.iter_mut().for_each(|(end, _)| *end -= border);
        self.tokens.iter_mut().for_each(|held| held.end -= border);
        delta
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let most = bytes.len().min(3);
    (1..=most)
        .find(|count| {
            let tail = &bytes[bytes.len() - count..];
            tail[0] >= 0xc0
                && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
        })
        .unwrap_or(0)
}
