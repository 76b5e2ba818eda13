//! Which engine serves a model.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Engine, EngineError, ModelCard};

/// A model and the engine behind it.
#[derive(Clone)]
pub struct Entry {
    /// The model.
    pub card: ModelCard,
    /// What runs it.
    pub engine: Arc<dyn Engine>,
}

/// The engines of a process, in the order in which they were put in: of two that serve a model
/// the first does it.
#[derive(Default)]
pub struct Engines {
    engines: RwLock<Vec<Arc<dyn Engine>>>,
}

impl Engines {
    /// Without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an engine in; one of the same name makes way for it.
    pub fn put(&self, engine: Arc<dyn Engine>) {
        let mut engines = self.engines.write().unwrap_or_else(PoisonError::into_inner);
        match engines.iter_mut().find(|other| other.name() == engine.name()) {
            Some(other) => *other = engine,
            None => engines.push(engine),
        }
    }

    /// Takes an engine out. Answers that it is giving go on.
    pub fn remove(&self, name: &str) -> bool {
        let mut engines = self.engines.write().unwrap_or_else(PoisonError::into_inner);
        let before = engines.len();
        engines.retain(|engine| engine.name() != name);
        engines.len() < before
    }

    /// All engines.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<dyn Engine>> {
        self.engines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every model that is served, by name.
    #[must_use]
    pub fn models(&self) -> Vec<Entry> {
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        for engine in self.all() {
            for card in engine.models() {
                let entry = || Entry { card: card.clone(), engine: Arc::clone(&engine) };
                found.entry(card.name.clone()).or_insert_with(entry);
            }
        }
        found.into_values().collect()
    }

    /// The engine of a model.
    ///
    /// # Errors
    /// `NoModelLoaded`, with what is served and how to load more.
    pub fn of(&self, model: &str) -> Result<Entry, EngineError> {
        for engine in self.engines.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(card) = engine.card(model) {
                return Ok(Entry { card, engine: Arc::clone(engine) });
            }
        }
        let models = self.models();
        let names: Vec<&str> = models.iter().map(|entry| entry.card.name.as_str()).collect();
        let served = if names.is_empty() {
            "none is served".to_owned()
        } else {
            format!("served are {}", names.join(", "))
        };
        let remedy = format!("{served}; load one with `openautoglm worker --model {model} …`");
        Err(EngineError::NoModelLoaded { model: model.to_owned(), remedy })
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::{EngineStats, Events, Generation, Skill};

    struct Named(&'static str, &'static [&'static str]);

    #[async_trait]
    impl Engine for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn models(&self) -> Vec<ModelCard> {
            let card = |name: &&str| ModelCard {
                name: (*name).to_owned(),
                skills: vec![Skill::Chat],
                window_tokens: None,
                about: self.0.to_owned(),
            };
            self.1.iter().map(card).collect()
        }

        fn stats(&self) -> EngineStats {
            EngineStats::default()
        }

        async fn generate(&self, _: Generation) -> Result<Events, EngineError> {
            Err(EngineError::Late)
        }
    }

    #[test]
    fn the_first_engine_serves_a_model_and_one_of_the_same_name_makes_way() {
        let engines = Engines::new();
        engines.put(Arc::new(Named("one", &["a", "b"])));
        engines.put(Arc::new(Named("two", &["b", "c"])));
        let about = |model: &str| engines.of(model).map(|entry| entry.card.about);
        assert_eq!(about("b").unwrap(), "one");
        assert_eq!(about("c").unwrap(), "two");
        engines.put(Arc::new(Named("one", &["a"])));
        assert_eq!(about("b").unwrap(), "two");
        let names: Vec<String> =
            engines.models().into_iter().map(|entry| entry.card.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(engines.remove("two") && !engines.remove("two"));
        let error = about("c").unwrap_err();
        let EngineError::NoModelLoaded { model, remedy } = &error else { unreachable!("{error}") };
        assert_eq!(model, "c");
        assert!(remedy.contains("served are a;") && remedy.contains("--model c"), "{remedy}");
    }
}
