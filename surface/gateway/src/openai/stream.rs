//! Answers as server-sent events. What breaks after the first part is told as an event, and such a
//! stream has no `[DONE]`: it is never taken for a whole answer.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use oag_serve::{Delta, Ending, EngineError, Event, Events, Usage};
use serde::Serialize;

use super::answer::{AnswerOut, Name};
use crate::choices::{Parts, merged, sum};
use crate::edge::event_stream;
use crate::trouble::Trouble;

const DONE: &[u8] = b"data: [DONE]\n\n";

/// How the parts of one kind of answer are written.
pub(super) trait Form: Send + 'static {
    /// What each choice begins with; none: nothing.
    fn opening(&mut self, choice: usize) -> Option<impl Serialize>;
    /// A part of a choice; none: nothing to say.
    fn part<'a>(&mut self, choice: usize, delta: &'a Delta) -> Option<impl Serialize + 'a>;
    /// The end of a choice.
    fn end(&mut self, choice: usize, ending: Ending) -> impl Serialize;
    /// What `object` says.
    fn object(&self) -> &'static str;
}

struct State<F> {
    form: F,
    name: Name,
    parts: Parts,
    usages: Vec<Option<Usage>>,
    /// Choices that have not ended.
    open: usize,
    include_usage: bool,
    ready: VecDeque<Bytes>,
    over: bool,
}

/// Sends answers as they come.
pub(super) fn stream<F: Form>(
    form: F,
    name: Name,
    answers: Vec<Events>,
    include_usage: bool,
) -> Response {
    let open = answers.len();
    let mut state = State {
        form,
        name,
        parts: merged(answers),
        usages: vec![None; open],
        open,
        include_usage,
        ready: VecDeque::new(),
        over: false,
    };
    let object = state.form.object();
    for choice in 0..open {
        let opening = state.form.opening(choice);
        let opening =
            opening.map(|choice| event(&chunk(&state.name, object, vec![choice], include_usage)));
        state.ready.extend(opening);
    }
    let events = stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((Ok::<Bytes, Infallible>(event), state))
    });
    event_stream(events)
}

impl<F: Form> State<F> {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.parts.next().await {
                Some((choice, Ok(Event::Delta(delta)))) => self.say(choice, &delta),
                Some((choice, Ok(Event::End(ending)))) => self.end(choice, ending),
                Some((_, Err(error))) => self.break_off(error),
                // What ends without an end is broken, too.
                None => self.break_off(EngineError::BrokeOff("it said no end".to_owned())),
            }
        }
    }

    fn say(&mut self, choice: usize, delta: &Delta) {
        let object = self.form.object();
        let part = self.form.part(choice, delta);
        let said =
            part.map(|part| event(&chunk(&self.name, object, vec![part], self.include_usage)));
        self.ready.extend(said);
    }

    fn end(&mut self, choice: usize, ending: Ending) {
        let object = self.form.object();
        let last = self.form.end(choice, ending);
        self.ready.push_back(event(&chunk(&self.name, object, vec![last], self.include_usage)));
        if let Some(usage) = self.usages.get_mut(choice) {
            *usage = ending.usage;
        }
        self.open = self.open.saturating_sub(1);
        if self.open > 0 {
            return;
        }
        if self.include_usage {
            let usage = sum(self.usages.iter().flatten().copied());
            let nothing: Vec<()> = Vec::new();
            let mut last = chunk(&self.name, object, nothing, true);
            last.usage = Some(Some(usage.into()));
            self.ready.push_back(event(&last));
        }
        self.ready.push_back(Bytes::from_static(DONE));
        self.over = true;
    }

    fn break_off(&mut self, error: EngineError) {
        let trouble = Trouble::from(error);
        // The words may hold some of what was said.
        tracing::warn!(answer = self.name.id, status = %trouble.status(), "answer broke off");
        let mut bytes = b"data: ".to_vec();
        bytes.extend(trouble.document());
        bytes.extend(b"\n\n");
        self.ready.push_back(bytes.into());
        self.over = true;
    }
}

fn chunk<'a, C>(
    name: &'a Name,
    object: &'static str,
    choices: Vec<C>,
    include_usage: bool,
) -> AnswerOut<'a, C> {
    // Whoever wants the usage is told in each part that it is still to come.
    AnswerOut { usage: include_usage.then_some(None), ..AnswerOut::new(name, object, choices) }
}

fn event(document: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(b"data: ");
    // Texts and numbers cannot fail to be written.
    let _ = serde_json::to_writer(&mut bytes, document);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}
