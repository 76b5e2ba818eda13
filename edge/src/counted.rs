//! Counts what an engine is asked and what goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use oag_serve::{
    Embeddings, Engine, EngineError, EngineStats, Events, Features, Generation, ModelCard,
    Predictions,
};

/// Requests of all engines of a node.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Requests that came.
    pub(crate) all: AtomicU64,
    /// Of those, without an end as wanted.
    pub(crate) failed: AtomicU64,
}

/// An engine whose requests are counted.
pub(crate) struct Counted {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) requests: Arc<Requests>,
}

impl Counted {
    fn count<T>(&self, done: Result<T, EngineError>) -> Result<T, EngineError> {
        self.requests.all.fetch_add(1, Ordering::Relaxed);
        if done.is_err() {
            self.requests.failed.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}

#[async_trait]
impl Engine for Counted {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn models(&self) -> Vec<ModelCard> {
        self.engine.models()
    }

    fn card(&self, model: &str) -> Option<ModelCard> {
        self.engine.card(model)
    }

    fn stats(&self) -> EngineStats {
        self.engine.stats()
    }

    fn kept(&self) -> Option<Vec<String>> {
        self.engine.kept()
    }

    async fn generate(&self, request: Generation) -> Result<Events, EngineError> {
        let events = self.count(self.engine.generate(request).await)?;
        let requests = Arc::clone(&self.requests);
        let counted = events.inspect(move |event| {
            if event.is_err() {
                requests.failed.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(counted.boxed())
    }

    async fn embed(&self, model: &str, texts: Vec<String>) -> Result<Embeddings, EngineError> {
        self.count(self.engine.embed(model, texts).await)
    }

    async fn predict(&self, model: &str, rows: Features) -> Result<Predictions, EngineError> {
        self.count(self.engine.predict(model, rows).await)
    }

    async fn tokenize(&self, model: &str, text: String) -> Result<Vec<u32>, EngineError> {
        self.count(self.engine.tokenize(model, text).await)
    }

    async fn detokenize(&self, model: &str, tokens: Vec<u32>) -> Result<String, EngineError> {
        self.count(self.engine.detokenize(model, tokens).await)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use oag_serve::{Context, Delta, Event, Input};
    use oag_types::Tenant;

    use super::*;

    struct Breaking;

    #[async_trait]
    impl Engine for Breaking {
        fn name(&self) -> &str {
            "breaking"
        }

        fn models(&self) -> Vec<ModelCard> {
            Vec::new()
        }

        fn stats(&self) -> EngineStats {
            EngineStats::default()
        }

        async fn generate(&self, _: Generation) -> Result<Events, EngineError> {
            let broken = Err(EngineError::BrokeOff("gone".to_owned()));
            Ok(stream::iter([Ok(Event::Delta(Delta::text("a"))), broken]).boxed())
        }
    }

    #[tokio::test]
    async fn answers_that_break_off_count_as_failed() {
        let requests = Arc::new(Requests::default());
        let engine = Counted { engine: Arc::new(Breaking), requests: Arc::clone(&requests) };
        let context = Context::new(Tenant::try_from("shop".to_owned()).unwrap(), "r".to_owned());
        let asked = Generation::new("m", Input::question("?"), context);
        let parts: Vec<_> = engine.generate(asked).await.unwrap().collect().await;
        assert_eq!(parts.len(), 2);
        assert!(engine.embed("m", Vec::new()).await.is_err());
        let counted =
            (requests.all.load(Ordering::Relaxed), requests.failed.load(Ordering::Relaxed));
        assert_eq!(counted, (2, 2));
    }
}
