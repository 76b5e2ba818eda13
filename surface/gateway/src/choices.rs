//! Several answers to one request.

use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream::{BoxStream, select_all};
use oag_serve::{Collected, Engine, EngineError, Event, Events, Generation, Usage};

/// The answers of a request as they come: which, and a part of it.
pub(crate) type Parts = BoxStream<'static, (usize, Result<Event, EngineError>)>;

/// Begins as many answers as are asked for. It is there when the first parts of all are known to
/// come.
pub(crate) async fn begin(
    engine: &dyn Engine,
    asked: Generation,
    count: u32,
) -> Result<Vec<Events>, EngineError> {
    if count == 1 {
        return Ok(vec![engine.generate(asked).await?]);
    }
    let one = |at: u32| {
        let mut asked = asked.clone();
        // Answers of one seed would all be the same.
        asked.sampling.seed = asked.sampling.seed.map(|seed| seed.wrapping_add(u64::from(at)));
        asked.context.request = format!("{}-{at}", asked.context.request);
        engine.generate(asked)
    };
    try_join_all((0..count).map(one)).await
}

/// The parts of all, in the order in which they come.
pub(crate) fn merged(answers: Vec<Events>) -> Parts {
    let numbered = answers.into_iter().enumerate();
    select_all(numbered.map(|(at, events)| events.map(move |event| (at, event)).boxed())).boxed()
}

/// All of them, whole.
pub(crate) async fn whole(answers: Vec<Events>) -> Result<Vec<Collected>, EngineError> {
    let collect = |mut events: Events| async move {
        let mut all = Collected::default();
        while let Some(event) = events.next().await {
            all.take(event?);
        }
        // What ends without an end is broken.
        let no_end = || EngineError::BrokeOff("it said no end".to_owned());
        all.ending.ok_or_else(no_end).map(|_| all)
    };
    try_join_all(answers.into_iter().map(collect)).await
}

/// What they took together; the prompt counts once.
pub(crate) fn sum(usages: impl Iterator<Item = Usage>) -> Usage {
    usages.fold(Usage::default(), |sum, usage| Usage {
        prompt: sum.prompt.max(usage.prompt),
        cached: sum.cached.max(usage.cached),
        answer: sum.answer.saturating_add(usage.answer),
        reasoning: sum.reasoning.saturating_add(usage.reasoning),
    })
}
