//! One answer that is worked on.

use llama_cpp_2::token::LlamaToken;
use oag_serve::{Delta, Ending, EngineError, Event, Finish, Usage};

use super::draw::{self, Draw, Room};
use super::model::Model;
use super::outlet::{Outlet, Step};
use super::shape::Shape;

/// One answer that is worked on, and what the model remembers of it.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) id: u64,
    /// The request's own name, for what is kept of it.
    pub(super) request: String,
    /// The prompt, then the answer so far.
    pub(super) tokens: Vec<LlamaToken>,
    /// So many of them are the prompt.
    pub(super) prompt: usize,
    /// Most tokens of the answer.
    pub(super) limit: usize,
    /// How many alternatives are shown for each token; none: no probabilities.
    pub(super) logprobs: Option<usize>,
    pub(super) draw: Draw,
    pub(super) outlet: Outlet,
    pub(super) shape: Option<Shape>,
    /// Where the model remembers it; only while it has a slot.
    pub(super) sequence: Option<i32>,
    /// So many of its tokens are remembered.
    pub(super) known: usize,
    /// So many tokens of the prompt were taken over when it was first begun.
    pub(super) reused: Option<usize>,
}

/// What came of one more token.
pub(super) enum Outcome {
    /// Say this, and go on.
    On(Delta),
    /// Say this; the answer is over.
    Over(Delta, Ending),
    /// There is no answer.
    Broken(EngineError),
}

impl Piece {
    /// Tokens the model has not read yet.
    pub(super) fn unread(&self) -> usize {
        self.tokens.len() - self.known
    }

    /// Takes in what was given out before; how the answer ended when that was all of it.
    pub(super) fn resume(
        &mut self,
        model: &Model,
        tokens: &[u32],
    ) -> Result<Option<Ending>, EngineError> {
        for token in tokens {
            let known = model.token(*token).filter(|token| !model.ends(*token));
            let Some(token) = known else {
                let problem = format!("{token} is no token of an answer of this model");
                return Err(EngineError::refused("resume", problem));
            };
            if self.push(model, token, None) == Step::Stop {
                return Ok(Some(self.ending(Finish::Stop)));
            }
        }
        // That was said already.
        self.outlet.skip();
        Ok((tokens.len() >= self.limit).then(|| self.ending(Finish::Length)))
    }

    /// Draws the next token from the scores and takes it in.
    pub(super) fn step(&mut self, model: &Model, scores: &[f32], room: &mut Room) -> Outcome {
        let Some(token) = self.next(scores, room) else {
            let problem = "the model has no token to go on with";
            return Outcome::Broken(EngineError::BrokeOff(problem.to_owned()));
        };
        if model.ends(token) {
            return self.over(Finish::Stop);
        }
        let logprob = self
            .logprobs
            .map(|top| draw::logprob(scores, token.0, top, |token| model.shown(LlamaToken(token))));
        if self.push(model, token, logprob) == Step::Stop {
            return self.over(Finish::Stop);
        }
        if self.tokens.len() - self.prompt >= self.limit {
            return self.over(Finish::Length);
        }
        Outcome::On(self.outlet.take())
    }

    fn next(&mut self, scores: &[f32], room: &mut Room) -> Option<LlamaToken> {
        let place = u64::try_from(self.tokens.len() - self.prompt).unwrap_or(u64::MAX);
        let Room { paid, parts, pool } = room;
        let scores = self.draw.paid(scores, paid);
        let token = self.draw.pick(scores, place, parts, pool)?;
        let token = LlamaToken(i32::try_from(token).ok()?);
        let Some(shape) = &mut self.shape else { return Some(token) };
        if shape.allows(token) {
            return Some(token);
        }
        // Rarely needed, and slow: every token is looked at.
        let (tokens, scores) = shape.restrict(scores);
        let at = self.draw.pick(&scores, place, parts, pool)?;
        tokens.get(at).copied()
    }

    fn push(
        &mut self,
        model: &Model,
        token: LlamaToken,
        logprob: Option<oag_serve::TokenLogprob>,
    ) -> Step {
        self.tokens.push(token);
        self.draw.count(token.0);
        let text = model.text(token);
        if let Some(shape) = &mut self.shape {
            shape.take(token, &text);
        }
        self.outlet.push(u32::try_from(token.0).unwrap_or(0), &text, logprob)
    }

    fn over(&mut self, finish: Finish) -> Outcome {
        let delta = self.outlet.finish();
        let called = self.outlet.has_called();
        if finish == Finish::Stop
            && let Some(problem) = self.shape.as_ref().and_then(|shape| shape.problem(called))
        {
            return Outcome::Broken(EngineError::BrokeOff(problem));
        }
        let finish = if finish == Finish::Stop && called { Finish::ToolCalls } else { finish };
        Outcome::Over(delta, self.ending(finish))
    }

    fn ending(&self, finish: Finish) -> Ending {
        let count = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
        let usage = Usage {
            prompt: count(self.prompt),
            cached: count(self.reused.unwrap_or(0)),
            answer: count(self.tokens.len() - self.prompt),
            reasoning: self.outlet.reasoning(),
        };
        Ending { finish, usage: Some(usage) }
    }
}

impl Outcome {
    /// Parts to say, and why there is no more of them.
    pub(super) fn events(self) -> (Vec<Event>, Option<Result<(), EngineError>>) {
        let said = |delta: Delta| (!delta.is_empty()).then_some(Event::Delta(delta));
        match self {
            Self::On(delta) => (said(delta).into_iter().collect(), None),
            Self::Over(delta, ending) => {
                (said(delta).into_iter().chain([Event::End(ending)]).collect(), Some(Ok(())))
            }
            Self::Broken(error) => (Vec::new(), Some(Err(error))),
        }
    }
}
