//! What a model answers, as it comes.

use serde::{Deserialize, Serialize};

use crate::ToolCall;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// More of it.
    Delta(Delta),
    /// The end; nothing comes after it.
    End(Ending),
}

/// More of an answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Delta {
    /// More text.
    pub text: String,
    /// More of what the model thinks before it answers.
    pub reasoning: String,
    /// More of the calls it asks for.
    pub tool_calls: Vec<ToolCallDelta>,
    /// Probabilities of the tokens of `text`, where they were asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// The tokens this part was made of, where the engine can go on from them
    /// ([`crate::Generation::resume`]): together with the parts before they stand for all that was
    /// said so far, and nothing more.
    pub tokens: Vec<u32>,
}

impl Delta {
    /// Nothing but text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.reasoning.is_empty()
            && self.tool_calls.is_empty()
            && self.logprobs.is_empty()
            && self.tokens.is_empty()
    }
}

/// More of one tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Which of the answer's calls, from 0.
    pub index: usize,
    /// Its id, in its first part.
    pub id: Option<String>,
    /// The tool, in its first part.
    pub name: Option<String>,
    /// More of its arguments.
    pub arguments: String,
}

/// How likely a token was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token as text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens in its place, with theirs.
    pub top: Vec<(String, f32)>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Finish {
    /// The model came to its end, or to a stop text.
    Stop,
    /// The limit of tokens.
    Length,
    /// It asks for tools.
    ToolCalls,
    /// A filter cut it off.
    Filtered,
}

/// Tokens that were worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt.
    pub prompt: u32,
    /// Of those, taken over from an earlier prompt.
    pub cached: u32,
    /// Of the answer, with what was thought.
    pub answer: u32,
    /// Of those, thought.
    pub reasoning: u32,
}

/// The end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub finish: Finish,
    /// What it took; none where the engine does not say.
    pub usage: Option<Usage>,
}

/// A whole answer, put together from its parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Collected {
    /// The text.
    pub text: String,
    /// What was thought.
    pub reasoning: String,
    /// The calls that are asked for.
    pub tool_calls: Vec<ToolCall>,
    /// Probabilities, token by token.
    pub logprobs: Vec<TokenLogprob>,
    /// How it ended; none as long as it has not.
    pub ending: Option<Ending>,
    /// The number that the answer gives to each of `tool_calls`.
    indexes: Vec<usize>,
}

impl Collected {
    /// Takes the next part in.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Delta(delta) => self.add(delta),
            Event::End(ending) => self.ending = Some(ending),
        }
    }

    fn add(&mut self, delta: Delta) {
        self.text.push_str(&delta.text);
        self.reasoning.push_str(&delta.reasoning);
        self.logprobs.extend(delta.logprobs);
        for part in delta.tool_calls {
            // Not every server counts from 0, and some leave numbers out.
            let known = self.indexes.iter().position(|index| *index == part.index);
            let at = known.unwrap_or(self.indexes.len());
            if known.is_none() {
                let none =
                    ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
                self.tool_calls.push(none);
                self.indexes.push(part.index);
            }
            let Some(call) = self.tool_calls.get_mut(at) else { continue };
            if let Some(id) = part.id {
                call.id = id;
            }
            if let Some(name) = part.name {
                call.name = name;
            }
            call.arguments.push_str(&part.arguments);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_call_come_together_whatever_its_number() {
        let mut all = Collected::default();
        for (index, arguments) in [(1, "{\"a\""), (7, "{"), (1, ":2}"), (7, "}")] {
            let part = ToolCallDelta { index, id: None, name: None, arguments: arguments.into() };
            all.take(Event::Delta(Delta { tool_calls: vec![part], ..Delta::default() }));
        }
        let arguments: Vec<&str> = all.tool_calls.iter().map(|call| &*call.arguments).collect();
        assert_eq!(arguments, ["{\"a\":2}", "{}"]);
    }
}
