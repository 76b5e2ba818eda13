//! The fleet as an engine.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use oag_serve::{
    Embeddings, Engine, EngineError, EngineStats, Event, Events, Features, Generation, ModelCard,
    Predictions, Skill,
};
use oag_types::GenerationId;
use std::sync::Arc;

use crate::answer::Answer;
use crate::control::Cluster;
use crate::protocol::{Ask, Reply};

#[async_trait]
impl Engine for Cluster {
    fn name(&self) -> &'static str {
        "fleet"
    }

    /// Every model that a node offers. What all its nodes can do, it can do.
    fn models(&self) -> Vec<ModelCard> {
        let mut found: BTreeMap<String, ModelCard> = BTreeMap::new();
        for card in self.cards() {
            match found.get_mut(&card.name) {
                Some(known) => {
                    known.skills.retain(|skill| card.skills.contains(skill));
                    known.window_tokens = known.window_tokens.max(card.window_tokens);
                }
                None => {
                    let mut card = card;
                    // Who goes on with what, the fleet knows itself.
                    card.skills.retain(|skill| *skill != Skill::Resume);
                    "workers".clone_into(&mut card.about);
                    found.insert(card.name.clone(), card);
                }
            }
        }
        found.into_values().collect()
    }

    /// That of the first node that offers it: nothing is put together for it.
    fn card(&self, model: &str) -> Option<ModelCard> {
        self.first_card(model)
    }

    fn stats(&self) -> EngineStats {
        let figures = self.figures();
        let models = self.models_of_fleet();
        let sum = |of: fn(&crate::ModelView) -> usize| {
            u32::try_from(models.iter().map(of).sum::<usize>()).unwrap_or(u32::MAX)
        };
        EngineStats {
            slots: sum(|model| model.slots),
            busy: sum(|model| model.busy),
            waiting: sum(|model| model.waiting),
            answers: figures.answered + figures.failed,
            retries: figures.again,
            tokens: figures.tokens,
        }
    }

    async fn generate(&self, request: Generation) -> Result<Events, EngineError> {
        let (task, answer) = self.submit(request)?;
        let mut reader = Reader { cluster: self.clone(), task, answer, place: 0, over: false };
        let first = match reader.next().await {
            Some(Ok(first)) => first,
            Some(Err(error)) => return Err(error),
            None => return Err(EngineError::Unavailable("the answer was empty".to_owned())),
        };
        let rest = stream::unfold(reader, async |mut reader| {
            let event = reader.next().await?;
            Some((event, reader))
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    }

    async fn embed(&self, model: &str, texts: Vec<String>) -> Result<Embeddings, EngineError> {
        match self.call(model, Skill::Embed, Ask::Embed { texts }).await? {
            Reply::Embedded(embeddings) => Ok(embeddings),
            _ => Err(odd()),
        }
    }

    async fn tokenize(&self, model: &str, text: String) -> Result<Vec<u32>, EngineError> {
        match self.call(model, Skill::Tokenize, Ask::Tokenize { text }).await? {
            Reply::Tokens(tokens) => Ok(tokens),
            _ => Err(odd()),
        }
    }

    async fn detokenize(&self, model: &str, tokens: Vec<u32>) -> Result<String, EngineError> {
        match self.call(model, Skill::Tokenize, Ask::Detokenize { tokens }).await? {
            Reply::Text(text) => Ok(text),
            _ => Err(odd()),
        }
    }

    async fn predict(&self, model: &str, features: Features) -> Result<Predictions, EngineError> {
        let rows = features.rows().len();
        match self.call(model, Skill::Predict, Ask::Predict { features }).await? {
            Reply::Predicted(predictions) if predictions.answers(rows) => Ok(predictions),
            _ => Err(odd()),
        }
    }
}

fn odd() -> EngineError {
    EngineError::Unavailable("its worker answered something else".to_owned())
}

/// Reads an answer; when it is dropped before the end, nobody wants the answer any more.
struct Reader {
    cluster: Cluster,
    task: GenerationId,
    answer: Arc<Answer>,
    place: usize,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        if self.over {
            return None;
        }
        let event = self.answer.at(self.place).await;
        self.place += 1;
        self.over = !matches!(event, Some(Ok(Event::Delta(_))));
        event
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.over {
            self.cluster.cancel(self.task);
        }
    }
}
